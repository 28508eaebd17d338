"""Kernels that torch.compile generates: value and gradient of a loss as one pass over its inputs."""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..functional.classification import quality_focal_loss, quality_focal_terms
from ..functional.compiling import VERSION
from ..functional.pairs import transposed
from ..functional.reduce import keep_rows, mean_of_columns
from . import cuda, written
from .call import Call, eager, gradient_with_graph
from .library import LARGE

BACKEND = "inductor"
INLINE = dict(realize_opcount_threshold=2000, realize_reads_threshold=2000)
"""Keeps everything in one loop; by default inductor writes the sigmoids of all logits to memory in between."""
LIMIT = {"recompile_limit": 64} if "recompile_limit" in inspect.signature(torch.compile).parameters else {}
"""Recompilations per owner: each dtype, form of the weight, reduction and set of options is a graph."""
ELEMENTS: dict[Callable[..., Tensor], Callable[..., Tensor]] = {quality_focal_loss: quality_focal_terms}
"""Functions that sum over the elements of each row, with their element-wise form."""
uncompiled: set[Hashable] = set()
"""Owners whose calls failed to compile."""
TOO_OLD = VERSION < (2, 4)
"""Whether the compiler of this torch cannot trace every loss."""


def total(
    call: Call, pred: Tensor, targets: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Tensor | None
) -> Tensor:
    """The loss of a call, from tensors as :func:`arrange` returns them."""
    inputs = [tensor.t() if in_columns(call) else tensor for tensor in (pred, *targets)]
    return eager(call, inputs, weight, avg_factor)


def value_and_gradient(call: Call, pred: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Value and gradient of :func:`total`."""
    # The clone is free once compiled. Without it, the compiler ignores the backward of an autograd.Function that reads
    # `pred` itself, and differentiates through its forward.
    gradient, value = torch.func.grad_and_value(lambda pred: total(call, pred.clone(), *rest))(pred)
    return value, gradient


def scaled_gradient(upstream: Tensor, call: Call, pred: Tensor, *rest: Any) -> Tensor:
    """Gradient of :func:`total` times that of the result."""
    return torch.func.grad(lambda pred: upstream * total(call, pred.clone(), *rest))(pred)


def in_columns(call: Call) -> bool:
    """Whether the function reads its inputs by columns, as those of boxes do."""
    return call.values != "elements"


@cache
def compiled(function: Callable, owner: Hashable, columns: bool, large: bool) -> Callable:
    """A compiled function.

    Args:
        function: The function.
        owner: Owner of the calls, with a limit of recompilations of its own.
        columns: Whether its inputs are transposed.
        large: Whether it is for inputs of :data:`LARGE` elements or more, since the number of threads is compiled in.
    """
    # Recompilations are limited per code object, so each owner gets a copy.
    own = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    options = INLINE if BACKEND == "inductor" and not columns else None
    return torch.compile(own, dynamic=False, fullgraph=True, backend=BACKEND, options=options, **LIMIT)


def kernel(function: Callable, call: Call, pred: Tensor) -> Callable:
    """The kernel of a call for predictions of this size."""
    return compiled(function, call.owner, in_columns(call), pred.numel() >= LARGE)


def mark_rows(tensor: Tensor, axis: int) -> None:
    """Mark the axis of the rows as dynamic; of more than two axes all, which may be rows."""
    for each in range(tensor.ndim) if tensor.ndim > 2 else (axis,):
        torch._dynamo.maybe_mark_dynamic(tensor, each)


def arrange(
    call: Call, avg_factor: Tensor | None, weight: Tensor | None, pred: Tensor, *targets: Tensor
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None, Tensor | None]:
    """Arguments of :func:`total` after the call: detached, the row axis dynamic, on a CPU boxes column-major."""
    inputs, axis = [tensor.detach() for tensor in (pred, *targets)], 0
    if in_columns(call):
        on_cpu, axis = pred.device.type == "cpu", 1
        inputs = [transposed(tensor) if on_cpu else tensor.t() for tensor in inputs]
    for tensor in inputs:
        mark_rows(tensor, axis)
    if weight is not None:
        weight = weight.detach()
        mark_rows(weight, 0)
    return inputs[0], tuple(inputs[1:]), weight, avg_factor


def one_pass(pred: Tensor) -> bool:
    """Whether the gradient is computed with the value, and kept for backward.

    A CPU is bound by computation, which is then done once; a GPU by memory, where reading the logits again costs less
    than writing, reading and scaling a gradient. In float16 small gradients would underflow before the factor of a
    gradient scaler arrives in backward.
    """
    return pred.device.type == "cpu" and pred.dtype != torch.float16


class GeneratedLoss(torch.autograd.Function):
    """A call through its kernels, for autograd."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, avg_factor: Tensor | None, weight: Tensor | None, pred: Tensor, *targets: Tensor
    ) -> Tensor:
        ctx.call, ctx.gradient = call, None
        ctx.save_for_backward(avg_factor, weight, pred, *targets)
        arranged = arrange(call, avg_factor, weight, pred, *targets)
        if not (ctx.needs_input_grad[3] and one_pass(pred)):
            return kernel(total, call, pred)(call, *arranged)
        value, ctx.gradient = kernel(value_and_gradient, call, pred)(call, *arranged)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        call, (avg_factor, weight, pred, *targets) = ctx.call, ctx.saved_tensors
        gradient, ctx.gradient = ctx.gradient, None
        if torch.is_grad_enabled():
            gradient = gradient_with_graph(call, (pred, *targets), weight, avg_factor, upstream)
        else:
            if gradient is None:
                arranged = arrange(call, avg_factor, weight, pred, *targets)
                gradient = kernel(scaled_gradient, call, pred)(upstream, call, *arranged)
            else:
                gradient = written.scaled(gradient, upstream)
            if in_columns(call):
                gradient = gradient.t()
        return (None, None, None, gradient, *(None for _ in targets))


def compute(call: Call, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any) -> Tensor | None:
    """The loss of a call through its generated kernels; None where they cannot compute it.

    That is under transforms of functions, for targets or weights that need a gradient, for 0 or 1 rows, which
    torch.compile specialises, and without a compiler.
    """
    if (
        call.owner in uncompiled
        or torch._C._are_functorch_transforms_active()
        or inputs[0].shape[0] < 2
        or any([tensor.requires_grad for tensor in (*inputs[1:], weight, avg_factor) if isinstance(tensor, Tensor)])
    ):
        return None
    if TOO_OLD:
        tell_too_old()
        return None
    if call.function in ELEMENTS:
        # Without the sum of each row in between, value and gradient are one pass.
        call = call._replace(function=ELEMENTS[call.function])
        weight = None if weight is None else weight.unsqueeze(-1)
        if avg_factor is None and call.reduction == "mean":
            avg_factor = inputs[0].shape[0]
    if avg_factor is not None or call.reduction == "sum":
        inputs, weight = keep_rows(inputs, weight, most=0.5)
        if inputs[0].shape[0] < 2:
            return None
    pred, *targets = inputs
    if weight is not None and call.values == "rows":
        weight = mean_of_columns(weight)
    if isinstance(avg_factor, Tensor):
        avg_factor = avg_factor.detach().to(pred.device).reshape(())
    elif avg_factor is not None:
        avg_factor = torch.full((), avg_factor, device=pred.device)
    try:
        value = GeneratedLoss.apply(call, avg_factor, weight, pred, *targets)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # of any type: where the inputs are wrong, the eager path says so
        uncompiled.add(call.owner)
        warnings.warn(
            f"{name_of(call.owner)} is computed without fused=True, since compiling it failed: {first_line(error)}",
            stacklevel=2,
        )
        return None
    unavailable = (cuda if pred.is_cuda else written).unavailable
    if unavailable is not None:
        written.tell_unavailable(unavailable)
    return value


@cache
def tell_too_old() -> None:
    """Warn once that this torch has no compiler for the losses."""
    warnings.warn(
        f"fused=True needs torch 2.4 for losses without a hand-written kernel, and this is torch "
        f"{torch.__version__}: they are computed as without the option, see docs/fused.md."
        + (f" Hand-written kernels could not be built: {written.unavailable}" if written.unavailable else ""),
        stacklevel=2,
    )


def name_of(owner: Hashable) -> str:
    return getattr(owner, "__name__", str(owner))


def first_line(error: Exception) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
