"""How a loss is computed: by a hand-written kernel, by one that torch.compile generates, or operation by operation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import generated, written
from .call import Call, eager

__all__ = ["Call", "compute"]


def compute(call: Call, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, fused: bool) -> Tensor:
    """The weighted and reduced loss of a call.

    Args:
        call: The call.
        inputs: Prediction and targets.
        weight: Weight, which broadcasts to the unreduced loss.
        avg_factor: Divisor of reduction ``'mean'``.
        fused: Whether kernels may compute it; the first that can does.
    """
    if fused and call.reduction != "none":
        loss = written.compute(call, inputs, weight, avg_factor)
        if loss is None:
            loss = generated.compute(call, inputs, weight, avg_factor)
        if loss is not None:
            return loss
    return eager(call, inputs, weight, avg_factor)
