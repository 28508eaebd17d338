"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .arguments import check_choice
from .compiling import is_compiling
from .dtype import upcast
from .geometry import LEAST_SIDE, BoxPair, root, safe_divisor, saturate, smooth, squared_length
from .iou import ciou_terms
from .pairs import box_pair

__all__ = [
    "bounded_iou_loss",
    "extended_iou_loss",
    "gaussian_combined_loss",
    "scale_dynamic_iou_loss",
    "wasserstein_distance",
    "wasserstein_loss",
]

WASSERSTEIN_MODES = ("exp", "sqrt", "log", "norm_sqrt", "w2")


def extended_iou_loss(pred: Tensor, target: Tensor, *, smooth_point: float = 0.1) -> Tensor:
    """Extended-IoU loss, see :class:`~mmdet_losses.ExtendedIoULoss`; ``(n, 4)`` boxes to ``(n,)``."""
    # also written in kernels/cpp/boxes.h: Extended
    pair = box_pair(pred, target, extent=False)
    gap = pair.signed_gap()
    return smooth(1 - (pair.iou * pair.union + gap) / safe_divisor(pair.union - gap), smooth_point)


def bounded_iou_loss(pred: Tensor, target: Tensor, *, beta: float = 0.2, eps: float = 1e-3) -> Tensor:
    """Bounded IoU loss, see :class:`~mmdet_losses.BoundedIoULoss`; ``(n, 4)`` boxes to ``(n, 4)`` for x, y, w, h."""
    # also written in kernels/cpp/boxes.h: Bounded
    pred, target = upcast(pred, target)
    if is_compiling():
        # One tensor per coordinate, which torch.compile fuses into one loop over the boxes.
        axes = ([boxes[:, axis + side] for boxes in (pred, target) for side in (0, 2)] for axis in (0, 1))
        (x, width), (y, height) = (bounds_of_axis(*axis, eps) for axis in axes)
        return torch.stack([smooth(bound, beta) for bound in (x, y, width, height)], -1)
    axes = (side for boxes in (pred, target) for side in boxes.t().reshape(2, 2, -1))
    return smooth(torch.cat(bounds_of_axis(*axes, eps)), beta).t()


def bounds_of_axis(
    low: Tensor, high: Tensor, target_low: Tensor, target_high: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """``1 - bound`` of the position and of the side, along one axis of boxes."""
    side = target_high - target_low
    change = (high - low) - side
    apart = ((target_low - low) + (target_high - high)).abs()
    # On a common denominator: 1 - x cancels for a good fit.
    position = F.hardtanh((2 * apart + eps) / safe_divisor(apart + side + eps), -1.0, 1.0)
    return position, (change.abs() + eps) / safe_divisor(torch.relu(change) + side + eps)


def wasserstein_distance(pred: Tensor, target: Tensor) -> Tensor:
    """2-Wasserstein distance of boxes as Gaussians, ``sqrt(rho**2 + ((w - W)**2 + (h - H)**2) / 4)``; ``(n,)``.

    In the unit of the boxes. The gradient of a perfect match, where that of the root is infinite, is 0.
    """
    pair = box_pair(pred, target)
    (width, height), (wide, high) = pair.pred_size, pair.target_size
    squared = pair.squared_offset() + squared_length(width - wide, height - high) / 4
    return root(squared) * pair.unit


def wasserstein_loss(
    pred: Tensor, target: Tensor, *, mode: str = "exp", gamma: float = 1.0, constant: float = 12.8
) -> Tensor:
    """Wasserstein loss, see :class:`~mmdet_losses.NWDLoss`; ``(n, 4)`` boxes to ``(n,)``."""
    check_choice("wasserstein_loss", "mode", mode, WASSERSTEIN_MODES)
    if mode == "w2":
        # Not the distance squared: the square of the unit may overflow where the loss does not.
        pred, target = upcast(pred, target)
        low, high = (target - pred).unflatten(-1, (2, 2)).unbind(-2)
        return (((low + high) / 2).square() + (high - low).square() / 4).sum(-1)
    distance = wasserstein_distance(pred, target)
    if mode == "exp":
        return saturate(distance / constant)
    if mode == "log":
        # ln(d**2 + 1), in a form that does not square a large distance.
        doubled = 2 * distance.clamp(min=torch.finfo(distance.dtype).tiny).log()
        return torch.logaddexp(doubled, torch.zeros_like(doubled))
    if mode == "norm_sqrt":
        return 1 - 1 / (gamma + distance)
    return distance


def gaussian_combined_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Gaussian combined distance, see :class:`~mmdet_losses.GCDLoss`; ``(n, 4)`` boxes to ``(n,)``."""
    pair = box_pair(pred, target)
    (x, y), (width, height), (wide, high) = pair.offset(), pair.pred_size, pair.target_size
    total = combined_squares(x, width, wide) + combined_squares(y, height, high)
    return saturate(root(total / 2))


def combined_squares(offset: Tensor, size: Tensor, target_size: Tensor) -> Tensor:
    """Squared offset and half the squared difference of the sides along an axis, in units of either side."""
    total: Tensor | float = 0.0
    for unit in (size, target_size):
        # exp(-d) is 0 where these clamp; without it a side of 0 has the gradient inf * 0.
        unit = torch.threshold(unit, LEAST_SIDE, LEAST_SIDE)
        apart, change = ((x / unit).clamp(-800, 800) for x in (offset, size - target_size))
        total = total + apart.square() + change.square() / 4
    return total


def scale_dynamic_iou_loss(pred: Tensor, target: Tensor, *, delta: float = 0.5, area_ref: float = 81.0) -> Tensor:
    """Scale-based dynamic IoU loss, see :class:`~mmdet_losses.SDIoULoss`; ``(n, 4)`` boxes to ``(n,)``."""
    pair = box_pair(pred, target)
    distance, shape = ciou_terms(pair)
    share = of_overlap(pair, delta, area_ref)
    return share * (1 - pair.iou + shape) + (2 - share) * distance


def of_overlap(pair: BoxPair, delta: float, area_ref: float) -> Tensor:
    """Weight of overlap and aspect ratio by the target's area: 1 from ``area_ref`` on, ``1 - delta`` for none."""
    with torch.no_grad():
        width, height = (side.clamp(min=0) * pair.unit for side in pair.target_size)
        return 1 - delta * (1 - (width * height / area_ref).clamp(max=1))
