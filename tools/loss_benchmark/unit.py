"""A measured unit: the calls of one loss on one set of tensors by one provider."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .inputs import Call
from .kernels import launches, operations
from .memory import peak_bytes
from .providers import Compute


class Unit:
    """Runs the calls of a head's levels, forward alone or forward and backward.

    Args:
        compute: The loss of a call.
        calls: The calls.
        device: ``'cpu'`` or ``'cuda'``.
    """

    def __init__(self, compute: Compute, calls: Sequence[Call], device: str) -> None:
        self.compute, self.calls, self.device = compute, calls, device
        self.leaves = [leaf for call in calls for leaf in call.leaves]

    def forward(self) -> Tensor:
        """The sum over the calls, with its graph."""
        total = self.compute(self.calls[0])
        for call in self.calls[1:]:
            total = total + self.compute(call)
        return total

    def clear(self) -> None:
        """Takes the gradients away, so that each backward makes new ones."""
        for leaf in self.leaves:
            leaf.grad = None

    def both(self) -> None:
        """Forward and backward, with a new gradient."""
        self.clear()
        self.forward().backward()

    def by_hand(self) -> bool:
        """Whether a hand-written kernel computes it."""
        return "WrittenLoss" in type(self.compute(self.calls[0]).grad_fn).__name__

    def memory(self) -> dict[str, int]:
        """Peak bytes beyond the input, the gradient included."""
        self.clear()
        found = {"forward": peak_bytes(self.forward, self.device)}
        self.clear()
        return {**found, "both": peak_bytes(self.both, self.device)}

    def kernels(self) -> dict[str, int]:
        """Operations (on CUDA, kernels launched) forward and backward."""
        count = launches if self.device == "cuda" else operations
        found: list[Tensor] = []
        self.clear()
        forward = count(lambda: found.append(self.forward()))
        seed = torch.ones_like(found[0])
        return {"forward": forward, "backward": count(lambda: found[0].backward(seed))}
