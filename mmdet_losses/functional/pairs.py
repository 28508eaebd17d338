"""The geometry of aligned boxes; in eager mode, where every operation has its price, with its gradient written out."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .dtype import upcast
from .geometry import Box, BoxPair, framed, safe_divisor, unit_of


def box_pair(pred: Tensor, target: Tensor) -> BoxPair:
    """Geometry of aligned boxes.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit.
        target: Target boxes of the same layout, shape and unit.
    """
    pred, target = upcast(pred, target)
    if (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or (target.requires_grad and torch.is_grad_enabled())
    ):
        return framed(pred, target)
    *of_pred, constants = Geometry.apply(pred, target)
    return PackedPair(*of_pred, *constants)


def transposed(matrix: Tensor) -> Tensor:
    """``matrix.t().contiguous()`` with all threads; torch transposes one matrix with one, but a batch with all."""
    return matrix.unsqueeze(0).transpose(1, 2).contiguous().squeeze(0)


class PackedPair(BoxPair):
    """A :class:`BoxPair` whose numbers are taken apart where a loss asks for them.

    Args:
        low, high: Corners of the predicted boxes, ``(2, n)``.
        span: Width and height of the predicted boxes, ``(2, n)``.
        union, iou, unit: As there.
        target_low, target_high, target_span: The same of the target boxes.
    """

    def __init__(
        self,
        low: Tensor,
        high: Tensor,
        span: Tensor,
        union: Tensor,
        iou: Tensor,
        unit: Tensor,
        target_low: Tensor,
        target_high: Tensor,
        target_span: Tensor,
    ) -> None:
        self.low, self.high, self.span = low, high, span
        self.union, self.iou, self.unit = union, iou, unit
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

    def hull(self) -> tuple[Tensor, Tensor]:
        side = torch.maximum(self.high, self.target_high) - torch.minimum(self.low, self.target_low)
        return side.clamp(min=0).unbind()

    def offset(self) -> tuple[Tensor, Tensor]:
        return (((self.target_low + self.target_high) - (self.low + self.high)) / 2).unbind()


class Geometry(torch.autograd.Function):
    """What a :class:`PackedPair` is made of, last a tuple of all that has no gradient, as that of the target."""

    @staticmethod
    def forward(ctx: Any, pred: Tensor, target: Tensor) -> tuple[Any, ...]:
        sides = transposed(torch.cat((pred, target), 1)).view(4, 2, -1)
        sides = sides - sides[0]
        unit = unit_of(sides.abs().amax((0, 1)))
        scale = unit.reciprocal()
        low, high, target_low, target_high = sides.mul_(scale).unbind()
        # Of the prediction, of the intersection, and of the target.
        span = torch.stack((high, torch.minimum(high, target_high), target_high))
        span -= torch.stack((low, torch.maximum(low, target_low), target_low))
        length = span.clamp(min=0)
        area, intersection, target_area = (length[:, 0] * length[:, 1]).unbind()
        union = torch.maximum((area + target_area).sub_(intersection), intersection)
        divisor = safe_divisor(union)
        iou = intersection / divisor
        ctx.save_for_backward(pred, target, sides, span, length, scale, divisor, iou)
        ctx.set_materialize_grads(False)
        return low, high, span[0], union, iou, (unit, target_low, target_high, span[2])

    @staticmethod
    def backward(
        ctx: Any,
        of_low: Tensor | None,
        of_high: Tensor | None,
        of_span: Tensor | None,
        of_union: Tensor | None,
        of_iou: Tensor | None,
        _constants: None,
    ) -> tuple[Tensor | None, None]:
        pred, target, sides, span, length, scale, divisor, iou = ctx.saved_tensors
        if torch.is_grad_enabled():
            # a gradient of the gradient is wanted
            return gradient_with_graph(pred, target, (of_low, of_high, of_span, of_union, of_iou)), None
        of_intersection = None
        if of_iou is not None:
            of_intersection = of_iou / divisor
            through_union = of_intersection * -iou
            of_union = through_union if of_union is None else through_union.add_(of_union)
        if of_union is None:
            gradient = torch.zeros_like(sides[:2])
        else:
            of_intersection = -of_union if of_intersection is None else of_intersection.sub_(of_union)
            of_length = torch.stack((of_union, of_intersection)).unsqueeze(1) * length[:2].flip(1)
            through_span, of_inner = of_length.masked_fill_(span[:2] < 0, 0).unbind()
            of_span = through_span if of_span is None else through_span.add_(of_span)
            # The smaller side of a minimum has all of its gradient, and each of two that are equal a half.
            of_inner /= 2
            gradient = (sides[2:] - sides[:2]).sign_().mul_(of_inner)
            of_span = of_span + of_inner
        low, high = gradient.unbind()
        if of_span is not None:
            low -= of_span
            high += of_span
        if of_low is not None:
            low += of_low
        if of_high is not None:
            high += of_high
        return transposed(gradient.mul_(scale).view(4, -1)), None


def gradient_with_graph(pred: Tensor, target: Tensor, upstream: tuple[Tensor | None, ...]) -> Tensor:
    """The gradient of the prediction as a function that has one itself."""
    pair = framed(pred, target)
    box = pair.pred
    packed = map(torch.stack, ((box.x1, box.y1), (box.x2, box.y2), pair.pred_size))
    outputs = (*packed, pair.union, pair.iou)
    wanted = [(output, slope) for output, slope in zip(outputs, upstream, strict=True) if slope is not None]
    outputs, upstream = zip(*wanted, strict=True)
    return torch.autograd.grad(outputs, pred, upstream, create_graph=True)[0]
