"""The geometry of aligned boxes; in eager mode, where every operation has its price, with its gradient written out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

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
    unit_of,
)


def box_pair(pred: Tensor, target: Tensor, *, extent: bool = True) -> BoxPair:
    """Geometry of aligned boxes.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit.
        target: Target boxes of the same layout, shape and unit.
        extent: Whether the offset of the centres or the enclosing box will be asked for; else they cost more.
    """
    pred, target = upcast(pred, target)
    if (
        is_compiling()
        or torch._C._are_functorch_transforms_active()
        or (target.requires_grad and torch.is_grad_enabled())
    ):
        return framed(pred, target)
    *of_pred, constants = Geometry.apply(pred, target, extent)
    return PackedPair(*of_pred, *constants)


def transposed(matrix: Tensor) -> Tensor:
    """``matrix.t().contiguous()`` with all threads; torch transposes one matrix with one, but a batch with all."""
    return matrix.unsqueeze(0).transpose(1, 2).contiguous().squeeze(0)


def columns_of(pred: Tensor, target: Tensor) -> Tensor:
    """Corners ``(x, y)`` of two sets of boxes, ``(4, 2, n)``: the first and second of each set."""
    return torch.stack((pred, target)).transpose(1, 2).contiguous().view(4, 2, -1)


class PackedPair(BoxPair):
    """A :class:`BoxPair` whose numbers are taken apart where a loss asks for them.

    Args:
        low, high: Corners of the predicted boxes, ``(2, n)``.
        span: Width and height of the predicted boxes, ``(2, n)``.
        inner_span: Those of the intersection, signed.
        union, iou: As there.
        extent: See there; None has it computed where it is asked for.
        unit: As there.
        target_low, target_high, target_span: The same of the target boxes.
    """

    def __init__(
        self,
        low: Tensor,
        high: Tensor,
        span: Tensor,
        inner_span: Tensor,
        union: Tensor,
        iou: Tensor,
        extent: Tensor | None,
        unit: Tensor,
        target_low: Tensor,
        target_high: Tensor,
        target_span: Tensor,
    ) -> None:
        self.low, self.high = low, high
        self.span, self.inner_span = span, inner_span
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

    def inner(self) -> tuple[Tensor, Tensor]:
        return self.inner_span.unbind()

    def offset(self) -> tuple[Tensor, Tensor]:
        return self.extent[0].unbind()

    def squared_offset(self) -> Tensor:
        return self.squared_extent[0]

    def squared_diagonal(self) -> Tensor:
        return self.squared_extent[1]

    def aspect_change(self) -> Tensor:
        return AspectChange.apply(self.span, self.target_span)

    def signed_gap(self) -> Tensor:
        corners = torch.add(self.inner_span, (self.low - self.target_low).abs(), alpha=2)
        (width, height), (x, y) = negative_part(self.inner_span).unbind(), corners.unbind()
        return torch.addcmul(width * y, height, x)


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
    """What a :class:`PackedPair` is made of, last a tuple of all that has no gradient, as that of the target."""

    @staticmethod
    def forward(ctx: Any, pred: Tensor, target: Tensor, extent: bool) -> tuple[Any, ...]:
        sides = columns_of(pred, target)
        sides = sides - sides[0]
        unit = unit_of(sides.abs().amax((0, 1)))
        scale = unit.reciprocal()
        low, high, target_low, target_high = sides.mul_(scale).unbind()
        # Of the prediction, of the intersection, of the target, and of the enclosing box.
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
        constants = (unit, target_low, target_high, span[2])
        extents = torch.stack((change.mean(0), length[3])) if extent else None
        return low, high, span[0], span[1], union, iou, extents, constants

    @staticmethod
    def backward(
        ctx: Any,
        of_low: Tensor | None,
        of_high: Tensor | None,
        of_span: Tensor | None,
        of_inner: Tensor | None,
        of_union: Tensor | None,
        of_iou: Tensor | None,
        of_extent: Tensor | None,
        _constants: None,
    ) -> tuple[Tensor | None, None, None]:
        pred, target, change, span, length, scale, divisor, iou = ctx.saved_tensors
        if torch.is_grad_enabled():
            # a gradient of the gradient is wanted
            slopes = (of_low, of_high, of_span, of_inner, of_union, of_iou, of_extent)
            return gradient_with_graph(pred, target, slopes), None, None
        of_intersection = None
        if of_iou is not None:
            of_intersection = of_iou / divisor
            through_union = of_intersection * -iou
            of_union = through_union if of_union is None else through_union.add_(of_union)
        if of_union is not None:
            of_intersection = -of_union if of_intersection is None else of_intersection.sub_(of_union)
            of_length = torch.stack((of_union, of_intersection)).unsqueeze(1) * length[:2].flip(1)
            through_span, through_inner = of_length.masked_fill_(span[:2] < 0, 0).unbind()
            of_span = through_span if of_span is None else through_span.add_(of_span)
            of_inner = through_inner if of_inner is None else through_inner.add_(of_inner)
        of_offset, of_hull = (None, None) if of_extent is None else of_extent.unbind()
        if of_hull is not None:
            of_hull = of_hull.masked_fill(span[3] < 0, 0)
        # The smaller side of a minimum has all of its gradient, and each of two that are equal a half.
        if of_inner is None and of_hull is None:
            gradient = torch.zeros_like(change)
        else:
            both, apart = of_inner, of_inner
            if of_inner is None:
                both, apart = of_hull, -of_hull
            elif of_hull is not None:
                both, apart = of_inner + of_hull, of_inner - of_hull
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
    """The gradient of the prediction as a function that has one itself."""
    pair = framed(pred, target)
    box = pair.pred
    low, high, span, inner, offset, hull = map(
        torch.stack, ((box.x1, box.y1), (box.x2, box.y2), pair.pred_size, pair.inner(), pair.offset(), pair.hull())
    )
    outputs = (low, high, span, inner, pair.union, pair.iou, torch.stack((offset, hull)))
    wanted = [(output, slope) for output, slope in zip(outputs, upstream, strict=True) if slope is not None]
    outputs, upstream = zip(*wanted, strict=True)
    return torch.autograd.grad(outputs, pred, upstream, create_graph=True)[0]
