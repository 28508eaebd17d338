"""Runs the hand-written kernels for CPUs, alone and for autograd."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .build import BuildError
from .call import Call, gradient_with_graph
from .library import kernel, threads_for
from .plans import Plan

ENABLED = os.environ.get("MMDET_LOSSES_NATIVE", "1") != "0"
"""Whether the kernels are used."""
unavailable: str | None = None
"""Why the kernels cannot be built here, once that is known."""
NO_WEIGHT, OF_ROWS, OF_ELEMENTS = range(3)
"""What a weight belongs to; in cpp/loss.h their order."""
Result = tuple[Tensor, Tensor | None]


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def launch(
    plan: Plan,
    scale: float,
    pred: Tensor,
    labels: Tensor | None,
    target: Tensor | None,
    weight: Tensor | None,
    slope: bool,
) -> Result:
    """Run a kernel: the value and, with ``slope``, the gradient, both times ``scale``."""
    pred = pred if pred.is_contiguous() else pred.contiguous()
    value, gradient = torch.empty(()), torch.empty_like(pred) if slope else None
    form = NO_WEIGHT if weight is None else OF_ELEMENTS if weight.shape == pred.shape else OF_ROWS
    count, columns = pred.numel(), pred.shape[-1]
    function, runner = kernel(plan.kernel)
    function(
        pred.data_ptr(),
        address(labels),
        address(target),
        address(weight),
        form,
        count // columns,
        columns,
        scale,
        address(gradient),
        value.data_ptr(),
        threads_for(count),
        runner,
        *plan.numbers,
    )
    return value, gradient


class WrittenLoss(torch.autograd.Function):
    """A kernel for autograd: the gradient is computed with the value, and kept for backward."""

    @staticmethod
    def forward(
        ctx: Any,
        again: tuple[Call, Any, Plan, float],
        pred: Tensor,
        labels: Tensor | None,
        target: Tensor | None,
        weight: Tensor | None,
    ) -> Tensor:
        ctx.again = again
        ctx.save_for_backward(pred, labels, target, weight)
        *_, plan, scale = again
        value, ctx.gradient = launch(plan, scale, pred, labels, target, weight, True)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient, ctx.gradient = ctx.gradient, None
        (call, avg_factor, plan, scale), tensors = ctx.again, ctx.saved_tensors
        if torch.is_grad_enabled():
            pred, labels, target, weight = tensors
            inputs = [tensor for tensor in (pred, labels, target) if tensor is not None]
            gradient = gradient_with_graph(call, inputs, weight, avg_factor, upstream)
        else:
            if gradient is None:  # backward ran before
                _, gradient = launch(plan, scale, *tensors, True)
            gradient = scaled(gradient, upstream)
        return (None, gradient, None, None, None)


def scaled(gradient: Tensor, upstream: Tensor) -> Tensor:
    """The gradient times that of the result, in place where it can be."""
    try:
        factor = upstream.item()
    except RuntimeError:  # several at once, see is_grads_batched of torch.autograd.grad
        return gradient * upstream
    return gradient if factor == 1 else gradient.mul_(factor)


def compute(
    call: Call,
    plan: Plan,
    pred: Tensor,
    labels: Tensor | None,
    target: Tensor | None,
    weight: Tensor | None,
    avg_factor: Any,
) -> Tensor | None:
    """The loss of a planned call; None where the kernels cannot be built."""
    global unavailable
    scale = call.loss_weight * plan.factor
    if call.reduction == "mean":
        # The rule of functional/reduce.py, reduce_total: nothing is added to a divisor, and one of 0 gives 0.
        divisor = plan.count if avg_factor is None else avg_factor
        divisor = divisor.item() if isinstance(divisor, Tensor) else divisor
        scale = 0.0 if divisor == 0 else scale / divisor
    try:
        if pred.requires_grad and torch.is_grad_enabled():
            # one argument, since autograd looks at each
            return WrittenLoss.apply((call, avg_factor, plan, float(scale)), pred, labels, target, weight)
        return launch(plan, float(scale), pred, labels, target, weight, False)[0]
    except BuildError as error:
        unavailable = str(error)
        return None


@cache
def tell_unavailable(reason: str) -> None:
    """Warn once that the hand-written kernels could not be built."""
    warnings.warn(
        f"fused=True uses torch.compile alone, since its own kernels could not be built: {reason}", stacklevel=2
    )
