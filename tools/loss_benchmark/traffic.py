"""Bytes that a loss cannot do without, and the copy of as many bytes that is its floor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .clock import Action
from .inputs import Call


def size(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def counted_share(call: Call) -> float:
    """Share of the rows with a weight other than 0."""
    if call.weight is None or not call.weight.numel():
        return 1.0
    return (call.weight != 0).flatten(1).any(1).float().mean().item() if call.weight.ndim > 1 else (
        (call.weight != 0).float().mean().item()
    )  # fmt: skip


def traffic(calls: Sequence[Call]) -> dict[str, int]:
    """Bytes read and written at the least.

    Predictions and targets are read where the weight is not 0, weights are read everywhere, and a gradient is written
    everywhere. ``forward`` reads; ``both`` reads once and writes the gradient, as one pass that computes the gradient
    in forward; ``both_twice`` reads in forward and again in backward, as a backward that knows nothing but the input.
    """
    read = written = 0
    for call in calls:
        share = counted_share(call)
        weight = [] if call.weight is None else [call.weight]
        read += round(share * size([*call.leaves, *call.targets])) + size(weight)
        written += size(call.leaves)
    return {"forward": read, "both": read + written, "both_twice": 2 * read + written}


def gradient_bytes(calls: Sequence[Call]) -> int:
    """Size of the gradient of a unit."""
    return sum(size(call.leaves) for call in calls)


def copying(total: int, device: str) -> Action:
    """A copy that reads and writes ``total`` bytes together."""
    source = torch.ones(max(1, total // 8), device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)
