"""Focal loss and what was made of it: poly-1 and asymmetric losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ...functional.reduce import may_select
from ..base import published
from ..declared import BOOLEAN, FLAG, LESS_THAN_1, TRUE, Check, Option, at_least, keep_options, option
from ..facts import fact
from ..inputs import as_labels_or_dense, check_rows, row_weight
from ..options import Shared, check_option
from .base import FocalForm
from .per_class import are_within, is_one_for_all, kept_numbers

__all__ = ["AsymmetricLoss", "FocalLoss", "Poly1CrossEntropyLoss", "Poly1FocalLoss"]

ALPHA = Check(
    lambda value: value is None or is_one_for_all(value) or are_within(value, -math.inf),
    "a number or one number per class",
)


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

    Paper: https://arxiv.org/abs/1708.02002, the softmax being its multi-class reading. Differs from mmdet: the softmax
    form and ``alpha`` as a list or None exist, the CPU and CUDA forms are one, bfloat16 works, label -1 is background
    (an error there on a CPU, background on CUDA), and predictions of any rank are accepted; see also "All losses" in
    docs/deviations.md.

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

    passes = ("gamma", "alpha", "activated", "epsilon", "weigh_poly")
    per_class = ("alpha",)
    paper = "https://arxiv.org/abs/1708.02002"
    epsilon: ClassVar[float] = 0.0
    weigh_poly: ClassVar[bool] = False

    use_sigmoid: bool = option(default=True, check=BOOLEAN)
    gamma: float = option(default=2.0, check=at_least(0))
    alpha: float | Sequence[float] | Tensor | None = option(default=0.25, check=ALPHA, convert=kept_numbers)
    reduction: str = "mean"
    loss_weight: float = 1.0
    activated: bool = False

    def check_options(self) -> None:
        super().check_options()
        most, expected = (1, "from 0 to 1") if self.use_sigmoid else (math.inf, "0 or more")
        held = [self.alpha or 0.0] if self.alpha is None or is_one_for_all(self.alpha) else self.alpha
        check_option("alpha", self.alpha, are_within(held, 0, most), f"{expected}, or None to weigh nothing")

    @property
    def tame(self) -> bool:
        return self.use_sigmoid and not self.activated

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        self.check_per_class(pred)
        if self.use_sigmoid:
            return super().align(pred, target, weight)
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c) for a softmax, got {tuple(pred.shape)}.")
        target = as_labels_or_dense(pred, target)
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

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss if self.use_sigmoid else loss.reshape(pred.shape[:-1])

    @property
    def function(self) -> Callable[..., Tensor]:
        return F.sigmoid_focal_loss if self.use_sigmoid else F.softmax_focal_loss


class FocalKeywords(Shared, total=False):
    """Keywords of :class:`FocalLoss` that both poly-1 losses hand on to it."""

    reduction: str
    loss_weight: float
    activated: bool


class PolyKeywords(FocalKeywords, total=False):
    """Those that :class:`Poly1FocalLoss` hands on besides."""

    gamma: float
    alpha: float | Sequence[float] | Tensor | None


@published()
class Poly1FocalLoss(FocalLoss):
    """Poly-1 focal loss: focal loss with ``epsilon (1 - p_t)**(gamma + 1)`` added, its leading polynomial term.

    Shapes, units and targets: those of :class:`FocalLoss`, in both forms. With an ``epsilon`` below 0 it can be
    negative unless ``weigh_poly``, and is never less than ``epsilon``.

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
    bounds = fact((-1.0, math.inf), lambda loss: (0.0 if loss.weigh_poly else min(0.0, loss.epsilon), math.inf))

    rules: ClassVar = {"epsilon": Option(check=at_least(-1)), "weigh_poly": Option(check=FLAG)}

    def __init__(
        self,
        use_sigmoid: bool = True,
        epsilon: float = 1.0,
        *,
        weigh_poly: bool = False,
        **options: Unpack[PolyKeywords],
    ) -> None:
        super().__init__(use_sigmoid, **options)
        keep_options(self, {"epsilon": epsilon, "weigh_poly": weigh_poly})


@published()
class Poly1CrossEntropyLoss(Poly1FocalLoss):
    """Poly-1 cross-entropy: ``CE + epsilon (1 - p_t)``, :class:`Poly1FocalLoss` without ``gamma`` and ``alpha``.

    Shapes, units and targets: those of :class:`FocalLoss`, by default in its softmax form.

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
        **options: Unpack[FocalKeywords],
    ) -> None:
        super().__init__(use_sigmoid, epsilon, alpha=alpha, gamma=0.0, weigh_poly=True, **options)


@published()
class AsymmetricLoss(FocalForm):
    """Asymmetric loss: positives and negatives focused apart, easy negatives left out.

    ``-(1 - p)**gamma_pos ln p`` of a positive and ``-q**gamma_neg ln(1 - q)`` of a negative, with
    ``q = max(p - clip, 0)``; a target between 0 and 1 mixes the two.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` labels ``(n,)``, any label outside ``[0, c)`` being
    background, or dense ``(n, c)``; weight ``(n,)``, ``(n, 1)``, ``(n, c)`` or flattened ``(n * c,)``; ``'none'``
    gives ``(n, c)``.

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
        detach_focus: Whether the two powers are detached; False, as runs in the authors' code, whose
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

    use_sigmoid: bool = option(default=True, check=TRUE)
    gamma_neg: float = option(default=4.0, check=at_least(0))
    gamma_pos: float = option(default=1.0, check=at_least(0))
    clip: float = option(default=0.05, check=LESS_THAN_1)
    reduction: str = "mean"
    loss_weight: float = 1.0
    activated: bool = False
    detach_focus: bool = option(default=False, kw_only=True)
