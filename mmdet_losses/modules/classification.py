"""Classification losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import functional as F
from .base import (
    Loss,
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
            classes = getattr(self, "num_classes", pred.shape[-1])
            good = (target >= 0) & (target <= classes)
            expected = f"labels from 0 to {classes}, which is background"
            check_rows(f"{type(self).__name__}: target", target, good, weight, expected)


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


@published()
class FocalLoss(ClassificationLoss):
    """Focal loss: ``alpha_t (1 - p_t)**gamma BCE``, of independent sigmoids.

    ``p_t`` is the probability of what the target says, ``alpha_t`` is ``alpha`` for positives and ``1 - alpha`` for
    negatives.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` integer labels ``(n,)``, any label outside
    ``[0, c)`` being background as mmdet's label ``c`` is, or one-hot ``(n, c)``; weight ``(n,)``, ``(n, 1)``,
    ``(n, c)`` or flattened ``(n * c,)``; ``'none'`` gives ``(n, c)``. Range: [0, inf), 0 at a perfect match.

    Paper: https://arxiv.org/abs/1708.02002. Differs from mmdet: the CPU and CUDA forms are one, bfloat16 works,
    label -1 is background (an error there on a CPU, background on CUDA), and predictions of any rank are accepted;
    see also the ledger, general part.

    Args:
        use_sigmoid: True; the softmax form does not exist, as in mmdet. Heads read this from the config, so write
            it there.
        gamma: Power of the modulating factor; 2.0 as the paper and mmdet.
        alpha: Weight of the positives; 0.25 as the paper and mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        activated: Whether ``pred`` holds probabilities; default as mmdet.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalLoss
        >>> FocalLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1474)
    """

    paper = "https://arxiv.org/abs/1708.02002"

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float = 0.25,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight, debug=debug)
        self.check_sigmoid(use_sigmoid)
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        check_option("alpha", alpha, 0 <= alpha <= 1, "from 0 to 1")
        self.gamma = gamma
        self.alpha = alpha
        self.activated = activated

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        check_labels_or_dense(pred, target)
        if isinstance(weight, Tensor) and weight.ndim == 1 and weight.numel() == pred.numel():
            weight = weight.reshape(pred.shape)
        return (pred, target), element_weight(weight, pred)

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.sigmoid_focal_loss(pred, target, gamma=self.gamma, alpha=self.alpha, activated=self.activated)


@published()
class VarifocalLoss(ClassificationLoss):
    """Varifocal loss: positives weighted by their quality ``q``, negatives as focal loss.

    ``q BCE(p, q)`` where ``q > 0`` (``BCE(p, q)`` with ``iou_weighted=False``), else ``alpha p**gamma BCE(p, 0)``.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` qualities of the same shape, the IoU at the class of a positive
    and 0 elsewhere; weight ``(n,)`` (VFNet passes none), ``(n, 1)`` or ``(n, c)``; ``'none'`` gives ``(n, c)``.
    Range: [0, inf). A perfect positive of quality q costs q times the entropy of q.

    Paper: VarifocalNet, https://arxiv.org/abs/2008.13367. Differs from mmdet: a weight ``(n,)`` counts per row, also
    where ``n == c`` (mmdet then weighs classes instead, and raises elsewhere); see also the ledger, general part.

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

    paper = "https://arxiv.org/abs/2008.13367"
    best = None

    def __init__(
        self,
        use_sigmoid: bool = True,
        alpha: float = 0.75,
        gamma: float = 2.0,
        iou_weighted: bool = True,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight, debug=debug)
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

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.varifocal_loss(pred, target, alpha=self.alpha, gamma=self.gamma, iou_weighted=self.iou_weighted)


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

    paper = "https://arxiv.org/abs/2006.04388"

    def __init__(
        self,
        use_sigmoid: bool = True,
        beta: float = 2.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight, debug=debug)
        self.check_sigmoid(use_sigmoid)
        check_option("beta", beta, beta >= 0, "0 or more")
        self.beta = beta
        self.activated = activated

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c), got {tuple(pred.shape)}.")
        lead = pred.shape[:-1]
        classes = pred.shape[-1]
        if isinstance(target, Tensor):
            if target.ndim < pred.ndim:
                raise ValueError(
                    "target must be a tuple of labels and qualities, or dense qualities in the shape of pred, "
                    f"{tuple(pred.shape)}, got one tensor of shape {tuple(target.shape)}: "
                    "a head that passes labels alone needs FocalLoss."
                )
            check_same_shape(pred, target)
            targets = (target.reshape(-1, classes),)
        else:
            if not isinstance(target, tuple | list) or len(target) != 2:
                raise ValueError(
                    f"target must be a tuple of labels and qualities, or a tensor, got {type(target).__name__}."
                )
            label, score = target
            check_labels("target[0]", label, lead)
            check_target(score)
            if score.shape != lead:
                raise ValueError(f"target[1] must have shape {tuple(lead)}, got {tuple(score.shape)}.")
            targets = (label.reshape(-1), score.reshape(-1))
        return (pred.reshape(-1, classes), *targets), row_weight(weight, lead)

    def evaluate(self, pred: Tensor, *args: Any) -> Tensor:
        loss = super().evaluate(pred, *args)
        return loss.reshape(pred.shape[:-1]) if loss.ndim else loss

    def unreduced(self, pred: Tensor, *targets: Tensor) -> Tensor:
        target = targets[0] if len(targets) == 1 else targets
        return F.quality_focal_loss(pred, target, beta=self.beta, activated=self.activated)
