"""How a loss is computed: by a hand-written kernel, by one that torch.compile generates, or operation by operation."""

from __future__ import annotations

from torch import Tensor

from . import generated, written
from .call import Call, eager

__all__ = ["Call", "compute"]


def compute(call: Call, fused: bool) -> Tensor:
    """The weighted and reduced loss of a call.

    Args:
        call: The call.
        fused: Whether kernels may compute it; the first that can does.
    """
    if fused and call.reduction != "none":
        for kernels in (written, generated):
            loss = kernels.compute(call)
            if loss is not None:
                return loss
    return eager(call)
