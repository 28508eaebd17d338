"""Least memory traffic of a loss, and the copy of as many bytes that is its floor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .clock import Action
from .inputs import Call


def size(tensors: Sequence[Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def weighted_share(call: Call) -> float:
    """Return the share of rows with a nonzero weight."""
    if call.weight is None or not call.weight.numel():
        return 1.0
    return (call.weight != 0).reshape(call.weight.shape[0], -1).any(1).float().mean().item()


def traffic(calls: Sequence[Call]) -> dict[str, int]:
    """Return the least number of bytes read and written.

    Predictions and targets are read in rows of nonzero weight; weights are read, and gradients written, in all rows.
    ``forward`` reads; ``both`` reads once and writes the gradient, as a forward that also computes the gradient does;
    ``both_twice`` reads in forward and again in backward, as a backward that saves its input alone does.
    """
    read = written = 0
    for call in calls:
        share = weighted_share(call)
        weight = [] if call.weight is None else [call.weight]
        read += round(share * size([*call.leaves, *call.targets])) + size(weight)
        written += size(call.leaves)
    return {"forward": read, "both": read + written, "both_twice": 2 * read + written}


def gradient_bytes(calls: Sequence[Call]) -> int:
    """Return the bytes of the gradient of some calls."""
    return sum(size(call.leaves) for call in calls)


def copying(total: int, device: str) -> Action:
    """Return a copy that reads and writes ``total`` bytes in all."""
    source = torch.ones(max(1, total // 8), device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)
