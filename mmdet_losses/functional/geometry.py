"""Aligned pairs of boxes: the geometry that all IoU-type losses share, computed once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .dtype import upcast


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient that is ``numerator`` where the denominator is not positive, so that 0/0 is 0.

    Unlike an epsilon in the denominator this leaves every ordinary quotient exact, and the gradient of a
    degenerate one bounded.
    """
    return numerator / torch.where(denominator > 0, denominator, 1.0)


def saturate(x: Tensor) -> Tensor:
    """``1 - exp(-x)`` for x of at least 0, to rounding both in its value near 0 and in its gradient far off.

    The gradient of ``expm1`` is computed from its result, in which a small ``exp(-x)`` is lost.
    """
    near = x < 1
    return torch.where(near, -torch.expm1(-torch.where(near, x, 0.0)), 1 - torch.exp(-x))


def area(size: Tensor) -> Tensor:
    """Area of boxes of ``size`` ``(n, 2)``; boxes with a negative side have none."""
    width, height = size.clamp(min=0).unbind(-1)
    return width * height


def scaled(corners: Tensor, ratio: float | Tensor) -> Tensor:
    """Boxes ``(n, 2, 2)`` with both sides times ``ratio`` about their centres."""
    centre = corners.mean(1, keepdim=True)
    return centre + (corners - centre) * ratio


def overlap(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union in [0, 1], 0 where neither box has an area, and union of boxes ``(n, 2, 2)``."""
    low = torch.maximum(pred[:, 0], target[:, 0])
    high = torch.minimum(pred[:, 1], target[:, 1])
    intersection = area(high - low)
    union = area(pred[:, 1] - pred[:, 0]) + area(target[:, 1] - target[:, 0]) - intersection
    return divide(intersection, union).clamp(max=1), union


class BoxPair(NamedTuple):
    """Geometry of ``n`` aligned pairs of boxes, each seen in the frame of the box that encloses the pair.

    The origin is the corner of the enclosing box and the unit its longer side, both taken as constants.
    An IoU-type loss depends on neither, so its value and gradient are those of the original boxes, while
    nothing overflows, nothing underflows, and sizes of 1e-3 and of 1e6 are treated alike.

    Attributes:
        pred: Corners of the predicted boxes, ``(n, 2, 2)``: top-left and bottom-right, then x and y.
        target: Corners of the target boxes, ``(n, 2, 2)``.
        pred_size: Signed width and height of the predicted boxes, ``(n, 2)``.
        target_size: Signed width and height of the target boxes, ``(n, 2)``.
        unit: The unit in the unit of the original boxes, a constant, ``(n, 1)``.
        union: Area of the union, ``(n,)``.
        iou: Intersection over union in [0, 1], ``(n,)``; 0 where neither box has an area.
    """

    pred: Tensor
    target: Tensor
    pred_size: Tensor
    target_size: Tensor
    unit: Tensor
    union: Tensor
    iou: Tensor

    def hull(self) -> Tensor:
        """Width and height of the enclosing box, ``(n, 2)``."""
        low = torch.minimum(self.pred[:, 0], self.target[:, 0])
        high = torch.maximum(self.pred[:, 1], self.target[:, 1])
        return (high - low).clamp(min=0)

    def inner_iou(self, ratio: float) -> Tensor:
        """Intersection over union of both boxes with sides times ``ratio``, ``(n,)``."""
        return self.iou if ratio == 1 else overlap(scaled(self.pred, ratio), scaled(self.target, ratio))[0]

    def scaled(self, ratio: float | Tensor) -> BoxPair:
        """The pairs with all sides times ``ratio`` about the centre of each box, in the same frame."""
        return measure(scaled(self.pred, ratio), scaled(self.target, ratio), self.unit)

    def offset(self) -> Tensor:
        """Centre of the target minus centre of the prediction, ``(n, 2)``."""
        return (self.target.sum(1) - self.pred.sum(1)) / 2


def measure(pred: Tensor, target: Tensor, unit: Tensor) -> BoxPair:
    """Geometry of corners ``(n, 2, 2)`` in a frame of this unit."""
    pred_size, target_size = pred[:, 1] - pred[:, 0], target[:, 1] - target[:, 0]
    iou, union = overlap(pred, target)
    return BoxPair(pred, target, pred_size, target_size, unit, union, iou)


def box_pair(pred: Tensor, target: Tensor) -> BoxPair:
    """Geometry of aligned boxes.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit.
        target: Target boxes of the same layout, shape and unit.
    """
    pred, target = upcast(pred, target)
    pred, target = pred.unflatten(-1, (2, 2)), target.unflatten(-1, (2, 2))
    with torch.no_grad():
        # Over all corners and not only (x1, y1) and (x2, y2): an inverted box must not leave the frame.
        origin = torch.minimum(pred, target).amin(1, keepdim=True)
        extent = torch.maximum(pred, target).amax(1, keepdim=True) - origin
        longer = extent.amax(-1, keepdim=True)
        unit = torch.where(longer >= torch.finfo(longer.dtype).tiny, longer, 1.0)
    pred, target = (pred - origin) / unit, (target - origin) / unit

    return measure(pred, target, unit.squeeze(1))
