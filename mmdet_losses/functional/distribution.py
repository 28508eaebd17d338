"""Losses of distances predicted as discrete distributions, and the expectation of such a distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from .compiling import is_compiling
from .dtype import upcast

__all__ = ["distribution_focal_loss", "integral"]


def distribution_focal_loss(pred: Tensor, target: Tensor, *, y_min: float = 0.0, y_max: float | None = None) -> Tensor:
    """Distribution focal loss, see :class:`~mmdet_losses.DistributionFocalLoss`.

    Args:
        pred: Logits over bins that lie evenly from ``y_min`` to ``y_max``, ``(m, bins)``.
        target: Distances, ``(m,)``; clamped to ``[y_min, y_max]``.
        y_min: Distance of the first bin.
        y_max: Distance of the last bin; None is ``bins - 1``.

    Returns:
        Tensor ``(m,)``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.cpp: Distances
    pred, target = upcast(pred, target)
    last = pred.shape[-1] - 1
    if y_min or y_max is not None:
        target = (target - y_min) * (last / range_of_bins(last + 1, y_min, y_max))
    target = target.clamp(0, last)
    if is_compiling():
        # Weights of all bins, 0 except for the two beside the distance: a compiled gather has a slow backward.
        share = (1 - (target.unsqueeze(-1) - torch.arange(last + 1, device=pred.device)).abs()).clamp(min=0)
        return -torch.where(share != 0, share * pred.log_softmax(-1), 0).sum(-1)
    # Clamped after the cast: NaN as an integer is undefined.
    left = target.detach().long().clamp_(0, last - 1)
    right = left + 1
    log_prob = pred.log_softmax(-1)
    lower, upper = log_prob.gather(-1, torch.stack((left, right), -1)).unbind(-1)
    return (left - target) * upper + (target - right) * lower


def range_of_bins(bins: int, y_min: float, y_max: float | None) -> float:
    """Distance from the first bin to the last."""
    return (bins - 1 if y_max is None else y_max) - y_min


def integral(pred: Tensor, *, bins: int, y_min: float = 0.0, y_max: float | None = None) -> Tensor:
    """Expectation of discrete distributions, see :class:`~mmdet_losses.Integral`.

    Args:
        pred: Logits over bins that lie evenly from ``y_min`` to ``y_max``, ``(*, bins)`` or ``(*, k * bins)``.
        bins: Number of bins.
        y_min: Distance of the first bin.
        y_max: Distance of the last bin; None is ``bins - 1``.

    Returns:
        Tensor ``(*,)`` or ``(*, k)``, float32 (float64 where ``pred`` is).
    """
    (pred,) = upcast(pred)
    step = 1.0 if y_max is None and not y_min else range_of_bins(bins, y_min, y_max) / (bins - 1)
    prob = pred.unflatten(-1, (pred.shape[-1] // bins, bins)).softmax(-1)
    # In bins first: their numbers are exact in every dtype.
    distance = y_min + step * (prob * torch.arange(bins, device=pred.device, dtype=pred.dtype)).sum(-1)
    return distance.squeeze(-1) if pred.shape[-1] == bins else distance
