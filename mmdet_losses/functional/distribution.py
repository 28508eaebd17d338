"""Losses of distances that are predicted as discrete distributions."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtype import upcast


def distribution_focal_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Distribution focal loss, see :class:`~mmdet_losses.DistributionFocalLoss`.

    Args:
        pred: Logits over the bins ``0, ..., bins - 1``, ``(m, bins)``.
        target: Distances in bins, ``(m,)``; clamped to ``[0, bins - 1]``.

    Returns:
        Tensor ``(m,)``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, target)
    last = pred.shape[-1] - 1
    target = target.clamp(0, last)
    # The clamp comes after the cast: what a NaN becomes as an integer is not defined.
    left = target.detach().floor().long().clamp(0, last - 1)
    share = target - left
    log_prob = pred.log_softmax(-1)
    sides = log_prob.gather(-1, torch.stack((left, left + 1), -1))
    return -((1 - share) * sides[..., 0] + share * sides[..., 1])
