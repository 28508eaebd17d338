"""Weights and reduction: the only place that masks rows and the only one that averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .arguments import check_choice
from .compiling import is_compiling
from .dtype import upcast

__all__ = ["reduce_loss", "weighted_loss"]

REDUCTIONS = ("none", "mean", "sum")
VALUES = ("elements", "rows", "sides")
SHORT = 2**17
"""Number of elements up to which selecting the kept rows costs more than computing all of them."""
MOST = 0.8
"""Share of kept rows from which on selecting them costs more than computing all rows."""


def may_select(tensor: Tensor) -> bool:
    """Whether values may be read: on a CPU, where that does not wait for a device, and outside of tracing."""
    return tensor.is_cpu and not is_compiling() and not torch._C._are_functorch_transforms_active()


def all_between(values: Tensor, least: float, most: float) -> bool:
    """Whether all values lie between two bounds; False where they must not be read, or where there is none."""
    if not may_select(values) or not values.numel():
        return False
    if values.is_floating_point():
        (values,) = upcast(values)  # torch before 2.3 has no extremes of half precision on a CPU
    low, high = values.aminmax()
    return least <= low.item() and high.item() <= most


def match_rank(mask: Tensor, ndim: int) -> Tensor:
    """A boolean mask with ``ndim`` axes: missing last axes are broadcast, surplus ones are reduced by ``all``."""
    if mask.ndim > ndim:
        return mask.flatten(ndim).all(-1)
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))


def blank(tensor: Tensor, drop: Tensor) -> Tensor:
    """``tensor`` with zeros where ``drop`` is True."""
    return tensor.masked_fill(match_rank(drop, tensor.ndim), 0)


def kept_rows(weight: Tensor) -> Tensor:
    """Mask of the rows with any weight other than 0, ``(n,)``."""
    nonzero = weight.bool()
    if nonzero.numel() == nonzero.shape[0]:
        return nonzero.flatten()
    if nonzero.shape[1:] == (4,) and nonzero.is_contiguous():
        # four bytes as one number: a fifth of the time of any(1)
        return nonzero.view(torch.int32).squeeze(1).bool()
    return nonzero.flatten(1).any(1)


def keep_rows(
    inputs: Sequence[Tensor], weight: Tensor | None, most: float = 1.0
) -> tuple[Sequence[Tensor], Tensor | None]:
    """Inputs and weight of the kept rows, on a CPU and where they are less than ``most`` of all; else unchanged."""
    if weight is None or not may_select(weight):
        return inputs, weight
    return select_rows(inputs, weight, most)


def select_rows(inputs: Sequence[Tensor], weight: Tensor, most: float = 1.0) -> tuple[Sequence[Tensor], Tensor]:
    """:func:`keep_rows` of a weight that may be read."""
    num_rows = inputs[0].shape[0]
    if weight.shape[0] != num_rows:
        return inputs, weight
    kept = kept_rows(weight).nonzero().squeeze(1)
    if kept.shape[0] >= most * num_rows:
        return inputs, weight
    graph = torch.is_grad_enabled()
    rows = [
        Rows.apply(tensor, kept) if graph and tensor.requires_grad else tensor.index_select(0, kept)
        for tensor in inputs
    ]
    return rows, weight.index_select(0, kept)


class Rows(torch.autograd.Function):
    """``tensor[rows]`` of distinct rows, whose backward writes its zeros once; torch's copies them too."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = tensor.shape
        return tensor.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).index_copy_(0, rows, gradient), None


def none_masked(weight: Tensor) -> bool:
    """Whether no weight is 0; reads values. False for negative weights, which only skips a shortcut."""
    return not weight.numel() or weight.amin().item() > 0


def mostly_kept(weight: Tensor, num_rows: int) -> bool:
    """Whether there is one weight per row, and few of them are 0; reads values."""
    return weight.numel() == num_rows and weight.count_nonzero().item() >= MOST * num_rows


def mean_of_columns(weight: Tensor) -> Tensor:
    """Weight per row, ``(n,)``: the mean over the coordinates of ``(n, 4)`` or ``(n, 5)``, or the weight itself."""
    if weight.ndim == 1:
        return weight
    (weight,) = upcast(weight)
    if weight.numel() <= SHORT or weight.shape[1] != 4:
        return weight.mean(1)
    # for many rows, a mean over so short an axis takes three times as long
    left, right = (weight[:, ::2] + weight[:, 1::2]).unbind(1)
    return (left + right) / 4


def weighted_sum(loss: Tensor, weight: Tensor | None, selects: bool = False) -> Tensor:
    """Sum of the weighted loss; where values may be read, a dot product if there is little to sum."""
    if weight is None:
        return loss.sum()
    if weight.dtype != loss.dtype:
        weight = weight.to(loss.dtype)
    if selects and weight.shape == loss.shape and loss.numel() <= SHORT:
        return torch.dot(loss, weight) if loss.ndim == 1 else torch.dot(loss.flatten(), weight.flatten())
    return (loss * weight).sum()


def weighted_loss(
    compute: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    avg_factor: Any = None,
    values: str = "elements",
    tame: bool = False,
) -> Tensor:
    """Loss of ``inputs``, weighted and reduced; entries of weight 0 are masked: it is as if they were not there.

    Multiplying by a weight of 0 is not enough, since 0 * NaN is NaN. On a CPU the kept rows are selected, which also
    makes a loss over 200,000 anchors with 0.5 % positives fast; elsewhere, where a selection would wait for the
    device, masked inputs are replaced by zeros before the loss is computed.

    Args:
        compute: The unreduced loss, a function of the inputs.
        inputs: Prediction and targets, equal in the first axis.
        weight: Broadcasts to the unreduced loss; its first axis is that of the inputs or 1.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        avg_factor: Divisor of ``'mean'``, a number or a one-element tensor.
        values: What one value, and so one weight, belongs to: an element (``'elements'``); a row, whose weight may be
            ``(n, 4)`` and is then averaged (``'rows'``); or a side of an indivisible row, which is masked only if all
            its weights are 0 (``'sides'``).
        tame: Whether a finite loss implies a finite gradient. Then a finite sum proves that no masked entry held
            NaN or inf, and the mask is skipped.
    """
    # asked here, since every loss comes by
    if reduction not in REDUCTIONS or values not in VALUES:
        check_choice("weighted_loss", "reduction", reduction, REDUCTIONS)
        check_choice("weighted_loss", "values", values, VALUES)
    num_rows = inputs[0].shape[0]
    reduces = reduction != "none"
    if reduces and num_rows == 0 and not is_compiling():
        return upcast(*filter(torch.is_floating_point, inputs))[0].sum()
    selects = weight is not None and may_select(weight)
    if weight is not None:
        if tame and reduces and selects and (inputs[0].numel() <= SHORT or mostly_kept(weight, num_rows)):
            loss = compute(*inputs)
            total = weighted_sum(loss, weight, selects)
            if math.isfinite(total.item()):
                return reduce_total(total, reduction, num_rows * loss.shape[1:].numel(), avg_factor)
        inputs, weight = drop_junk(inputs, weight, may_drop=reduces, values=values)
    loss = compute(*inputs)
    if not reduces:
        return loss if weight is None else loss * weight.to(loss.dtype)
    total = weighted_sum(loss, weight, selects)
    return reduce_total(total, reduction, num_rows * loss.shape[1:].numel(), avg_factor)


def drop_junk(
    inputs: Sequence[Tensor], weight: Tensor, *, may_drop: bool, values: str
) -> tuple[Sequence[Tensor], Tensor]:
    """Inputs and weight with entries of weight 0 masked: their rows deleted, if ``may_drop``, or filled with zeros."""
    selects = may_select(weight)
    clean = selects and weight.numel() <= SHORT and none_masked(weight)
    if selects and may_drop and not clean:
        inputs, weight = select_rows(inputs, weight)
    weight = mean_of_columns(weight) if values == "rows" else weight
    if not (clean or (selects and none_masked(weight))):
        drop = (weight == 0).all(-1) if values == "sides" else weight == 0
        inputs = [blank(tensor, drop) for tensor in inputs]
    return inputs, weight


def reduce_total(total: Tensor, reduction: str, count: Any, avg_factor: Any) -> Tensor:
    """The total, or the total over ``avg_factor``, by default over ``count``; a divisor of 0 gives 0."""
    if reduction == "sum":
        return total
    if avg_factor is None:
        avg_factor = count
    if isinstance(avg_factor, Tensor):
        divisor = avg_factor.detach().reshape(())
        if not may_select(divisor):
            divisor = divisor.to(total)
            empty = divisor == 0
            return torch.where(empty, 0.0, total) / torch.where(empty, 1.0, divisor)
        avg_factor = divisor.item()
    return total * 0 if avg_factor == 0 else total / avg_factor


def reduce_loss(loss: Tensor, reduction: str, avg_factor: Any = None) -> Tensor:
    """Reduce an unreduced, weighted loss.

    Args:
        loss: Any shape.
        reduction: ``'none'`` returns the loss unchanged, ``'sum'`` its sum, ``'mean'`` its sum over ``avg_factor``.
        avg_factor: Divisor, with nothing added to it, by default the number of elements; a divisor of 0 gives 0.
    """
    if reduction not in REDUCTIONS:
        check_choice("reduce_loss", "reduction", reduction, REDUCTIONS)
    return loss if reduction == "none" else reduce_total(loss.sum(), reduction, loss.numel(), avg_factor)
