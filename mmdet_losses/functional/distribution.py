"""Losses of distances predicted as discrete distributions, and the expectation of such a distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from .compiling import is_compiling
from .dtype import upcast
from .geometry import safe_divisor

__all__ = ["dfine_bins", "distribution_focal_loss", "fgl_targets", "integral"]


def distribution_focal_loss(
    pred: Tensor, target: Tensor, *, y_min: float = 0.0, y_max: float | None = None, bins: Tensor | None = None
) -> Tensor:
    """Distribution focal loss, see :class:`~mmdet_losses.DistributionFocalLoss`.

    Args:
        pred: Logits over bins that lie evenly from ``y_min`` to ``y_max``, or as ``bins`` says, ``(m, bins)``.
        target: Distances, ``(m,)``; clamped to the range of the bins.
        y_min: Distance of the first bin.
        y_max: Distance of the last bin; None is ``bins - 1``.
        bins: Distance of each bin, ascending, ``(bins,)``.

    Returns:
        Tensor ``(m,)``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.cpp: Distances
    # also written in kernels/cpp/cuda/rows.h: Distribution
    pred, target = upcast(pred, target)
    last = pred.shape[-1] - 1
    if bins is not None:
        return between_bins(pred, target, bins.to(target.dtype))
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


def between_bins(pred: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy towards the two bins beside a distance, each by its nearness; bins at any distances."""
    target = target.clamp(bins[0], bins[-1])
    left = (torch.bucketize(target.detach(), bins, right=True) - 1).clamp(max=len(bins) - 2)
    low, high = bins[left], bins[left + 1]
    share = (target - low) / (high - low)
    log_prob = pred.log_softmax(-1)
    if is_compiling():
        # As above: the shares of all bins.
        index = torch.arange(len(bins), device=pred.device) - left.unsqueeze(-1)
        share = share.unsqueeze(-1)
        share = torch.where(index == 0, 1 - share, torch.where(index == 1, share, 0))
        return -torch.where(share != 0, share * log_prob, 0).sum(-1)
    lower, upper = log_prob.gather(-1, torch.stack((left, left + 1), -1)).unbind(-1)
    return -((1 - share) * lower + share * upper)


def range_of_bins(bins: int, y_min: float, y_max: float | None) -> float:
    """Distance from the first bin to the last."""
    return (bins - 1 if y_max is None else y_max) - y_min


def integral(pred: Tensor, *, bins: int | Tensor, y_min: float = 0.0, y_max: float | None = None) -> Tensor:
    """Expectation of discrete distributions, see :class:`~mmdet_losses.Integral`.

    Args:
        pred: Logits over bins that lie evenly from ``y_min`` to ``y_max``, ``(*, bins)`` or ``(*, k * bins)``.
        bins: Number of bins, or the distance of each, ``(bins,)``.
        y_min: Distance of the first bin.
        y_max: Distance of the last bin; None is ``bins - 1``.

    Returns:
        Tensor ``(*,)`` or ``(*, k)``, float32 (float64 where ``pred`` is).
    """
    (pred,) = upcast(pred)
    if isinstance(bins, Tensor):
        prob = pred.unflatten(-1, (pred.shape[-1] // len(bins), len(bins))).softmax(-1)
        distance = (prob * bins.to(prob)).sum(-1)
        return distance.squeeze(-1) if pred.shape[-1] == len(bins) else distance
    step = 1.0 if y_max is None and not y_min else range_of_bins(bins, y_min, y_max) / (bins - 1)
    prob = pred.unflatten(-1, (pred.shape[-1] // bins, bins)).softmax(-1)
    # In bins first: their numbers are exact in every dtype.
    distance = y_min + step * (prob * torch.arange(bins, device=pred.device, dtype=pred.dtype)).sum(-1)
    return distance.squeeze(-1) if pred.shape[-1] == bins else distance


def dfine_bins(reg_max: int = 32, up: float = 0.5, reg_scale: float = 4.0) -> list[float]:
    """D-FINE's distances of the bins, ``reg_max + 1`` of them: dense near 0 and growing by a constant factor.

    Args:
        reg_max: Number of intervals, even, 4 or more.
        up: Half of the distance of the last bin, in units of ``reg_scale``.
        reg_scale: How many units a side of the reference box has; 4 in D-FINE, 8 in its largest models.

    Returns:
        The distances, ascending and symmetric about 0, for ``DistributionFocalLoss(bins=...)``.

    Raises:
        ValueError: For a number of intervals that is odd or below 4.

    Paper: D-FINE, https://arxiv.org/abs/2410.13842.
    """
    if reg_max < 4 or reg_max % 2:
        raise ValueError(f"reg_max must be an even number, 4 or more, got {reg_max!r}.")
    bound = abs(up * reg_scale)
    growth = (bound + 1) ** (2 / (reg_max - 2))
    half = [growth**i - 1 for i in range(1, reg_max // 2)]
    return [-2 * bound, *(-x for x in reversed(half)), 0.0, *half, 2 * bound]


def fgl_targets(reference: Tensor, boxes: Tensor, *, reg_scale: float = 4.0) -> Tensor:
    """Distances that D-FINE's fine-grained localisation loss learns, in the units of :func:`dfine_bins`.

    How far each side of a box lies outside of that of its reference box, whose own sides have ``reg_scale`` units: left
    ``(cx - x1) / (w / reg_scale) - reg_scale / 2``, right ``(x2 - cx) / (w / reg_scale) - reg_scale / 2``, top and
    bottom alike.

    Args:
        reference: Reference boxes ``(cx, cy, w, h)``, ``(n, 4)``.
        boxes: Target boxes ``(x1, y1, x2, y2)`` in the same unit, ``(n, 4)``.
        reg_scale: As in :func:`dfine_bins`.

    Returns:
        Tensor ``(n, 4)``: left, top, right, bottom; float32 (float64 where an input is).

    Example:
        >>> import torch
        >>> from mmdet_losses.functional import fgl_targets
        >>> fgl_targets(torch.tensor([[10.0, 10, 8, 6]]), torch.tensor([[5.0, 8, 15, 12]]))
        tensor([[ 0.5000, -0.6667,  0.5000, -0.6667]])

    Paper: D-FINE, https://arxiv.org/abs/2410.13842.
    """
    reference, boxes = upcast(reference, boxes)
    centre, size = reference.unflatten(-1, (2, 2)).unbind(-2)
    low, high = boxes.unflatten(-1, (2, 2)).unbind(-2)
    return torch.cat((centre - low, high - centre), -1) * (reg_scale / safe_divisor(size)).repeat(1, 2) - reg_scale / 2
