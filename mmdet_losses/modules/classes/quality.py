"""Losses whose targets are qualities: varifocal and quality focal loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import functional as F
from ..base import published
from ..declared import TRUE, at_least, option
from ..inputs import as_labels, check_same_shape, check_target, element_weight, kind_of, row_weight
from .base import ClassificationLoss
from .per_class import WEIGHTS_OR_COUNTS, kept_weights

__all__ = ["QualityFocalLoss", "VariFocalLoss", "VarifocalLoss"]


def labels_and_qualities(target: Any, lead: torch.Size) -> tuple[Tensor, Tensor]:
    """A target that is a pair: labels of ``lead`` as int64, and a quality of each.

    Raises:
        ValueError: For anything else.
    """
    if not isinstance(target, (tuple, list)) or len(target) != 2:
        raise ValueError(f"target must be a tuple of labels and qualities, or a tensor, got {kind_of(target)}.")
    label, quality = as_labels("target[0]", target[0], lead), target[1]
    check_target(quality)
    if quality.shape != lead:
        raise ValueError(f"target[1] must have shape {tuple(lead)}, got {tuple(quality.shape)}.")
    return label, quality


@published("VariFocalLoss")
class VarifocalLoss(ClassificationLoss):
    """Varifocal loss: positives weighted by their quality ``q``, negatives as focal loss.

    ``q BCE(p, q)`` where ``q > 0`` (``BCE(p, q)`` with ``iou_weighted=False``), else ``alpha p**gamma BCE(p, 0)``.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` qualities of the same shape, the IoU at the class of a positive and 0
    elsewhere; weight ``(n,)`` (VFNet passes none), ``(n, 1)`` or ``(n, c)``; ``'none'`` gives ``(n, c)``. A perfect
    positive of quality q costs q times the entropy of q.

    Paper: VarifocalNet, https://arxiv.org/abs/2008.13367. Differs from mmdet: a weight ``(n,)`` counts per row, also
    where ``n == c`` (mmdet then weighs classes instead, and raises elsewhere); see also "All losses" in
    docs/deviations.md. Also registered as ``VariFocalLoss``.

    Args:
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        alpha: Weight of the negatives; 0.75 as the paper and mmdet.
        gamma: Power of the modulating factor of the negatives; 2.0 as the paper and mmdet.
        iou_weighted: Whether positives are weighted by their quality; True as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1; mmdet has no such option.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import VarifocalLoss
        >>> VarifocalLoss(reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([[0.0, 0.7, 0]]))
        tensor(0.6558)
    """

    function = staticmethod(F.varifocal_loss)
    passes = ("alpha", "gamma", "iou_weighted", "class_weight")
    per_class = ("class_weight",)
    paper = "https://arxiv.org/abs/2008.13367"
    tame = True
    best = None

    use_sigmoid: bool = option(default=True, check=TRUE)
    alpha: float = option(default=0.75, check=at_least(0))
    gamma: float = option(default=2.0, check=at_least(0))
    iou_weighted: bool = True
    reduction: str = "mean"
    loss_weight: float = 1.0
    class_weight: Sequence[float] | Tensor | Mapping[str, Any] | None = option(
        default=None, check=WEIGHTS_OR_COUNTS, convert=kept_weights, kw_only=True
    )

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if isinstance(target, Tensor) and target.ndim < pred.ndim:
            raise ValueError(
                f"target must hold qualities in the shape of pred, {tuple(pred.shape)}, got {tuple(target.shape)}: "
                "a head that passes labels needs FocalLoss."
            )
        check_same_shape(pred, target)
        self.check_per_class(pred)
        return (pred, target), element_weight(weight, pred)


VariFocalLoss = VarifocalLoss


@published()
class QualityFocalLoss(ClassificationLoss):
    """Quality focal loss: ``|q - p|**beta BCE(p, q)``, summed over the classes of a row.

    The quality ``q`` is the IoU of the box at the class of a positive and 0 elsewhere.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` a tuple of labels ``(n,)``, any label outside ``[0, c)`` being
    background, and qualities ``(n,)``, or dense qualities of pred's shape; weight ``(n,)`` or ``(n, 1)``; ``'none'``
    gives ``(n,)``. Dense maps ``(n, c, *)`` have their classes in the second axis, as in mmdet, weight ``(n, *)`` or
    ``(n, 1, *)`` and ``'none'`` ``(n, *)``; logits of more axes with labels, or with a weight ``(*, 1)`` of each row,
    as YOLOv3's head has it, have them in the last. 0 where ``p = q`` everywhere.

    Paper: Generalized Focal Loss, https://arxiv.org/abs/2006.04388. Differs from mmdet: half predictions with float
    qualities work (an error there); see also "All losses" in docs/deviations.md. The registered class is also an
    instance of mmdet's, as the DETR family asks.

    Args:
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        beta: Power of the modulating factor; 2.0 as the paper and mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        activated: Whether ``pred`` holds probabilities, as TOOD's does; default as mmdet.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1; mmdet has no such option.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import QualityFocalLoss
        >>> QualityFocalLoss()(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.7])))
        tensor(0.2197)
    """

    function = staticmethod(F.quality_focal_loss)
    passes = ("beta", "activated", "class_weight")
    per_class = ("class_weight",)
    paper = "https://arxiv.org/abs/2006.04388"

    use_sigmoid: bool = option(default=True, check=TRUE)
    beta: float = option(default=2.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    activated: bool = False
    class_weight: Sequence[float] | Tensor | Mapping[str, Any] | None = option(
        default=None, check=WEIGHTS_OR_COUNTS, convert=kept_weights, kw_only=True
    )

    @property
    def tame(self) -> bool:
        return not self.activated

    def evaluate(self, pred: Tensor, target: Any, weight: Tensor | None, avg_factor: Any, reduction: str) -> Tensor:
        if holds_maps(pred, target, weight):
            # what follows has the classes last
            if isinstance(weight, Tensor) and weight.ndim == pred.ndim:
                weight = weight.movedim(1, -1)
            pred, target = pred.movedim(1, -1), target.movedim(1, -1)
        return super().evaluate(pred, target, weight, avg_factor, reduction)

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c), got {tuple(pred.shape)}.")
        self.check_per_class(pred)
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
            label, score = labels_and_qualities(target, lead)
            targets = (label.reshape(-1), score.reshape(-1))
        return (pred.flatten(0, -2), *targets), row_weight(weight, lead)

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss.reshape(pred.shape[:-1])


def holds_maps(pred: Any, target: Any, weight: Any) -> bool:
    """Whether a dense target of three axes or more has its classes in the second one: no weight says that rows come."""
    if not isinstance(target, Tensor) or not isinstance(pred, Tensor) or target.shape != pred.shape or pred.ndim < 3:
        return False
    return not (isinstance(weight, Tensor) and weight.shape == (*pred.shape[:-1], 1))
