"""Aligned pairs of boxes: the geometry that all IoU-type losses share, computed once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BoxPair"]


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient, and ``numerator`` where the denominator is not positive, so that 0/0 is 0.

    Unlike an epsilon in the denominator it keeps every ordinary quotient exact and the gradient of 0/0 bounded.
    """
    return numerator / safe_divisor(denominator)


def safe_divisor(denominator: Tensor) -> Tensor:
    """``denominator``, and 1 where it is not positive."""
    return torch.threshold(denominator, 0.0, 1.0)


def negative_part(x: Tensor) -> Tensor:
    """``min(x, 0)`` with a backward of one operation, where that of ``clamp`` takes three."""
    return F.hardtanh(x, -torch.finfo(x.dtype).max, 0.0)


def smooth(x: Tensor, beta: float) -> Tensor:
    """Smooth L1 of nonnegative x: ``x**2 / (2 beta)`` where it is less than ``beta``, else ``x - beta / 2``."""
    return F.smooth_l1_loss(x, x.new_zeros(()).expand_as(x), reduction="none", beta=beta)


def root(x: Tensor) -> Tensor:
    """Square root of nonnegative x, with gradient 0, and not infinity, where x is 0."""
    zero = x <= 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def saturate(x: Tensor) -> Tensor:
    """``1 - exp(-x)`` of nonnegative x, accurate near 0 and with an accurate gradient for large x.

    The backward of ``expm1`` uses its result, in which a small ``exp(-x)`` is rounded away.
    """
    near = x < 1
    return torch.where(near, -torch.expm1(-torch.where(near, x, 0.0)), 1 - torch.exp(-x))


def area(width: Tensor, height: Tensor) -> Tensor:
    """Area of boxes; those with a negative side have none."""
    return width.clamp(min=0) * height.clamp(min=0)


def squared_length(x: Tensor, y: Tensor) -> Tensor:
    """``x**2 + y**2``."""
    return x.square() + y.square()


def peak_to_peak(*sides: Tensor) -> Tensor:
    """Largest minus smallest of some coordinates, per row."""
    return reduce(torch.maximum, sides) - reduce(torch.minimum, sides)


class Box(NamedTuple):
    """Corners of ``n`` boxes, one tensor ``(n,)`` for each coordinate."""

    x1: Tensor
    y1: Tensor
    x2: Tensor
    y2: Tensor


# Functions, and not methods of the tuple, which older compilers do not trace: torch 2.10 for one.
def size_of(box: Box) -> tuple[Tensor, Tensor]:
    """Signed width and height."""
    return box.x2 - box.x1, box.y2 - box.y1


def scaled_box(box: Box, ratio: float | Tensor) -> Box:
    """The boxes with both sides times ``ratio`` about their centres."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return Box(x + (box.x1 - x) * ratio, y + (box.y1 - y) * ratio, x + (box.x2 - x) * ratio, y + (box.y2 - y) * ratio)


LEAST_SIDE = 1e-12
"""Sides are clamped to this before the angle of an aspect ratio is taken."""


def aspect_angle(width: Tensor, height: Tensor) -> Tensor:
    """``atan(w / h)``, with a finite gradient also where a side is 0; a point counts as a square."""
    width, height = (torch.threshold(side, LEAST_SIDE, LEAST_SIDE) for side in (width, height))
    return torch.atan2(width, height)


def intersection_size(pred: Box, target: Box) -> tuple[Tensor, Tensor]:
    """Width and height of the intersection; one of them is negative where the boxes are disjoint."""
    width = torch.minimum(pred.x2, target.x2) - torch.maximum(pred.x1, target.x1)
    return width, torch.minimum(pred.y2, target.y2) - torch.maximum(pred.y1, target.y1)


def overlap(
    pred: Box, target: Box, pred_size: tuple[Tensor, Tensor], target_size: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Intersection over union in [0, 1], 0 where neither box has an area, and the area of the union."""
    intersection = area(*intersection_size(pred, target))
    union = area(*pred_size) + area(*target_size) - intersection
    # Rounding can leave it below the intersection; the correction is detached, so the gradient stays that of the sum.
    union = union + (intersection - union).clamp(min=0).detach()
    return divide(intersection, union), union


class Axis(NamedTuple):
    """One axis of pairs of boxes, ``(n,)`` each, or both axes stacked, ``(2, n)`` each.

    Attributes:
        size: Signed side of the prediction.
        target_size: Signed side of the target.
        offset: Centre of the target minus centre of the prediction.
        hull: Side of the enclosing box.
    """

    size: Tensor
    target_size: Tensor
    offset: Tensor
    hull: Tensor


class BoxPair:
    """Geometry of ``n`` aligned pairs of boxes, each seen in a frame of its own.

    The origin is the first corner of the prediction and the unit the largest distance of a side from it, both
    detached. An IoU-type loss depends on neither, so its value and gradient are those of the original boxes, while
    nothing overflows, nothing underflows, and sizes of 1e-3 and of 1e6 are treated alike. Each coordinate is a tensor
    ``(n,)`` of its own, which torch.compile fuses into one loop over the pairs.

    Attributes:
        pred: Predicted boxes.
        target: Target boxes.
        pred_size: Signed width and height of the predicted boxes.
        target_size: Signed width and height of the target boxes.
        unit: Side length of the frame, in the unit of the original boxes; detached.
        union: Area of the union.
        iou: Intersection over union in [0, 1]; 0 where neither box has an area.
    """

    # also written in functional/pairs.py: Geometry, ValuePair
    # also written in kernels/cpp/boxes.h: Pair

    def __init__(self, pred: Box, target: Box, unit: Tensor) -> None:
        self.pred, self.target, self.unit = pred, target, unit
        self.pred_size, self.target_size = size_of(pred), size_of(target)
        self.iou, self.union = overlap(pred, target, self.pred_size, self.target_size)

    def hull(self) -> tuple[Tensor, Tensor]:
        """Width and height of the enclosing box."""
        pred, target = self.pred, self.target
        width = torch.maximum(pred.x2, target.x2) - torch.minimum(pred.x1, target.x1)
        height = torch.maximum(pred.y2, target.y2) - torch.minimum(pred.y1, target.y1)
        return width.clamp(min=0), height.clamp(min=0)

    def intersection_size(self) -> tuple[Tensor, Tensor]:
        """Width and height of the intersection, signed."""
        return intersection_size(self.pred, self.target)

    def inner(self) -> tuple[Tensor, Tensor]:
        """Former name of :meth:`intersection_size`."""
        return self.intersection_size()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Sizes and offsets along x and along y, to be read through :meth:`each` or :meth:`total`."""
        parts = zip(self.pred_size, self.target_size, self.offset(), self.hull(), strict=True)
        return tuple(Axis(*part) for part in parts)

    def each(self, of_axes: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Values computed per axis from :attr:`axes`: those along x and those along y, ``(n,)`` each."""
        x, y = of_axes
        return x, y

    def total(self, of_axes: Iterable[Tensor]) -> Tensor:
        """Sum over the axes of values computed per axis from :attr:`axes`, ``(n,)``."""
        x, y = of_axes
        return x + y

    def squared_offset(self) -> Tensor:
        """Squared distance of the centres."""
        return squared_length(*self.offset())

    def squared_diagonal(self) -> Tensor:
        """Squared diagonal of the enclosing box."""
        return squared_length(*self.hull())

    def aspect_change(self) -> Tensor:
        """Angle of the target's aspect ratio minus that of the prediction's."""
        return aspect_angle(*self.target_size) - aspect_angle(*self.pred_size)

    def signed_gap(self) -> Tensor:
        """Negative area that stands for the intersection of disjoint boxes in Extended-IoU; 0 where they overlap."""
        (width, height), pred, target = self.intersection_size(), self.pred, self.target
        # Sum of the two corners of the intersection, relative to the first corner of the enclosing box.
        x, y = 2 * (pred.x1 - target.x1).abs() + width, 2 * (pred.y1 - target.y1).abs() + height
        return torch.addcmul(negative_part(width) * y, negative_part(height), x)

    def inner_iou(self, ratio: float) -> Tensor:
        """Inner-IoU: intersection over union of both boxes with sides times ``ratio``."""
        return self.iou if ratio == 1 else self.scaled(ratio).iou

    def scaled(self, ratio: float | Tensor) -> BoxPair:
        """The pairs with all sides times ``ratio`` about the centre of each box, in the same frame."""
        return BoxPair(scaled_box(self.pred, ratio), scaled_box(self.target, ratio), self.unit)

    def offset(self) -> tuple[Tensor, Tensor]:
        """Centre of the target minus centre of the prediction, along x and y."""
        pred, target = self.pred, self.target
        return ((target.x1 - pred.x1) + (target.x2 - pred.x2)) / 2, ((target.y1 - pred.y1) + (target.y2 - pred.y2)) / 2


def framed(pred: Tensor, target: Tensor) -> BoxPair:
    """Geometry of aligned boxes ``(n, 4)``, one tensor per coordinate."""
    pred, target = Box(*pred.unbind(-1)), Box(*target.unbind(-1))
    x, y = pred.x1.detach(), pred.y1.detach()
    pred, target = (Box(box.x1 - x, box.y1 - y, box.x2 - x, box.y2 - y) for box in (pred, target))
    with torch.no_grad():
        # From all corners and not only (x1, y1) and (x2, y2): an inverted box must not leave the frame.
        unit = unit_of(reduce(torch.maximum, map(torch.abs, (*pred, *target))))
        scale = unit.reciprocal()
    pred, target = (Box(*(side * scale for side in box)) for box in (pred, target))
    return BoxPair(pred, target, unit)


def unit_of(length: Tensor) -> Tensor:
    """``length`` clamped so that its reciprocal is a normal number, and 1 where it is too small to divide by."""
    tiny = torch.finfo(length.dtype).tiny
    return torch.threshold(length, tiny, 1.0).clamp_(max=1 / tiny)
