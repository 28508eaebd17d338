"""Aligned pairs of rotated boxes ``(cx, cy, w, h, angle)``: what the losses of their Gaussians share."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from .dtype import upcast
from .geometry import unit_of

__all__ = ["Gaussian", "GaussianPair", "gaussian_pair"]

LEAST_SIDE = 1e-9
"""A side counts as at least this share of the pair's longest side, so that a box without area has a covariance."""
FAR = 1e18
"""Quotients of lengths are clamped to this, the square of which float32 holds."""


class RotatedPair(NamedTuple):
    """Two sets of ``n`` rotated boxes, one tensor ``(n,)`` for each number.

    Attributes:
        size: Width and height of the prediction, in the unit of the original boxes; 0 or more.
        target_size: Width and height of the target, alike.
        offset: Centre of the prediction minus centre of the target along the axes of the image, in longest sides.
        angle: Angle of the prediction.
        target_angle: Angle of the target.
        unit: Longest side of the two boxes, and 1 where there is none; detached.
        scale: Its reciprocal.
    """

    size: tuple[Tensor, Tensor]
    target_size: tuple[Tensor, Tensor]
    offset: tuple[Tensor, Tensor]
    angle: Tensor
    target_angle: Tensor
    unit: Tensor
    scale: Tensor


def rotated_pair(pred: Tensor, target: Tensor, farthest: float = FAR) -> RotatedPair:
    """Boxes ``(n, 5)`` and the unit of their longest side, in which nothing overflows; sides below 0 are 0.

    Args:
        pred: Predicted boxes ``(cx, cy, w, h, angle)``, the angle in radians.
        target: Target boxes of the same layout, shape and unit.
        farthest: Clamps the offset of the centres, in longest sides.
    """
    pred, target = upcast(pred, target)
    x, y, width, height, angle = pred.unbind(-1)
    x_gt, y_gt, wide, high, angle_gt = target.unbind(-1)
    width, height, wide, high = (torch.relu(side) for side in (width, height, wide, high))
    unit = unit_of(reduce(torch.maximum, (width, height, wide, high)).detach())
    scale = unit.reciprocal()
    offset = tuple(((one - other) * scale).clamp(-farthest, farthest) for one, other in ((x, x_gt), (y, y_gt)))
    return RotatedPair((width, height), (wide, high), offset, angle, angle_gt, unit, scale)


def turned(vector: tuple[Tensor, Tensor], angle: Tensor) -> tuple[Tensor, Tensor]:
    """Components of a vector along the axes of a box at an angle."""
    (x, y), cos, sin = vector, angle.cos(), angle.sin()
    return x * cos + y * sin, y * cos - x * sin


class Gaussian(NamedTuple):
    """Rotated boxes as Gaussians with standard deviations of half their sides, ``(n,)`` each, in longest sides.

    Attributes:
        long: The longer side.
        short: The shorter side.
        flat: ``long**2 - short**2``.
        share: ``flat / long**2``.
        across: Offset of the centres along the shorter side.
    """

    long: Tensor
    short: Tensor
    flat: Tensor
    share: Tensor
    across: Tensor


class GaussianPair(NamedTuple):
    """Pairs of rotated boxes as Gaussians, in longest sides of the pair.

    Both are described by their longer and their shorter side, whatever is called width. What depends on the angle is a
    mean of two parts, as if the longer sides were parallel and as if they were at right angles, each of terms that are
    0 or more. So nothing cancels, and two equal boxes are exactly 0 apart.

    Attributes:
        pred: The predictions.
        target: The targets.
        offset: Offset of the centres, along the axes of the image.
        sides: Sides of the prediction, ``(4, n)``: the longer and the shorter, twice.
        other_sides: Sides of the target that they are parallel to, ``(4, n)``: those of parallel longer sides, then
            those of longer sides at right angles.
        change: ``sides - other_sides``, from before they were rounded.
        mix: Shares of the two parts, ``(2, n)``: ``cos**2`` and ``sin**2`` of the angle between the longer sides.
        unit: Longest side of the two boxes, in the unit of the original boxes; detached.
    """

    pred: Gaussian
    target: Gaussian
    offset: tuple[Tensor, Tensor]
    sides: Tensor
    other_sides: Tensor
    change: Tensor
    mix: Tensor
    unit: Tensor


def gaussian_pair(pred: Tensor, target: Tensor) -> GaussianPair:
    """Aligned rotated boxes ``(n, 5)`` as Gaussians, see :class:`GaussianPair`."""
    pair = rotated_pair(pred, target)
    (width, height), (wide, high), unit, scale = pair.size, pair.target_size, pair.unit, pair.scale
    # four sides of 0 count as 1: the boxes are points, of which the distance is compared
    nothing = reduce(torch.maximum, (width, height, wide, high)) <= torch.finfo(unit.dtype).tiny
    least = torch.where(nothing, 1.0, LEAST_SIDE * unit).detach()
    width, height, wide, high = (torch.maximum(side, least) for side in (width, height, wide, high))
    (x, y), (x_gt, y_gt) = (turned(pair.offset, angle) for angle in (pair.angle, pair.target_angle))
    upright, target_upright = height > width, high > wide
    long, short = torch.where(upright, height, width), torch.where(upright, width, height)
    tall, thin = torch.where(target_upright, high, wide), torch.where(target_upright, wide, high)
    between = pair.angle - pair.target_angle
    sin2 = torch.where(upright ^ target_upright, between.cos(), between.sin()).square()
    sides, other_sides = torch.stack((long, short, long, short)), torch.stack((tall, thin, thin, tall))
    return GaussianPair(
        gaussian(long, short, torch.where(upright, x, y), scale),
        gaussian(tall, thin, torch.where(target_upright, x_gt, y_gt), scale),
        pair.offset,
        sides * scale,
        other_sides * scale,
        (sides - other_sides) * scale,
        # not cos**2: of a circle both parts are equal, and the gradient in the angle is exactly 0
        torch.stack((1 - sin2, sin2)),
        unit,
    )


def gaussian(long: Tensor, short: Tensor, across: Tensor, scale: Tensor) -> Gaussian:
    """The parts of a :class:`Gaussian`; the difference of the sides is taken before they are scaled and rounded."""
    difference, long, short = (long - short) * scale, long * scale, short * scale
    flat = difference * (long + short)
    return Gaussian(long, short, flat, flat / long.square(), across)


def in_parts(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the four pairs of sides, as those of the longer and of the shorter sides, ``(2, n)`` each."""
    return values.unflatten(0, (2, 2)).unbind(1)


def bounded(quotient: Tensor) -> Tensor:
    """A quotient of lengths whose square is finite."""
    return quotient.clamp(-FAR, FAR)
