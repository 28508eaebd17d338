"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtype import upcast
from .geometry import Box, area, divide, saturate, squared_length
from .pairs import box_pair


def extended_iou_loss(pred: Tensor, target: Tensor, *, smooth_point: float = 0.1) -> Tensor:
    """Extended-IoU loss, see :class:`~mmdet_losses.ExtendedIoULoss`; ``(n, 4)`` boxes to ``(n,)``."""
    pair = box_pair(pred, target)
    pred, target = pair.pred, pair.target
    left, top = torch.minimum(pred.x1, target.x1), torch.minimum(pred.y1, target.y1)
    x1, y1 = torch.maximum(pred.x1, target.x1) - left, torch.maximum(pred.y1, target.y1) - top
    x2, y2 = torch.minimum(pred.x2, target.x2) - left, torch.minimum(pred.y2, target.y2) - top
    width, height = x2 - x1, y2 - y1
    # The area of the intersection where the boxes overlap, and a negative one where a side of it is negative.
    signed = width.clamp(max=0) * (y1 + y2) + height.clamp(max=0) * (x1 + x2)
    intersection = torch.where((width >= 0) & (height >= 0), width * height, signed)
    union = area(*pair.pred_size) + area(*pair.target_size) - intersection
    loss = 1 - divide(intersection, union)
    return torch.where(loss < smooth_point, loss.square() / (2 * smooth_point), loss - smooth_point / 2)


def bounded_iou_loss(pred: Tensor, target: Tensor, *, beta: float = 0.2, eps: float = 1e-3) -> Tensor:
    """Bounded IoU loss, see :class:`~mmdet_losses.BoundedIoULoss`; ``(n, 4)`` boxes to ``(n, 4)`` for x, y, w, h."""
    pred, target = upcast(pred, target)
    pred, target = Box(*pred.unbind(-1)), Box(*target.unbind(-1))
    apart = (
        ((target.x1 - pred.x1) + (target.x2 - pred.x2)).abs(),
        ((target.y1 - pred.y1) + (target.y2 - pred.y2)).abs(),
    )
    # One minus each bound, on a common denominator: 1 - x of a good fit would lose its digits.
    position = [
        divide(2 * distance + eps, side + distance + eps).clamp(max=1)
        for distance, side in zip(apart, target.size, strict=True)
    ]
    shape = [
        divide((side - wanted).abs() + eps, torch.maximum(side, wanted) + eps)
        for side, wanted in zip(pred.size, target.size, strict=True)
    ]
    loss = torch.stack([*position, *shape], -1)
    return torch.where(loss < beta, loss.square() * (0.5 / beta), loss - 0.5 * beta)


def wasserstein_distance(pred: Tensor, target: Tensor) -> Tensor:
    """2-Wasserstein distance of boxes as Gaussians, ``sqrt(rho**2 + ((w - W)**2 + (h - H)**2) / 4)``; ``(n,)``.

    In the unit of the boxes. The gradient of a perfect match, where the root has none, is 0.
    """
    pair = box_pair(pred, target)
    (width, height), (wide, high) = pair.pred_size, pair.target_size
    squared = squared_length(*pair.offset()) + squared_length(width - wide, height - high) / 4
    match = squared == 0
    return torch.where(match, 0.0, torch.where(match, 1.0, squared).sqrt()) * pair.unit


def wasserstein_loss(
    pred: Tensor, target: Tensor, *, mode: str = "exp", gamma: float = 1.0, constant: float = 12.8
) -> Tensor:
    """Wasserstein loss, see :class:`~mmdet_losses.NWDLoss`; ``(n, 4)`` boxes to ``(n,)``."""
    if mode == "w2":
        # Not the distance squared: its unit squared may be too large for the dtype where the loss is not.
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
