"""Box geometry for eager mode, where each operation costs a launch: the value alone, or a hand-written backward."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .compiling import is_compiling
from .dtype import upcast
from .geometry import (
    LEAST_SIDE,
    Axis,
    Box,
    BoxPair,
    framed,
    negative_part,
    safe_divisor,
    squared_length,
    unit_of,
)

__all__ = ["box_pair"]


def box_pair(pred: Tensor, target: Tensor, *, extent: bool = True) -> BoxPair:
    """Geometry of aligned boxes.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit.
        target: Target boxes of the same layout, shape and unit.
        extent: Whether centre offset or enclosing box will be read; if they are read all the same, they cost more.
    """
    pred, target = upcast(pred, target)
    # what is_traced asks, without another call on the way of every loss of boxes
    if is_compiling() or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return framed(pred, target)
    if not torch.is_grad_enabled() or not (pred.requires_grad or target.requires_grad):
        return ValuePair(pred, target)
    if target.requires_grad:
        return framed(pred, target)
    *of_pred, detached = Geometry.apply(pred, target, extent)
    return PackedPair(*of_pred, *detached)


def transposed(matrix: Tensor) -> Tensor:
    """``matrix.t().contiguous()`` in all threads; torch transposes a single matrix in one, a batch in all."""
    return matrix.unsqueeze(0).transpose(1, 2).contiguous().squeeze(0)


def columns_of(pred: Tensor, target: Tensor) -> Tensor:
    """Corners of both sets of boxes, coordinate by coordinate: ``(4, 2, n)``, two corners of x and y for each set."""
    return torch.stack((pred, target)).transpose(1, 2).contiguous().view(4, 2, -1)


class PackedPair(BoxPair):
    """A :class:`BoxPair` with x and y stacked, ``(2, n)``, which are split only where a loss reads them apart.

    Args:
        low, high: Corners of the predicted boxes.
        span: Signed width and height of the predicted boxes.
        intersection_span: Signed width and height of the intersection.
        union, iou, unit: As in :class:`BoxPair`.
        extent: See the property; None computes it on first use.
        target_low, target_high, target_span: Corners, and width and height, of the target boxes.
    """

    def __init__(
        self,
        low: Tensor,
        high: Tensor,
        span: Tensor,
        intersection_span: Tensor,
        union: Tensor,
        iou: Tensor,
        extent: Tensor | None,
        unit: Tensor,
        target_low: Tensor,
        target_high: Tensor,
        target_span: Tensor,
    ) -> None:
        self.low, self.high = low, high
        self.span, self.intersection_span = span, intersection_span
        self.union, self.iou, self.unit = union, iou, unit
        if extent is not None:
            self.extent = extent
        self.target_low, self.target_high, self.target_span = target_low, target_high, target_span

    @cached_property
    def pred(self) -> Box:
        return Box(*self.low.unbind(), *self.high.unbind())

    @cached_property
    def target(self) -> Box:
        return Box(*self.target_low.unbind(), *self.target_high.unbind())

    @cached_property
    def pred_size(self) -> tuple[Tensor, Tensor]:
        return self.span.unbind()

    @cached_property
    def target_size(self) -> tuple[Tensor, Tensor]:
        return self.target_span.unbind()

    @cached_property
    def extent(self) -> Tensor:
        """Offset of the centres, and width and height of the enclosing box, ``(2, 2, n)``."""
        return torch.stack((*super().offset(), *super().hull())).unflatten(0, (2, 2))

    @cached_property
    def squared_extent(self) -> tuple[Tensor, Tensor]:
        """Squared distance of the centres, and squared diagonal of the enclosing box."""
        return self.extent.square().sum(1).unbind()

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis(self.span, self.target_span, *self.extent.unbind()),)

    def each(self, of_axes: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        (both,) = of_axes
        return both.unbind()

    def total(self, of_axes: Iterable[Tensor]) -> Tensor:
        (both,) = of_axes
        return both.sum(0)

    def hull(self) -> tuple[Tensor, Tensor]:
        return self.extent[1].unbind()

    def intersection_size(self) -> tuple[Tensor, Tensor]:
        return self.intersection_span.unbind()

    def offset(self) -> tuple[Tensor, Tensor]:
        return self.extent[0].unbind()

    def squared_offset(self) -> Tensor:
        return self.squared_extent[0]

    def squared_diagonal(self) -> Tensor:
        return self.squared_extent[1]

    def aspect_change(self) -> Tensor:
        return AspectChange.apply(self.span, self.target_span)

    def signed_gap(self) -> Tensor:
        corners = torch.add(self.intersection_span, (self.low - self.target_low).abs(), alpha=2)
        (width, height), (x, y) = negative_part(self.intersection_span).unbind(), corners.unbind()
        return torch.addcmul(width * y, height, x)


def packed_area(size: Tensor) -> Tensor:
    """Area of boxes of signed sizes ``(2, n)``; those with a negative side have none."""
    return torch.relu(size).prod(0)


class ValuePair(PackedPair):
    """A :class:`PackedPair` without a backward; what only some losses need is computed on first use.

    Args:
        pred: Predicted boxes, ``(n, 4)``.
        target: Target boxes, ``(n, 4)``.
    """

    def __init__(self, pred: Tensor, target: Tensor) -> None:
        corners = torch.cat((pred.t(), target.t())).view(4, 2, -1)
        sides = corners[1:].sub_(corners[0])
        self.unit = unit_of(sides.abs().amax((0, 1)))
        self.high, self.target_low, self.target_high = sides.mul_(self.unit.reciprocal()).unbind()
        self.span = self.high  # the lower corner is the origin
        self.target_span = self.target_high - self.target_low
        self.intersection_span = torch.minimum(self.high, self.target_high).sub_(torch.relu(self.target_low))
        intersection = packed_area(self.intersection_span)
        # at least the intersection, since no area is less than it and rounding is monotonic
        self.union = packed_area(self.span).add_(packed_area(self.target_span)).sub_(intersection)
        self.iou = intersection.div_(safe_divisor(self.union))

    @cached_property
    def low(self) -> Tensor:
        return torch.zeros_like(self.high)

    @cached_property
    def centre_offset(self) -> Tensor:
        """Centre of the target minus centre of the prediction, ``(2, n)``."""
        return (self.target_high - self.high).add_(self.target_low).div_(2)

    @cached_property
    def hull_span(self) -> Tensor:
        """Width and height of the enclosing box, ``(2, n)``."""
        return torch.maximum(self.high, self.target_high).sub_(self.target_low.clamp(max=0)).clamp_(min=0)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis(self.span, self.target_span, self.centre_offset, self.hull_span),)

    def hull(self) -> tuple[Tensor, Tensor]:
        return self.hull_span.unbind()

    def offset(self) -> tuple[Tensor, Tensor]:
        return self.centre_offset.unbind()

    def squared_offset(self) -> Tensor:
        return squared_length(*self.offset())

    def squared_diagonal(self) -> Tensor:
        return squared_length(*self.hull())

    def aspect_change(self) -> Tensor:
        return packed_angle(self.target_span).sub_(packed_angle(self.span))


def packed_angle(span: Tensor) -> Tensor:
    """:func:`aspect_angle` of sizes ``(2, n)``."""
    return torch.atan2(*torch.threshold(span, LEAST_SIDE, LEAST_SIDE))


class AspectChange(torch.autograd.Function):
    """:meth:`BoxPair.aspect_change` of sizes ``(2, n)``."""

    @staticmethod
    def forward(ctx: Any, span: Tensor, target_span: Tensor) -> Tensor:
        ctx.save_for_backward(span)
        return packed_angle(target_span) - packed_angle(span)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (span,) = ctx.saved_tensors
        size = torch.threshold(span, LEAST_SIDE, LEAST_SIDE)
        width, height = size.unbind()
        slope = gradient / size.square().sum(0)
        return torch.stack((slope * -height, slope * width)).masked_fill(span <= LEAST_SIDE, 0), None


class Geometry(torch.autograd.Function):
    """Computes the fields of :class:`PackedPair`; the last output is the tuple of the non-differentiable ones.

    What :class:`BoxPair` computes, with the backward written out; :class:`ValuePair` has the value alone.
    """

    @staticmethod
    def forward(ctx: Any, pred: Tensor, target: Tensor, extent: bool) -> tuple[Any, ...]:
        sides = columns_of(pred, target)
        sides = sides - sides[0]
        unit = unit_of(sides.abs().amax((0, 1)))
        scale = unit.reciprocal()
        low, high, target_low, target_high = sides.mul_(scale).unbind()
        # corners of the prediction, the intersection, the target, and the enclosing box
        near = [low, torch.maximum(low, target_low), target_low]
        far = [high, torch.minimum(high, target_high), target_high]
        if extent:
            near.append(torch.minimum(low, target_low))
            far.append(torch.maximum(high, target_high))
        span = torch.stack(far).sub_(torch.stack(near))
        length = span.clamp(min=0)
        area, intersection, target_area = (length[:3, 0] * length[:3, 1]).unbind()
        union = torch.maximum((area + target_area).sub_(intersection), intersection)
        divisor = safe_divisor(union)
        iou = intersection / divisor
        change = sides[2:] - sides[:2]
        ctx.save_for_backward(pred, target, change, span, length, scale, divisor, iou)
        ctx.set_materialize_grads(False)
        detached = (unit, target_low, target_high, span[2])
        extents = torch.stack((change.mean(0), length[3])) if extent else None
        return low, high, span[0], span[1], union, iou, extents, detached

    @staticmethod
    def backward(
        ctx: Any,
        of_low: Tensor | None,
        of_high: Tensor | None,
        of_span: Tensor | None,
        of_overlap: Tensor | None,
        of_union: Tensor | None,
        of_iou: Tensor | None,
        of_extent: Tensor | None,
        _detached: None,
    ) -> tuple[Tensor | None, None, None]:
        pred, target, change, span, length, scale, divisor, iou = ctx.saved_tensors
        if torch.is_grad_enabled():
            # create_graph=True: the gradient itself has to be differentiable
            slopes = (of_low, of_high, of_span, of_overlap, of_union, of_iou, of_extent)
            return gradient_with_graph(pred, target, slopes), None, None
        of_intersection = None
        if of_iou is not None:
            of_intersection = of_iou / divisor
            through_union = of_intersection * -iou
            of_union = through_union if of_union is None else through_union.add_(of_union)
        if of_union is not None:
            of_intersection = -of_union if of_intersection is None else of_intersection.sub_(of_union)
            of_length = torch.stack((of_union, of_intersection)).unsqueeze(1) * length[:2].flip(1)
            through_span, through_overlap = of_length.masked_fill_(span[:2] < 0, 0).unbind()
            of_span = through_span if of_span is None else through_span.add_(of_span)
            of_overlap = through_overlap if of_overlap is None else through_overlap.add_(of_overlap)
        of_offset, of_hull = (None, None) if of_extent is None else of_extent.unbind()
        if of_hull is not None:
            of_hull = of_hull.masked_fill(span[3] < 0, 0)
        # The smaller argument of a minimum has all of its gradient; two that are equal have half of it each.
        if of_overlap is None and of_hull is None:
            gradient = torch.zeros_like(change)
        else:
            both, apart = of_overlap, of_overlap
            if of_overlap is None:
                both, apart = of_hull, -of_hull
            elif of_hull is not None:
                both, apart = of_overlap + of_hull, of_overlap - of_hull
            of_span = both / 2 if of_span is None else torch.add(of_span, both, alpha=0.5)
            gradient = change.sign().mul_(apart).div_(2)
        if of_offset is not None:
            gradient.sub_(of_offset, alpha=0.5)
        low, high = gradient.unbind()
        if of_span is not None:
            low -= of_span
            high += of_span
        if of_low is not None:
            low += of_low
        if of_high is not None:
            high += of_high
        return transposed(gradient.mul_(scale).view(4, -1)), None, None


def gradient_with_graph(pred: Tensor, target: Tensor, upstream: tuple[Tensor | None, ...]) -> Tensor:
    """The gradient of the prediction, itself differentiable: autograd's, through :func:`framed`."""
    pair = framed(pred, target)
    box, extent = pair.pred, (pair.offset(), pair.hull())
    sizes = pair.pred_size, pair.intersection_size()
    low, high, span, intersection, offset, hull = map(
        torch.stack, ((box.x1, box.y1), (box.x2, box.y2), *sizes, *extent)
    )
    outputs = (low, high, span, intersection, pair.union, pair.iou, torch.stack((offset, hull)))
    read = [(output, slope) for output, slope in zip(outputs, upstream, strict=True) if slope is not None]
    outputs, upstream = zip(*read, strict=True)
    return torch.autograd.grad(outputs, pred, upstream, create_graph=True)[0]
