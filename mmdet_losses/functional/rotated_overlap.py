"""Intersection over union of rotated boxes, exact and differentiable, without sorting vertices."""

from __future__ import annotations

import torch
from torch import Tensor

from .geometry import divide
from .iou import linear_cost, log_cost, square_cost
from .rotated import rotated_pair, turned

__all__ = ["rotated_iou", "rotated_iou_loss"]

APART = 4.0
"""Boxes whose centres are this many of their longest sides apart are disjoint, however far they are."""
SHORT = 1e-18
"""Lengths, in longest sides, that are too short to divide by twice, as a gradient does, in float32."""


def rotated_iou(pred: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of aligned rotated boxes; ``(n, 5)`` boxes to ``(n,)`` from 0 to 1.

    0 where neither box has an area. Boxes that are disjoint have no gradient. Where sides coincide, their gradient is
    the mean of those on both sides, so it is 0 at a perfect match.

    Args:
        pred: Predicted boxes ``(cx, cy, w, h, angle)``, the angle in radians.
        target: Target boxes of the same layout, shape and unit.
    """
    pair = rotated_pair(pred, target, APART)
    size, target_size = (tuple(side * pair.scale for side in sides) for sides in (pair.size, pair.target_size))
    area = intersection(size, target_size, pair.offset, pair.angle, pair.target_angle)
    union = size[0] * size[1] + target_size[0] * target_size[1] - area
    # Rounding can leave it below the intersection; the correction is detached, so the gradient stays that of the sum.
    union = union + (area - union).clamp(min=0).detach()
    return divide(area, union)


def rotated_iou_loss(pred: Tensor, target: Tensor, *, mode: str = "log", eps: float = 1e-6) -> Tensor:
    """Rotated IoU loss, see :class:`~mmdet_losses.RotatedIoULoss`; ``(n, 5)`` boxes to ``(n,)``."""
    costs = {"linear": linear_cost, "square": square_cost, "log": log_cost(eps)}
    return costs[mode](rotated_iou(pred, target))


Sides = tuple[Tensor, Tensor]


def intersection(size: Sides, target_size: Sides, offset: Sides, angle: Tensor, target_angle: Tensor) -> Tensor:
    """Area of the intersection, by Green's theorem.

    In the frame of the target it is the integral of ``clamp(x, -W / 2, W / 2) dy`` along the outline of the
    prediction, where ``y`` is from ``-H / 2`` to ``H / 2``. So each edge adds a mean of a clamped ``x`` times a clamped
    rise: there are no vertices of an intersection to be found, sorted, or lost by rounding. The origin is the centre
    of the prediction, for the digits of a small one, and y the axis that its longer side is nearer to.

    Args:
        size: Width and height of the prediction.
        target_size: Width and height of the target.
        offset: Centre of the prediction minus centre of the target, along the axes of the image.
        angle: Angle of the prediction.
        target_angle: Angle of the target.
    """
    (width, height), (wide, high) = size, target_size
    cos, sin = (angle - target_angle).cos(), (angle - target_angle).sin()
    x, y = turned(offset, target_angle)
    own = turned(offset, angle)
    apart = disjoint(size, target_size, own, (x, y), (cos.abs(), sin.abs()))
    lies = (width >= height) == (cos.abs() > sin.abs())
    x, y, wide, high, cos, sin = (
        torch.where(lies, one, other)
        for one, other in ((y, x), (-x, y), (high, wide), (wide, high), (sin, cos), (-cos, sin))
    )
    # half of the side along the width, and of the one along the height
    (right, up), (left, top) = (cos * width / 2, sin * width / 2), (sin * height / 2, cos * height / 2)
    corners_x = torch.stack((left - right, left + right, right - left, -left - right))
    corners_y = torch.stack((-up - top, up - top, up + top, top - up))
    run = 2 * torch.stack((right, -left, -right, left))
    rise = 2 * torch.stack((up, top, -up, -top))
    clamped_y = within(corners_y, y, high)
    # the part of an edge that is beyond, by its first and by its last corner; of an edge that is wholly beyond, any
    # number, since it adds a rise of 0
    slope = torch.where(rise.abs() > SHORT, rise, 1.0)
    gap = clamped_y - corners_y
    start, stop = corners_x + gap / slope * run, corners_x.roll(-1, 0) + gap.roll(-1, 0) / slope * run
    area = ((clamped_y.roll(-1, 0) - clamped_y) * mean_of_clamped(start, stop, x, wide)).sum(0)
    return torch.where(apart, 0.0, area.clamp(min=0))


def within(value: Tensor, offset: Tensor, side: Tensor) -> Tensor:
    """``value`` clamped to a side whose middle is at ``-offset``; gradients of equal values are halved."""
    return torch.maximum(torch.minimum(value, side / 2 - offset), -side / 2 - offset)


def mean_of_clamped(start: Tensor, stop: Tensor, offset: Tensor, side: Tensor) -> Tensor:
    """Mean of the clamped value on the way from one value to another."""
    low, high = within(start, offset, side), within(stop, offset, side)
    way = stop - start
    share = (high - low) / torch.where(way.abs() > SHORT, way, 1.0)
    return (low + high + share * ((start - low) + (stop - high))) / 2


def disjoint(size: Sides, target_size: Sides, own: Sides, offset: Sides, turn: Sides) -> Tensor:
    """Whether one of the four sides separates the boxes.

    Args:
        size: Width and height of the prediction.
        target_size: Width and height of the target.
        own: Offset of the centres along the sides of the prediction.
        offset: Offset of the centres along the sides of the target.
        turn: Cosine and sine of the angle between the boxes, without their signs.
    """
    (width, height), (wide, high), (cos, sin) = size, target_size, turn
    return (
        (2 * offset[0].abs() >= wide + width * cos + height * sin)
        | (2 * offset[1].abs() >= high + width * sin + height * cos)
        | (2 * own[0].abs() >= width + wide * cos + high * sin)
        | (2 * own[1].abs() >= height + wide * sin + high * cos)
    )
