"""A loss as its kernels see it: a function with its arguments, and how its values are weighted and reduced."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..functional.reduce import weighted_loss


class Call(NamedTuple):
    """One call of a loss, but for its tensors.

    Attributes:
        function: ``(pred, *targets, **arguments) -> unreduced loss``.
        arguments: Its options.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Multiplies the result.
        values: What one value of the unreduced loss belongs to, see :attr:`mmdet_losses.Loss.values`.
        tame: Whether the gradient is finite wherever the loss is; then a finite sum needs no mask.
        owner: Calls of one owner share generated kernels, and the limit of their number.
        fused: Whether kernels may compute it.
    """

    function: Callable[..., Tensor]
    arguments: dict[str, Any]
    reduction: str
    loss_weight: float | Tensor
    values: str
    tame: bool
    owner: Hashable
    fused: bool = False


def eager(call: Call, inputs: Sequence[Tensor], weight: Tensor | None, avg_factor: Any) -> Tensor:
    """The weighted and reduced loss, operation by operation.

    Args:
        call: The call.
        inputs: Prediction and targets.
        weight: Weight, which broadcasts to the unreduced loss; see ``values``.
        avg_factor: Divisor of reduction ``'mean'``.
    """
    loss = weighted_loss(
        partial(call.function, **call.arguments),
        inputs,
        weight,
        reduction=call.reduction,
        avg_factor=avg_factor,
        values=call.values,
        tame=call.tame,
    )
    return loss if call.loss_weight == 1 else call.loss_weight * loss


def gradient_with_graph(
    call: Call, inputs: Sequence[Tensor], weight: Tensor | None, avg_factor: Any, upstream: Tensor
) -> Tensor:
    """The gradient by the prediction, eagerly, so that it can be differentiated again."""
    value = eager(call, inputs, weight, avg_factor)
    return torch.autograd.grad(value, inputs[0], upstream, create_graph=True)[0]
