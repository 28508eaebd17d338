"""A measured unit: the calls of a loss on a set of tensors by a provider."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .inputs import Call
from .kernels import launches, operations
from .memory import peak_bytes
from .providers import Compute


class Unit:
    """The calls of a head's levels, forward alone or forward plus backward.

    Args:
        compute: Computes the loss of a call.
        calls: The calls.
        device: ``'cpu'`` or ``'cuda'``.
    """

    def __init__(self, compute: Compute, calls: Sequence[Call], device: str) -> None:
        self.compute, self.calls, self.device = compute, calls, device
        self.leaves = [leaf for call in calls for leaf in call.leaves]

    def forward(self) -> Tensor:
        """Return the sum over the calls, with its graph."""
        total = self.compute(self.calls[0])
        for call in self.calls[1:]:
            total = total + self.compute(call)
        return total

    def clear(self) -> None:
        """Drop the gradients, so that backward allocates new ones."""
        for leaf in self.leaves:
            leaf.grad = None

    def both(self) -> None:
        """Run forward and backward, with new gradients."""
        self.clear()
        self.forward().backward()

    def by_hand(self) -> bool:
        """Return whether a hand-written kernel computes the loss."""
        return "WrittenLoss" in type(self.compute(self.calls[0]).grad_fn).__name__

    def memory(self) -> dict[str, int]:
        """Return the peak bytes beyond the input, gradients included."""
        self.clear()
        found = {"forward": peak_bytes(self.forward, self.device)}
        self.clear()
        return {**found, "both": peak_bytes(self.both, self.device)}

    def kernels(self) -> dict[str, int]:
        """Return the operations (on CUDA, launched kernels) of forward and of backward."""
        count = launches if self.device == "cuda" else operations
        found: list[Tensor] = []
        self.clear()
        forward = count(lambda: found.append(self.forward()))
        seed = torch.ones_like(found[0])
        return {"forward": forward, "backward": count(lambda: found[0].backward(seed))}
