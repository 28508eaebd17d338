"""Slide loss: positives around the mean quality count most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import functional as F
from ...functional.dtype import upcast
from ..base import published
from ..declared import TRUE, option
from ..state import Stateful
from .quality_aware import QualityAwareLoss, counting

__all__ = ["EMASlideLoss", "SlideLoss"]

DECAY, WARM_UP = 0.999, 2000
"""Of the running mean, and the number of iterations in which it settles, as YOLO collections."""


@published()
class SlideLoss(QualityAwareLoss):
    """Slide loss: ``w(q) BCE(p, q)``, where positives near and above the mean quality ``m`` weigh more than the rest.

    ``w`` is 1 up to ``m - 0.1``, so for every negative, ``exp(1 - m)`` below ``m`` and ``exp(1 - q)`` from ``m`` on.
    ``m`` is the mean quality of the positives of a call whose weight is not 0, at least 0.2, and detached.

    Shapes: ``pred`` logits ``(n, c)``; ``target`` labels and qualities ``((n,), (n,))``, dense qualities ``(n, c)``, or
    labels; weight ``(n,)``, ``(n, 1)`` or ``(n, c)``; ``'none'`` gives ``(n, c)``.

    Paper: YOLO-FaceV2, https://arxiv.org/abs/2208.02019. mmdet has none. Differs from the authors' code, which has
    ``exp(m)`` in the middle, against the paper.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import SlideLoss
        >>> loss = SlideLoss(reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.7])))
        tensor(1.9877)
    """

    function = staticmethod(F.slide_loss)
    passes = ("activated", "class_weight")
    paper = "https://arxiv.org/abs/2208.02019"

    use_sigmoid: bool = option(default=True, check=TRUE)
    reduction: str = "mean"
    loss_weight: float = 1.0

    def align(
        self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        (pred, *targets), weight = super().align(pred, target, weight)
        mean = self.mean_quality(pred, targets, weight).expand(pred.shape[:-1])
        if len(targets) == 1:
            return (pred, *targets, torch.zeros_like(mean), mean), weight
        return (pred, *targets, mean), weight

    def targets(self, pred: Tensor, target: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        found = super().targets(pred, target)
        alone = len(found) == 1 and not found[0].is_floating_point()
        return (*found, torch.ones_like(found[0], dtype=torch.float32)) if alone else found

    def mean_quality(self, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None) -> Tensor:
        """Mean quality of the positives that count."""
        total, count = sums(pred, targets, weight)
        return total / count.clamp(min=1)


def sums(pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sum of the qualities of the positives that count, and their number."""
    (quality,) = upcast(targets[-1].detach())
    counts = counting(pred, targets, weight)
    return torch.where(counts, quality.clamp(0, 1), 0.0).sum(), counts.sum()


@published()
class EMASlideLoss(SlideLoss, Stateful):
    """Slide loss with a running mean of the qualities: :class:`SlideLoss` whose ``m`` follows the training.

    The mean is the buffer ``quality_mean``, which starts at 1 and is saved with the model, with ``updates``, the number
    of iterations ``k`` with positives: ``m = d m + (1 - d) m_k`` with ``d = 0.999 (1 - exp(-k / 2000))``. It is taken
    over the positives of all training calls and processes of an iteration, once at its end.

    Shapes: those of :class:`SlideLoss`.

    Paper: YOLO-FaceV2, https://arxiv.org/abs/2208.02019; the running mean is that of YOLO collections (``ema_slide``).
    mmdet has none. Differs from them: there the mean is not saved, and each process has its own.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        activated: Whether ``pred`` holds probabilities, as TOOD's does.
        class_weight: Weight of each class ``(c,)``, or ``dict(counts=[...], power=0.5)``: ``(1 / count)**power``,
            scaled to a mean of 1.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import EMASlideLoss, commit_statistics
        >>> loss = EMASlideLoss(reduction="sum")
        >>> value = loss(torch.tensor([[0.0, 2, -1]]), (torch.tensor([1]), torch.tensor([0.6])))
        >>> commit_statistics(loss)
        >>> loss.quality_mean
        tensor(0.6002)
    """

    use_sigmoid: bool = option(default=True, check=TRUE)
    reduction: str = "mean"
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        self.keep_buffers(quality_mean=(), updates=())
        self.keep_sums(quality=(), count=())
        self.reset_statistics()

    def reset_statistics(self) -> None:
        self.quality_mean.fill_(1)
        self.updates.zero_()

    def mean_quality(self, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None) -> Tensor:
        return self.quality_mean

    def observe(self, pred: Tensor, target: Tensor | Sequence[Tensor], weight: Tensor | None) -> None:
        (pred, *targets), weight = QualityAwareLoss.align(self, pred, target, weight)
        quality, count = sums(pred, targets, weight)
        self.gather(quality=quality, count=count.float())

    def commit(self, quality: Tensor, count: Tensor) -> None:
        known = count > 0
        self.updates.add_(known)
        decay = DECAY * -torch.expm1(-self.updates / WARM_UP)
        moved = torch.lerp(quality / count.clamp(min=1), self.quality_mean, decay)
        self.quality_mean.copy_(torch.where(known, moved, self.quality_mean))
