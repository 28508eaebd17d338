"""How a loss is computed: by a hand-written kernel, by one that torch.compile generates, or operation by operation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor

from ..functional.classification import sigmoid_focal_loss
from ..functional.compiling import is_compiling
from ..functional.dtype import without_autocast
from . import cuda, generated, written
from .call import Call, eager
from .plans import plan_of

__all__ = ["Call", "compute"]

BY_DEFAULT = frozenset({sigmoid_focal_loss})
"""What a GPU computes by its hand-written kernel without being asked, as MMDetection's loss is mmcv's kernel there."""


def room_of(pred: Tensor) -> ModuleType:
    """What runs the hand-written kernels for a prediction."""
    return cuda if pred.is_cuda else written


def compute(call: Call, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any) -> Tensor:
    """The weighted and reduced loss of a call, by the first kernel that takes it, else eagerly.

    Args:
        call: The call.
        inputs: Prediction and targets.
        weight: Weight, which broadcasts to the unreduced loss.
        avg_factor: Divisor of reduction ``'mean'``.
    """
    wanted = call.fused or (inputs[0].is_cuda and call.function in BY_DEFAULT)
    possible = wanted and call.reduction != "none" and not is_compiling()
    if possible and written.ENABLED and (room := room_of(inputs[0])).unavailable is None:
        planned = plan_of(call, inputs, weight, avg_factor)
        if planned is not None:
            plan, *read = planned
            loss = room.compute(call, plan, inputs[0], *read, avg_factor)
            if loss is not None:
                return loss
    with without_autocast(inputs[0].device.type):
        loss = generated.compute(call, inputs, weight, avg_factor) if possible and call.fused else None
        return eager(call, inputs, weight, avg_factor) if loss is None else loss
