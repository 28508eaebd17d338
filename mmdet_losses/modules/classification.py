"""Classification losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from .. import functional as F
from ..functional.reduce import may_select
from .base import (
    Loss,
    Shared,
    check_floating,
    check_option,
    check_rows,
    check_same_shape,
    check_target,
    element_weight,
    published,
    row_weight,
)


class ClassificationLoss(Loss):
    """Base of classification losses."""

    slot = "cls"
    use_sigmoid: bool = True

    def check_sigmoid(self, use_sigmoid: bool) -> None:
        """Raise for a softmax form that does not exist."""
        check_option("use_sigmoid", use_sigmoid, use_sigmoid is True, f"True for {type(self).__name__}")

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, target = inputs[:2]
        if target.ndim < pred.ndim:
            last = self.last_label(pred)
            good = (target >= 0) & (target <= last)
            expected = f"labels from 0 to {last}" + (", which is background" if self.use_sigmoid else "")
            check_rows(f"{type(self).__name__}: target", target, good, weight, expected)

    def last_label(self, pred: Tensor) -> int:
        """The largest label."""
        return getattr(self, "num_classes", None) or pred.shape[-1]

    def keep_per_class(self, name: str, values: Sequence[float] | Tensor | float | None) -> None:
        """Keep an option with one value per class in the buffer ``per_class``; None for any other.

        It stands beside the option, so that a GPU need not be waited for in each call, and is no state.
        """
        plain = values is None or isinstance(values, int | float)
        per_class = None if plain else torch.as_tensor(values, dtype=torch.float32)
        if per_class is not None:
            check_option(name, values, per_class.ndim == 1, "a number or one number per class")
        self.register_buffer("per_class", per_class, persistent=False)

    def check_per_class(self, name: str, pred: Tensor) -> None:
        """Raise for an option with one value per class that does not fit the prediction."""
        if self.per_class is not None and (pred.ndim < 2 or pred.shape[-1] != len(self.per_class)):
            raise ValueError(
                f"{name} has {len(self.per_class)} entries, so pred must have shape (*, {len(self.per_class)}), "
                f"got {tuple(pred.shape)}."
            )


def check_labels(name: str, label: Any, shape: torch.Size) -> None:
    """Raise for anything but integer labels of ``shape``."""
    if not isinstance(label, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(label).__name__}.")
    if label.is_floating_point():
        raise ValueError(f"{name} must hold integer labels, got {label.dtype}: convert it with .long().")
    if label.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(label.shape)}.")


def check_labels_or_dense(pred: Tensor, target: Any) -> None:
    """Raise for anything but labels, one axis less than ``pred``, or a dense target of its shape."""
    if isinstance(target, Tensor) and target.ndim == pred.ndim - 1:
        check_labels("target", target, pred.shape[:-1])
    else:
        check_same_shape(pred, target)


class FocalForm(ClassificationLoss):
    """Base of losses that take labels or a dense target, and weights per row, per element or flattened."""

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        check_labels_or_dense(pred, target)
        if isinstance(weight, Tensor) and weight.ndim == 1 and weight.numel() == pred.numel():
            weight = weight.reshape(pred.shape)
        return (pred, target), element_weight(weight, pred)


@published()
class FocalLoss(FocalForm):
    """Focal loss: ``alpha_t (1 - p_t)**gamma CE``, of independent sigmoids or of a softmax.

    ``p_t`` is the probability of what the target says, ``CE`` is ``-ln p_t``. Of independent sigmoids ``alpha_t`` is
    ``alpha`` for positives and ``1 - alpha`` for negatives, of the same class where ``alpha`` is a list. Of a softmax
    (``use_sigmoid=False``) it is ``alpha``, or the entry of the row's label; a list has one for background, too.

    Shapes:
        Sigmoids: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` integer labels ``(n,)``, any label outside
        ``[0, c)`` being background as mmdet's label ``c`` is, or one-hot ``(n, c)``; weight ``(n,)``, ``(n, 1)``,
        ``(n, c)`` or flattened ``(n * c,)``; ``'none'`` gives ``(n, c)``.

        Softmax: ``pred`` logits ``(n, k)`` (or ``(*, k)``), in mmdet's heads ``k = c + 1`` with background last;
        ``target`` labels ``(n,)`` from 0 to ``k - 1``, or probabilities of pred's shape, whose classes add up; weight
        ``(n,)`` or ``(n, 1)``; ``'none'`` gives ``(n,)``.

    Range: [0, inf), 0 at a perfect match.

    Paper: https://arxiv.org/abs/1708.02002, the softmax being its multi-class reading. Differs from mmdet: the softmax
    form and ``alpha`` as a list or None exist, the CPU and CUDA forms are one, bfloat16 works, label -1 is background
    (an error there on a CPU, background on CUDA), and predictions of any rank are accepted; see also the ledger,
    general part.

    Args:
        use_sigmoid: Independent sigmoids instead of a softmax; default as mmdet. Heads read this from the config, and
            predict one channel more without it, so write it there.
        gamma: Power of the modulating factor; 2.0 as the paper and mmdet.
        alpha: Weight of the positives; 0.25 as the paper and mmdet. A list has one entry per channel of ``pred``.
            None weighs nothing. In the softmax form a single number only scales the loss.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        activated: Whether ``pred`` holds probabilities; default as mmdet.
        debug: Names the first row with a label outside the classes or a value that is not finite. The softmax form
            always does so for labels on a CPU; on a GPU a bad label is torch's device-side assert.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalLoss
        >>> FocalLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1474)
    """

    passes = ("gamma", "activated", "epsilon", "weigh_poly")
    paper = "https://arxiv.org/abs/1708.02002"
    epsilon: float = 0.0
    weigh_poly: bool = False

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = 0.25,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        check_option("use_sigmoid", use_sigmoid, isinstance(use_sigmoid, bool), "True or False")
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        self.use_sigmoid = use_sigmoid
        self.gamma = gamma
        self.alpha = alpha
        self.activated = activated
        self.tame = use_sigmoid and not activated
        self.keep_per_class("alpha", alpha)
        held = [0.0 if alpha is None else alpha] if self.per_class is None else self.per_class.tolist()
        if use_sigmoid:
            check_option("alpha", alpha, all(0 <= a <= 1 for a in held), "from 0 to 1, or None to weigh nothing")
        else:
            check_option("alpha", alpha, all(a >= 0 for a in held), "0 or more, or None to weigh nothing")

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        self.check_per_class("alpha", pred)
        if self.use_sigmoid:
            return super().align(pred, target, weight)
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c) for a softmax, got {tuple(pred.shape)}.")
        check_labels_or_dense(pred, target)
        lead, classes = pred.shape[:-1], pred.shape[-1]
        weight = row_weight(weight, lead)
        pred, labelled = pred.flatten(0, -2), target.ndim < pred.ndim
        target = target.reshape(-1) if labelled else target.flatten(0, -2)
        if labelled and may_select(target):
            good = (target >= 0) & (target < classes)
            check_rows(f"{type(self).__name__}: target", target, good, weight, f"labels from 0 to {classes - 1}")
        return (pred, target), weight

    def last_label(self, pred: Tensor) -> int:
        return super().last_label(pred) if self.use_sigmoid else pred.shape[-1] - 1

    def evaluate(self, pred: Tensor, *args: Any) -> Tensor:
        loss = super().evaluate(pred, *args)
        return loss if self.use_sigmoid or loss.ndim == 0 else loss.reshape(pred.shape[:-1])

    @property
    def function(self) -> Callable[..., Tensor]:
        return F.sigmoid_focal_loss if self.use_sigmoid else F.softmax_focal_loss

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "alpha": self.alpha if self.per_class is None else self.per_class}


@published()
class Poly1FocalLoss(FocalLoss):
    """Poly-1 focal loss: focal loss with ``epsilon (1 - p_t)**(gamma + 1)`` added, its leading polynomial term.

    Shapes, units and targets: those of :class:`FocalLoss`, in both forms. Range: [0, inf) for ``epsilon >= 0``, 0 at
    a perfect match; below that it can be negative unless ``weigh_poly``, and is never less than ``epsilon``.

    Paper: PolyLoss, https://arxiv.org/abs/2204.12511. mmdet has none.

    Args:
        use_sigmoid: As in :class:`FocalLoss`.
        epsilon: Coefficient of the added term, -1 or more; 1.0 as the reference port. -1 drops the leading term; the
            paper finds that the best value depends on the task.
        weigh_poly: Whether ``alpha`` weighs the added term, too; the paper and the reference port do not.
        **options: ``gamma``, ``alpha``, ``reduction``, ``loss_weight``, ``activated`` and ``debug`` of
            :class:`FocalLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import Poly1FocalLoss
        >>> Poly1FocalLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.2936)
    """

    paper = "https://arxiv.org/abs/2204.12511"
    bounds = (-1.0, math.inf)

    def __init__(
        self, use_sigmoid: bool = True, epsilon: float = 1.0, *, weigh_poly: bool = False, **options: Any
    ) -> None:
        super().__init__(use_sigmoid, **options)
        check_option("epsilon", epsilon, epsilon >= -1, "-1 or more")
        self.epsilon = epsilon
        self.weigh_poly = weigh_poly


@published()
class Poly1CrossEntropyLoss(Poly1FocalLoss):
    """Poly-1 cross-entropy: ``CE + epsilon (1 - p_t)``, :class:`Poly1FocalLoss` without ``gamma`` and ``alpha``.

    Shapes, units and targets: those of :class:`FocalLoss`, by default in its softmax form. Range: [0, inf), 0 at a
    perfect match.

    Paper: PolyLoss, https://arxiv.org/abs/2204.12511. mmdet has none.

    Args:
        use_sigmoid: Independent sigmoids instead of a softmax; default as :class:`CrossEntropyLoss`. Heads read this
            from the config, so write it there.
        epsilon: Coefficient of the added term, -1 or more; 1.0 as the reference port.
        alpha: Weight as in :class:`FocalLoss`, of both terms; None, which weighs nothing, as the paper.
        **options: ``reduction``, ``loss_weight``, ``activated`` and ``debug`` of :class:`FocalLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import Poly1CrossEntropyLoss
        >>> Poly1CrossEntropyLoss()(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.3261)
    """

    bounds = (0.0, math.inf)
    fixed = ("gamma", "weigh_poly")

    def __init__(
        self,
        use_sigmoid: bool = False,
        epsilon: float = 1.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        **options: Any,
    ) -> None:
        super().__init__(use_sigmoid, epsilon, alpha=alpha, gamma=0.0, weigh_poly=True, **options)


@published()
class AsymmetricLoss(FocalForm):
    """Asymmetric loss: positives and negatives focused apart, easy negatives left out.

    ``-(1 - p)**gamma_pos ln p`` of a positive and ``-q**gamma_neg ln(1 - q)`` of a negative, with
    ``q = max(p - clip, 0)``; a target between 0 and 1 mixes the two.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` labels ``(n,)``, any label outside ``[0, c)`` being
    background, or dense ``(n, c)``; weight ``(n,)``, ``(n, 1)``, ``(n, c)`` or flattened ``(n * c,)``; ``'none'``
    gives ``(n, c)``. Range: [0, inf), 0 at a perfect match.

    Paper: https://arxiv.org/abs/2009.14119. mmdet has none. Differs from the authors' code: logarithms come from
    logits, so that no eps bounds the loss of a positive (1e-8 there, which ends its gradient), and the reduction is
    mmdet's (a sum there).

    Args:
        use_sigmoid: True; there is no softmax form. Heads read this from the config, so write it there.
        gamma_neg: Power for negatives; 4.0 as the authors' code and mmpretrain.
        gamma_pos: Power for positives; 1.0 as the authors' code (mmpretrain 0.0).
        clip: What is taken off the probability of negatives; 0.05 as the authors' code and mmpretrain.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        activated: Whether ``pred`` holds probabilities.
        detach_focus: Whether the two powers are constants in the gradient; False, as runs in the authors' code, whose
            option ``disable_torch_grad_focal_loss`` it is.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import AsymmetricLoss
        >>> AsymmetricLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.0402)
    """

    function = staticmethod(F.asymmetric_loss)
    passes = ("gamma_neg", "gamma_pos", "clip", "activated", "detach_focus")
    paper = "https://arxiv.org/abs/2009.14119"

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        clip: float = 0.05,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        *,
        detach_focus: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        self.check_sigmoid(use_sigmoid)
        check_option("gamma_neg", gamma_neg, gamma_neg >= 0, "0 or more")
        check_option("gamma_pos", gamma_pos, gamma_pos >= 0, "0 or more")
        check_option("clip", clip, 0 <= clip < 1, "0 or more and less than 1")
        self.gamma_neg = gamma_neg
        self.gamma_pos = gamma_pos
        self.clip = clip
        self.activated = activated
        self.detach_focus = detach_focus


CONTRACT_ORDER = ("weight", "avg_factor", "reduction_override", "pos_inds", "pos_labels")
MMDET_ORDER = ("pos_inds", "pos_labels", "weight", "avg_factor", "reduction_override")


def holds_indices(argument: Any) -> bool:
    """Whether an argument is a tensor of indices."""
    integer = isinstance(argument, Tensor) and not argument.is_floating_point() and argument.dtype != torch.bool
    return integer and argument.ndim == 1


@published()
class GaussianFocalLoss(FocalForm):
    """Focal loss of a Gaussian heat map: ``-(1 - p)**alpha ln p`` at its peaks, elsewhere negatives by distance.

    A peak is where the target is exactly 1, or what ``pos_inds`` and ``pos_labels`` name; every other place costs
    ``-(1 - y)**gamma p**alpha ln(1 - p)``, which is little near a peak.

    Shapes: ``pred`` **probabilities** of any shape, CenterNet's ``(b, c, h, w)``, between 0 and 1; ``target`` the heat
    map in that shape, or labels with one axis less; weight ``(n,)`` per row of the first axis, of pred's rank with
    each axis equal to pred's or 1, or flattened; ``'none'`` gives pred's shape. Range: [0, inf); what a match costs
    depends on the heat map, and is 0 where that is 0 or 1 everywhere. A peak that is rounded or resampled to less than
    1 is lost.

    Paper: CornerNet, https://arxiv.org/abs/1808.01244. Differs from mmdet: with ``pos_inds`` the weight counts, the
    mean without ``avg_factor`` divides by all elements, and ``'none'`` has pred's shape; half precision is finite;
    see also the ledger.

    Args:
        alpha: Power of the error; 2.0 as the paper and mmdet.
        gamma: Power of the target's distance from 1; 4.0 as the paper and mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        pos_weight: Weight of the positives; default as mmdet (CenterNet2's head uses 0.25).
        neg_weight: Weight of the negatives; default as mmdet (CenterNet2's head uses 0.75).
        use_sigmoid: True; there is no softmax form. Accepted for heads that read it from the config.
        activated: Whether ``pred`` holds probabilities, as heads of heat maps pass; False for logits, which all others
            pass, with labels.
        debug: Names the first row with a value outside ``[0, 1]``.

    Example:
        >>> import torch
        >>> from mmdet_losses import GaussianFocalLoss
        >>> GaussianFocalLoss(reduction="sum")(torch.tensor([[0.9, 0.3, 0.6]]), torch.tensor([[1.0, 0.5, 0]]))
        tensor(0.3329)
    """

    function = staticmethod(F.gaussian_focal_loss)
    passes = ("alpha", "gamma", "pos_weight", "neg_weight", "activated")
    paper = "https://arxiv.org/abs/1808.01244"
    best = None

    def __init__(
        self,
        alpha: float = 2.0,
        gamma: float = 4.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        pos_weight: float = 1.0,
        neg_weight: float = 1.0,
        *,
        use_sigmoid: bool = True,
        activated: bool = True,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        self.check_sigmoid(use_sigmoid)
        check_option("alpha", alpha, alpha >= 0, "0 or more")
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        check_option("pos_weight", pos_weight, pos_weight >= 0, "0 or more")
        check_option("neg_weight", neg_weight, neg_weight >= 0, "0 or more")
        self.alpha = alpha
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight
        self.activated = activated

    def forward(self, pred: Tensor, target: Tensor, *args: Any, **call: Any) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`.

        Args:
            pred: Probabilities.
            target: Heat map.
            *args: ``weight, avg_factor, reduction_override, pos_inds, pos_labels``; or, where indices come first or
                the names that are given leave no other reading, in mmdet's order
                ``pos_inds, pos_labels, weight, avg_factor, reduction_override``.
            **call: The same by name. ``pos_inds`` are the rows ``(m,)`` of the positives in a prediction ``(n, c)``
                and ``pos_labels`` their classes ``(m,)``; what the heat map holds there counts as negative, too.
        """
        order = CONTRACT_ORDER
        first, second, third = (*args, None, None, None)[:3]
        indices = holds_indices(first) and (holds_indices(second) or "pos_labels" in call)
        if indices or isinstance(third, Tensor) or len(args) > 3 or set(order[: len(args)]) & set(call):
            order = MMDET_ORDER
        if unknown := set(call) - set(order):
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(sorted(unknown))}.")
        if len(args) > len(order) or set(order[: len(args)]) & set(call):
            raise TypeError(f"{type(self).__name__} got an argument twice: it takes pred, target, {', '.join(order)}.")
        named = dict(zip(order[: len(args)], args, strict=True))
        return self.evaluate_peaks(pred, target, **named, **call)

    def evaluate_peaks(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        pos_inds: Tensor | None = None,
        pos_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss, with its arguments named."""
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        check_floating("pred", pred)
        inputs, weight = self.align(pred, target, weight)
        if pos_inds is not None or pos_labels is not None:
            inputs = (*inputs, peaks_at(pred, pos_inds, pos_labels))
        return self.evaluate_aligned(inputs, weight, avg_factor, reduction)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, target = inputs[:2]
        checked = {"pred": pred} if self.activated else {}
        checked |= {"target": target} if target.ndim == pred.ndim else {}
        for name, tensor in checked.items():
            good = (tensor >= 0) & (tensor <= 1)
            check_rows(f"{type(self).__name__}: {name}", tensor, good, weight, "values from 0 to 1")


def peaks_at(pred: Tensor, rows: Any, labels: Any) -> Tensor:
    """How often each place of ``pred`` ``(n, c)`` is named by rows and labels ``(m,)``."""
    if pred.ndim != 2:
        raise ValueError(f"pred must have shape (n, c) where pos_inds is given, got {tuple(pred.shape)}.")
    for name, indices, size in (("pos_inds", rows, pred.shape[0]), ("pos_labels", labels, pred.shape[1])):
        if not holds_indices(indices):
            came = f"{indices.dtype} {tuple(indices.shape)}" if isinstance(indices, Tensor) else type(indices).__name__
            raise ValueError(f"{name} must hold integers (m,), as pos_inds and pos_labels go together, got {came}.")
        if indices.shape != rows.shape:
            raise ValueError(f"{name} must have the shape of pos_inds, {tuple(rows.shape)}, got {tuple(labels.shape)}.")
        if may_select(indices):
            check_rows(name, indices, (indices >= 0) & (indices < size), None, f"indices from 0 to {size - 1}")
    ones = torch.ones(rows.shape, device=pred.device)
    return torch.zeros(pred.shape, device=pred.device).index_put((rows.long(), labels.long()), ones, accumulate=True)


@published("VariFocalLoss")
class VarifocalLoss(ClassificationLoss):
    """Varifocal loss: positives weighted by their quality ``q``, negatives as focal loss.

    ``q BCE(p, q)`` where ``q > 0`` (``BCE(p, q)`` with ``iou_weighted=False``), else ``alpha p**gamma BCE(p, 0)``.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` qualities of the same shape, the IoU at the class of a positive
    and 0 elsewhere; weight ``(n,)`` (VFNet passes none), ``(n, 1)`` or ``(n, c)``; ``'none'`` gives ``(n, c)``.
    Range: [0, inf). A perfect positive of quality q costs q times the entropy of q.

    Paper: VarifocalNet, https://arxiv.org/abs/2008.13367. Differs from mmdet: a weight ``(n,)`` counts per row, also
    where ``n == c`` (mmdet then weighs classes instead, and raises elsewhere); see also the ledger, general part. Also
    registered as ``VariFocalLoss``.

    Args:
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        alpha: Weight of the negatives; 0.75 as the paper and mmdet.
        gamma: Power of the modulating factor of the negatives; 2.0 as the paper and mmdet.
        iou_weighted: Whether positives are weighted by their quality; True as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import VarifocalLoss
        >>> VarifocalLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([[0.0, 0.7, 0]]))
        tensor(0.6558)
    """

    function = staticmethod(F.varifocal_loss)
    passes = ("alpha", "gamma", "iou_weighted")
    paper = "https://arxiv.org/abs/2008.13367"
    tame = True
    best = None

    def __init__(
        self,
        use_sigmoid: bool = True,
        alpha: float = 0.75,
        gamma: float = 2.0,
        iou_weighted: bool = True,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        self.check_sigmoid(use_sigmoid)
        check_option("alpha", alpha, alpha >= 0, "0 or more")
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        self.alpha = alpha
        self.gamma = gamma
        self.iou_weighted = iou_weighted

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if isinstance(target, Tensor) and target.ndim < pred.ndim:
            raise ValueError(
                f"target must hold qualities in the shape of pred, {tuple(pred.shape)}, got {tuple(target.shape)}: "
                "a head that passes labels needs FocalLoss."
            )
        check_same_shape(pred, target)
        return (pred, target), element_weight(weight, pred)


VariFocalLoss = VarifocalLoss


@published()
class QualityFocalLoss(ClassificationLoss):
    """Quality focal loss: ``|q - p|**beta BCE(p, q)``, summed over the classes of a row.

    The quality ``q`` is the IoU of the box at the class of a positive and 0 elsewhere.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` a tuple of labels ``(n,)``, any label outside
    ``[0, c)`` being background, and qualities ``(n,)``, or dense qualities of pred's shape; weight ``(n,)`` or
    ``(n, 1)``; ``'none'`` gives ``(n,)``. Range: [0, inf), 0 where ``p = q`` everywhere.

    Paper: Generalized Focal Loss, https://arxiv.org/abs/2006.04388. Differs from mmdet: half predictions with float
    qualities work (an error there); see also the ledger, general part. The registered class is also an instance of
    mmdet's, as the DETR family asks.

    Args:
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        beta: Power of the modulating factor; 2.0 as the paper and mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        activated: Whether ``pred`` holds probabilities, as TOOD's does; default as mmdet.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import QualityFocalLoss
        >>> QualityFocalLoss()(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.7])))
        tensor(0.2197)
    """

    function = staticmethod(F.quality_focal_loss)
    passes = ("beta", "activated")
    paper = "https://arxiv.org/abs/2006.04388"

    def __init__(
        self,
        use_sigmoid: bool = True,
        beta: float = 2.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        self.check_sigmoid(use_sigmoid)
        check_option("beta", beta, beta >= 0, "0 or more")
        self.beta = beta
        self.activated = activated
        self.tame = not activated

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c), got {tuple(pred.shape)}.")
        lead = pred.shape[:-1]
        if isinstance(target, Tensor):
            if target.ndim < pred.ndim:
                raise ValueError(
                    "target must be a tuple of labels and qualities, or dense qualities in the shape of pred, "
                    f"{tuple(pred.shape)}, got one tensor of shape {tuple(target.shape)}: "
                    "a head that passes labels alone needs FocalLoss."
                )
            check_same_shape(pred, target)
            targets = (target.flatten(0, -2),)
        else:
            if not isinstance(target, (tuple, list)) or len(target) != 2:
                raise ValueError(
                    f"target must be a tuple of labels and qualities, or a tensor, got {type(target).__name__}."
                )
            label, score = target
            check_labels("target[0]", label, lead)
            check_target(score)
            if score.shape != lead:
                raise ValueError(f"target[1] must have shape {tuple(lead)}, got {tuple(score.shape)}.")
            targets = (label.reshape(-1), score.reshape(-1))
        return (pred.flatten(0, -2), *targets), row_weight(weight, lead)

    def evaluate(self, pred: Tensor, *args: Any) -> Tensor:
        loss = super().evaluate(pred, *args)
        return loss.reshape(pred.shape[:-1]) if loss.ndim else loss
