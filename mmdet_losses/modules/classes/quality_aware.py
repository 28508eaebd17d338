"""The quality-aware losses of the DETR line: a target made of the quality, with weights for positives and negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import functional as F
from ..base import published
from ..declared import SHARE, TRUE, at_least, between, declared, none_or, one_of, option
from ..inputs import as_labels_or_dense, element_weight
from .base import ClassificationLoss
from .per_class import WEIGHTS_OR_COUNTS, kept_weights
from .quality import labels_and_qualities

__all__ = ["DEIMMalLoss", "IABCELoss", "MatchabilityAwareLoss", "PositionSupervisedLoss", "RTDETRVarifocalLoss"]


@declared
class QualityAwareLoss(ClassificationLoss):
    """Base of the quality-aware losses.

    ``pred`` are logits ``(n, c)`` (or ``(*, c)``), or probabilities where ``activated``. ``target`` is a tuple of
    labels ``(n,)``, any label outside ``[0, c)`` being background, and qualities ``(n,)``, as mmdet's DETR heads, GFL,
    LD, RTMDet and TOOD pass to an instance of QualityFocalLoss; or dense qualities in the shape of ``pred``, as VFNet,
    YOLOX and most ports of RT-DETR pass, where what is above 0 is positive; or labels alone, whose quality is 1. A
    positive of quality 0, which the first iterations have many of, stays one only in the tuple. Qualities are detached
    and clamped to ``[0, 1]``. The weight is ``(n,)``, ``(n, 1)`` or ``(n, c)``; ``'none'`` gives the shape of ``pred``.

    Args:
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
    """

    best = None
    stands_for = ("QualityFocalLoss", "VarifocalLoss")
    per_class = ("class_weight",)

    activated: bool = option(default=False, kw_only=True)
    class_weight: Sequence[float] | Tensor | Mapping[str, Any] | None = option(
        default=None, check=WEIGHTS_OR_COUNTS, convert=kept_weights, kw_only=True
    )

    @property
    def tame(self) -> bool:
        return not self.activated

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim < 2:
            raise ValueError(
                f"pred must have shape (n, c), got {tuple(pred.shape)}: {type(self).__name__} weighs the classes of a "
                "row by its quality, and a head that passes single scores (GroundingDINOHead) needs FocalLoss."
            )
        self.check_per_class(pred)
        return (pred, *self.targets(pred, target)), element_weight(weight, pred)

    def targets(self, pred: Tensor, target: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A dense target, labels, or labels and their qualities, checked."""
        if isinstance(target, Tensor):
            return (as_labels_or_dense(pred, target),)
        return labels_and_qualities(target, pred.shape[:-1])


@published("DEIMMalLoss")
class MatchabilityAwareLoss(QualityAwareLoss):
    """Matchability-aware loss: ``BCE(p, q**gamma)`` of a positive, ``p**gamma BCE(p, 0)`` of a negative.

    A match of low quality is pulled to a low score, where varifocal loss would hardly weigh it.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` labels and qualities ``((n,), (n,))``, dense qualities ``(n, c)``, or
    labels; weight ``(n,)``, ``(n, 1)`` or ``(n, c)``; ``'none'`` gives ``(n, c)``. Also registered as ``DEIMMalLoss``.

    Paper: DEIM, https://arxiv.org/abs/2412.04234. mmdet has none; the registered class is an instance of mmdet's
    QualityFocalLoss and VarifocalLoss, so that its DETR heads pass qualities. Differs from the authors' code: qualities
    are clamped to ``[0, 1]``.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        gamma: Power of the quality and of the modulating factor, which is detached; 1.5 as every config of the authors
            (2.0 in the signature of their code).
        alpha: Weight of the negatives, ``mal_alpha`` of the authors' code; None, as there, is 1.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; the authors' configs have 1.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import MatchabilityAwareLoss
        >>> loss = MatchabilityAwareLoss(reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.7])))
        tensor(1.2444)
    """

    function = staticmethod(F.matchability_aware_loss)
    passes = ("gamma", "alpha", "activated", "class_weight")
    paper = "https://arxiv.org/abs/2412.04234"

    use_sigmoid: bool = option(default=True, check=TRUE)
    gamma: float = option(default=1.5, check=at_least(0))
    alpha: float | None = option(default=None, check=none_or(at_least(0)))
    reduction: str = "mean"
    loss_weight: float = 1.0


DEIMMalLoss = MatchabilityAwareLoss


@published()
class RTDETRVarifocalLoss(QualityAwareLoss):
    """Varifocal loss in RT-DETR's form: ``q BCE(p, q)`` of a positive, ``alpha p**gamma BCE(p, 0)`` of a negative.

    The value is that of :class:`VarifocalLoss` wherever a positive has a quality above 0; the gradient is not, since
    ``p**gamma`` is detached.

    Shapes: those of :class:`MatchabilityAwareLoss`.

    Paper: RT-DETR, https://arxiv.org/abs/2304.08069. mmdet has none; ports of RT-DETR to mmdet register a class of this
    name, which they keep. The registered class is an instance of mmdet's QualityFocalLoss and VarifocalLoss. Differs
    from the authors' code: qualities are clamped to ``[0, 1]``.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        alpha: Weight of the negatives; 0.75 as the authors' configs (0.2 in the signature of their code).
        gamma: Power of the modulating factor of negatives; 2.0 as the authors.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; the authors' configs have 1.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        detach_weight: Whether the modulating factor is detached; True as RT-DETR, D-FINE and DEIM, False as
            :class:`VarifocalLoss`.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import RTDETRVarifocalLoss
        >>> loss = RTDETRVarifocalLoss(reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.0])))
        tensor(0.1470)
    """

    function = staticmethod(F.rtdetr_varifocal_loss)
    passes = ("alpha", "gamma", "activated", "detach_weight", "class_weight")
    paper = "https://arxiv.org/abs/2304.08069"

    use_sigmoid: bool = option(default=True, check=TRUE)
    alpha: float = option(default=0.75, check=at_least(0))
    gamma: float = option(default=2.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    detach_weight: bool = option(default=True, kw_only=True)


@published()
class IABCELoss(QualityAwareLoss):
    """IoU-aware binary cross-entropy: ``BCE(p, t)`` of a positive with ``t = p**alpha q**(1 - alpha)``.

    A negative costs ``p**gamma BCE(p, 0)``. The target ``t`` is at least ``min_target`` and detached.

    Shapes: those of :class:`MatchabilityAwareLoss`.

    Paper: Align-DETR, https://arxiv.org/abs/2304.07527; LW-DETR and RF-DETR train with it. mmdet has none; the
    registered class is an instance of mmdet's QualityFocalLoss and VarifocalLoss. Differs from the authors' code: it is
    finite for every logit (they take logarithms of rounded probabilities), and the factor ``exp(-rank / tau)`` of a
    matcher with several matches per object is 1, as in LW-DETR and RF-DETR, since a loss does not know the ranks.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        alpha: Share of the probability in the target; 0.25 as the authors.
        gamma: Power of the modulating factor of negatives; 2.0 as the authors.
        min_target: Least target of a positive; 0.01 as the authors' code.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; 1 in RF-DETR.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        detach_weight: Whether the modulating factor is detached; False as Align-DETR, LW-DETR and RF-DETR, True as
            Relation-DETR.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import IABCELoss
        >>> loss = IABCELoss(reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.7])))
        tensor(0.8401)
    """

    function = staticmethod(F.iabce_loss)
    passes = ("alpha", "gamma", "min_target", "activated", "detach_weight", "class_weight")
    paper = "https://arxiv.org/abs/2304.07527"

    use_sigmoid: bool = option(default=True, check=TRUE)
    alpha: float = option(default=0.25, check=between(0, 1))
    gamma: float = option(default=2.0, check=at_least(0))
    min_target: float = option(default=0.01, check=SHARE)
    reduction: str = "mean"
    loss_weight: float = 1.0
    detach_weight: bool = option(default=False, kw_only=True)


@published()
class PositionSupervisedLoss(QualityAwareLoss):
    """Position-supervised loss: focal loss whose positive target is ``t = q**quality_power``.

    ``alpha |t - p|**gamma BCE(p, t)`` of a positive, ``(1 - alpha) p**gamma BCE(p, 0)`` of a negative.

    Shapes: those of :class:`MatchabilityAwareLoss`.

    Paper: Stable-DINO, https://arxiv.org/abs/2304.04742. mmdet has none; the registered class is an instance of mmdet's
    QualityFocalLoss and VarifocalLoss. Differs from the authors' code: the power is taken of ``|t - p|``, which is NaN
    there for a power that is not whole, and ``normalize`` knows the rows of a call and not those of an image.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        alpha: Weight of the positives, with ``1 - alpha`` for the negatives; 0.25 as the authors.
        gamma: Power of the modulating factors; 2.0 as the authors.
        quality_power: Power of the quality; 2.0 as the authors (their ``ta_beta``).
        normalize: ``'call'`` divides the targets by the largest quality of the call, over rows whose weight is not 0;
            None leaves them as they are. The authors divide by the largest of each image.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; 6 for matched queries and 1 for denoising ones in the authors' configs.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import PositionSupervisedLoss
        >>> loss = PositionSupervisedLoss(reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.5])))
        tensor(0.3088)
    """

    function = staticmethod(F.position_supervised_loss)
    passes = ("alpha", "gamma", "quality_power", "activated", "class_weight")
    paper = "https://arxiv.org/abs/2304.04742"

    use_sigmoid: bool = option(default=True, check=TRUE)
    alpha: float = option(default=0.25, check=between(0, 1))
    gamma: float = option(default=2.0, check=at_least(0))
    quality_power: float = option(default=2.0, check=at_least(0))
    normalize: str | None = option(default=None, check=one_of((None, "call")), kw_only=True)
    reduction: str = "mean"
    loss_weight: float = 1.0

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        (pred, *targets), weight = super().align(pred, target, weight)
        if self.normalize and self.quality_power and targets[-1].is_floating_point():
            *_, quality = targets
            counts = counting(pred, targets, weight)
            largest = torch.cat([torch.where(counts, quality, 0).flatten(), quality.new_zeros(1)]).amax()
            targets[-1] = quality * (1 / (largest + 1e-8)).clamp(min=1) ** (1 / self.quality_power)
        return (pred, *targets), weight


def counting(pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None) -> Tensor:
    """Which qualities are those of a positive whose weight is not 0."""
    if len(targets) == 1:
        positive = targets[0] > 0
        return positive if weight is None else positive & (weight != 0)
    label = targets[0]
    positive = (label >= 0) & (label < pred.shape[-1])
    return positive if weight is None else positive & (weight != 0).any(-1)
