"""Aligned pairs of rotated boxes ``(cx, cy, w, h, angle)``: what the losses of their Gaussians share."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from .dtype import upcast
from .geometry import unit_of

__all__ = ["GaussianPair", "gaussian_pair"]

LEAST_SIDE = 1e-9
"""A side counts as at least this share of the pair's longest side, so that a box without area has a covariance."""
FAR = 1e18
"""Quotients of lengths are clamped to this, the square of which float32 holds."""


class RotatedPair(NamedTuple):
    """Two sets of ``n`` rotated boxes, one tensor ``(n,)`` for each number; lengths in units of the longest side.

    Attributes:
        size: Width and height of the prediction.
        target_size: Width and height of the target.
        offset: Centre of the prediction minus centre of the target, along the axes of the image.
        angle: Angle of the prediction.
        target_angle: Angle of the target.
        unit: Longest side of the two boxes, in the unit of the original boxes; detached.
    """

    size: tuple[Tensor, Tensor]
    target_size: tuple[Tensor, Tensor]
    offset: tuple[Tensor, Tensor]
    angle: Tensor
    target_angle: Tensor
    unit: Tensor


def rotated_pair(pred: Tensor, target: Tensor, farthest: float = FAR) -> RotatedPair:
    """Boxes ``(n, 5)`` in the unit of their longest side, so that nothing overflows; sides below 0 count as 0.

    Args:
        pred: Predicted boxes ``(cx, cy, w, h, angle)``, the angle in radians.
        target: Target boxes of the same layout, shape and unit.
        farthest: Clamps the offset of the centres, in sides.
    """
    pred, target = upcast(pred, target)
    x, y, width, height, angle = pred.unbind(-1)
    x_gt, y_gt, width_gt, height_gt, angle_gt = target.unbind(-1)
    sides = (width, height, width_gt, height_gt)
    unit = unit_of(reduce(torch.maximum, sides).detach())
    scale = unit.reciprocal()
    width, height, width_gt, height_gt = (torch.relu(side) * scale for side in sides)
    offset = tuple(((one - other) * scale).clamp(-farthest, farthest) for one, other in ((x, x_gt), (y, y_gt)))
    return RotatedPair((width, height), (width_gt, height_gt), offset, angle, angle_gt, unit)


def turned(vector: tuple[Tensor, Tensor], angle: Tensor) -> tuple[Tensor, Tensor]:
    """Components of a vector along the axes of a box at an angle."""
    (x, y), cos, sin = vector, angle.cos(), angle.sin()
    return x * cos + y * sin, y * cos - x * sin


class GaussianPair(NamedTuple):
    """Rotated boxes as Gaussians with standard deviations of half their sides, ``n`` pairs.

    Lengths are in units of the longest side. Width and height of the target are exchanged, and its angle turned by a
    right angle, where the longer side of one box is called width and that of the other height. That is the same box,
    and then every sum below is of terms that are not negative: nothing cancels, and two equal boxes are exactly 0
    apart.

    Attributes:
        size: Width and height of the prediction.
        target_size: Width and height of the target.
        along: Offset of the centres along the sides of the prediction.
        target_along: Offset of the centres along the sides of the target.
        turn: ``sin(a)**2 (w**2 - h**2) (W**2 - H**2)``, with ``a`` the angle between the boxes: what turning adds.
        sin2: ``sin(a)**2``.
        unit: Longest side of the two boxes, in the unit of the original boxes; detached.
    """

    size: tuple[Tensor, Tensor]
    target_size: tuple[Tensor, Tensor]
    along: tuple[Tensor, Tensor]
    target_along: tuple[Tensor, Tensor]
    turn: Tensor
    sin2: Tensor
    unit: Tensor


def gaussian_pair(pred: Tensor, target: Tensor) -> GaussianPair:
    """Aligned rotated boxes ``(n, 5)`` as Gaussians, see :class:`GaussianPair`."""
    pair = rotated_pair(pred, target)
    width, height, wide, high = (
        torch.threshold(side, LEAST_SIDE, LEAST_SIDE) for side in (*pair.size, *pair.target_size)
    )
    along, (across, down) = (turned(pair.offset, angle) for angle in (pair.angle, pair.target_angle))
    crossed = (width - height) * (wide - high) < 0
    wide, high = torch.where(crossed, high, wide), torch.where(crossed, wide, high)
    across, down = torch.where(crossed, down, across), torch.where(crossed, across, down)
    between = pair.angle - pair.target_angle
    sin2 = torch.where(crossed, between.cos(), between.sin()).square()
    turn = sin2 * ((width - height) * (width + height)) * ((wide - high) * (wide + high))
    return GaussianPair((width, height), (wide, high), along, (across, down), turn, sin2, pair.unit)


def bounded(quotient: Tensor) -> Tensor:
    """A quotient of lengths whose square is finite."""
    return quotient.clamp(-FAR, FAR)
