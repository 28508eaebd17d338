"""Weights and reduction: the only place that masks rows and the only one that averages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .dtype import upcast

REDUCTIONS = ("none", "mean", "sum")


def may_select(tensor: Tensor) -> bool:
    """Whether rows may be picked by value: on a CPU, where no device has to be waited for, outside a compiler."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def match_rank(mask: Tensor, ndim: int) -> Tensor:
    """A boolean mask with ``ndim`` axes: new last axes are broadcast, surplus ones have to agree on True."""
    if mask.ndim > ndim:
        return mask.flatten(ndim).all(-1)
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))


def blank(tensor: Tensor, drop: Tensor) -> Tensor:
    """``tensor`` with zeros where ``drop`` is True, so that nothing that stood there takes part."""
    return tensor.masked_fill(match_rank(drop, tensor.ndim), 0)


def keep_rows(
    inputs: Sequence[Tensor], weight: Tensor | None, most: float = 1.0
) -> tuple[Sequence[Tensor], Tensor | None]:
    """Inputs and weight of the rows that count, on a CPU and where they are less than ``most`` of all."""
    num_rows = inputs[0].shape[0]
    if weight is None or weight.shape[0] != num_rows or not may_select(weight):
        return inputs, weight
    counts = weight.bool()
    counts = counts.flatten(1).any(1) if weight.numel() > num_rows else counts.flatten()
    if int(counts.count_nonzero()) >= most * num_rows:
        return inputs, weight
    kept = counts.nonzero().squeeze(1)
    return [tensor.index_select(0, kept) for tensor in inputs], weight.index_select(0, kept)


def all_count(weight: Tensor) -> bool:
    """Whether no weight is 0; reads values back."""
    return int(weight.count_nonzero()) == weight.numel()


def weighted_loss(
    compute: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    avg_factor: Any = None,
    whole_rows: bool = False,
) -> Tensor:
    """Unreduced loss of ``inputs``, weighted and reduced; an entry of weight 0 counts as deleted.

    Multiplying by a weight of 0 is not enough, since 0 * NaN is NaN. On a CPU the rows that count are picked,
    which is also what makes a loss over 200,000 anchors with 0.5 % positives fast; elsewhere, where picking
    would wait for the device, what stands under a weight of 0 is replaced by zeros before the loss sees it.

    Args:
        compute: Unreduced loss of the inputs.
        inputs: Prediction and targets, equal in the first axis.
        weight: Broadcastable to the unreduced loss; its first axis is that of the inputs or 1.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        avg_factor: Divisor of ``'mean'``, a number or a one-element tensor.
        whole_rows: Whether an entry needs the others of its last axis, so that only a weight of 0 for all deletes them.
    """
    num_rows = inputs[0].shape[0]
    if weight is not None and not (may_select(weight) and all_count(weight)):
        if reduction != "none":
            inputs, weight = keep_rows(inputs, weight)
        if not (may_select(weight) and all_count(weight)):
            drop = (weight == 0).all(-1) if whole_rows else weight == 0
            inputs = [blank(tensor, drop) for tensor in inputs]
    if reduction != "none" and not torch.compiler.is_compiling() and inputs[0].shape[0] == 0:
        return upcast(*filter(torch.is_floating_point, inputs))[0].sum()
    loss = compute(*inputs)
    if weight is not None:
        loss = loss * (weight if weight.dtype == loss.dtype else weight.to(loss.dtype))
    if avg_factor is None:
        avg_factor = num_rows * loss.shape[1:].numel()
    return reduce_loss(loss, reduction, avg_factor)


def reduce_loss(loss: Tensor, reduction: str, avg_factor: Any = None) -> Tensor:
    """Reduce an unreduced, weighted loss.

    Args:
        loss: Any shape.
        reduction: ``'none'`` returns it as it is, ``'sum'`` its sum, ``'mean'`` its sum over ``avg_factor``.
        avg_factor: Divisor, nothing added to it; a divisor of 0 gives 0. The number of elements by default.
    """
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    if avg_factor is None:
        avg_factor = loss.numel()
    if isinstance(avg_factor, Tensor):
        divisor = avg_factor.detach().reshape(()).to(total)
        empty = divisor == 0
        return torch.where(empty, 0.0, total) / torch.where(empty, 1.0, divisor)
    return total * 0 if avg_factor == 0 else total / avg_factor
