"""Losses of distances that are predicted as discrete distributions."""

from __future__ import annotations

from torch import Tensor

from .. import functional as F
from .base import Loss, check_rows, check_target, published, row_weight


@published()
class DistributionFocalLoss(Loss):
    """Distribution focal loss: cross-entropy towards the two bins beside a continuous distance.

    With ``l = floor(y)``: ``(l + 1 - y) CE(pred, l) + (y - l) CE(pred, l + 1)``.

    Shapes and units: ``pred`` ``(m, bins)`` logits; ``target`` ``(m,)`` distances in bins (GFL: pixels over the
    stride, sides left, top, right, bottom), clamped to ``[0, bins - 1]``; the result with ``'none'`` is ``(m,)``.
    The least value is the entropy of the two shares: 0 for whole numbers, at most ln 2.

    Paper: Generalized Focal Loss, https://arxiv.org/abs/2006.04388. Differs from mmdet: a target of exactly
    ``bins - 1`` is valid (an index error there, a device-side assert on CUDA), and one outside the range is
    clamped (extrapolated there); see also the ledger, general part.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (GFL uses 0.25).
        debug: Names the first row whose target is outside ``[0, bins - 1]`` or that holds a value not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import DistributionFocalLoss
        >>> DistributionFocalLoss()(torch.tensor([[0.0, 1, 2, -1, 0.5]]), torch.tensor([1.3]))
        tensor(1.2744)
    """

    slot = "dfl"
    paper = "https://arxiv.org/abs/2006.04388"
    best = None

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        if pred.ndim != 2 or pred.shape[1] < 2:
            raise ValueError(f"pred must have shape (m, bins) with 2 bins or more, got {tuple(pred.shape)}.")
        check_target(target)
        if target.shape != pred.shape[:1]:
            raise ValueError(f"target must have shape {tuple(pred.shape[:1])}, got {tuple(target.shape)}.")
        return (pred, target), row_weight(weight, pred.shape[:1])

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, target = inputs
        last = pred.shape[1] - 1
        good = (target >= 0) & (target <= last)
        expected = f"distances in bins, 0 to {last} (divide by the stride, or raise reg_max)"
        check_rows(f"{type(self).__name__}: target", target, good, weight, expected)

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.distribution_focal_loss(pred, target)
