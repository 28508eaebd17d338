"""The fused path: value and gradient of a loss as one compiled pass over its inputs."""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..functional.compiling import VERSION, is_compiling
from ..functional.pairs import transposed
from ..functional.reduce import keep_rows, mean_of_columns, weighted_loss
from . import native

if TYPE_CHECKING:
    from .base import Loss

BACKEND = "inductor"
INLINE = dict(realize_opcount_threshold=2000, realize_reads_threshold=2000)
"""Keeps the compiler from writing the sigmoids of all logits to memory between two loops."""
LIMIT = {"recompile_limit": 64} if "recompile_limit" in inspect.signature(torch.compile).parameters else {}
"""Graphs of one class: one for each dtype, form of the weight, reduction and set of options that a program has."""
LARGE = 2**14
"""Elements from which on an input has kernels of its own, since how many threads share the work is compiled in."""
uncompiled: set[type[Loss]] = set()
"""Classes that were found not to compile here."""
TOO_OLD = VERSION < (2, 4)
"""Whether the compiler of this torch does not take every loss."""


def total(
    loss: Loss,
    pred: Tensor,
    targets: tuple[Tensor, ...],
    weight: Tensor | None,
    avg_factor: Tensor | None,
    reduction: str,
) -> Tensor:
    """The loss, weighted and reduced, of inputs as :func:`arrange` hands them to a kernel."""
    inputs = [tensor.t() if loss.columns else tensor for tensor in (pred, *targets)]
    if loss.terms_of_rows is None:
        return loss.weighted(inputs, weight, avg_factor, reduction)
    # Summed at once: with a sum of each row first, the gradient would need a second pass.
    if reduction == "mean" and avg_factor is None:
        avg_factor = pred.shape[0]
    if weight is not None:
        weight = weight.unsqueeze(-1)
    return loss.loss_weight * weighted_loss(
        loss.terms_of_rows, inputs, weight, reduction=reduction, avg_factor=avg_factor
    )


def value_and_gradient(loss: Loss, pred: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    # A clone costs nothing once compiled; to what is differentiated itself, the compiler would not apply the backward
    # of an autograd.Function, but differentiate through its forward.
    gradient, value = torch.func.grad_and_value(lambda pred: total(loss, pred.clone(), *rest))(pred)
    return value, gradient


def scaled_gradient(upstream: Tensor, loss: Loss, pred: Tensor, *rest: Any) -> Tensor:
    return torch.func.grad(lambda pred: upstream * total(loss, pred.clone(), *rest))(pred)


@cache
def compiled(function: Callable, loss: type[Loss], large: bool) -> Callable:
    """A kernel of one class of losses.

    Args:
        function: What it computes.
        loss: The class.
        large: Whether it is for inputs of :data:`LARGE` elements or more.
    """
    # Recompilations are limited for each code object: with its own, no class uses up the limit of the others.
    own = types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    options = INLINE if BACKEND == "inductor" and not loss.columns else None
    return torch.compile(own, dynamic=False, fullgraph=True, backend=BACKEND, options=options, **LIMIT)


def kernel(function: Callable, loss: Loss, pred: Tensor) -> Callable:
    """The kernel of a loss for predictions of this size."""
    return compiled(function, type(loss), pred.numel() >= LARGE)


def arrange(tensor: Tensor, columns: bool) -> Tensor:
    """``tensor`` with a changing number of rows; on a CPU each column of boxes lies in one piece."""
    tensor = tensor.detach()
    if columns:
        tensor = transposed(tensor) if tensor.device.type == "cpu" else tensor.t()
    rows = range(tensor.ndim) if tensor.ndim > 2 else (tensor.ndim - 1 if columns else 0,)
    for axis in rows:
        torch._dynamo.maybe_mark_dynamic(tensor, axis)
    return tensor


def one_pass(pred: Tensor) -> bool:
    """Whether the gradient is computed with the value and kept.

    On a CPU it is computing that takes the time, so it is done once. Elsewhere it is memory, and reading
    the logits again costs less than writing, reading and scaling a gradient. Small gradients in float16 are lost
    without the factor that a gradient scaler sends through backward.
    """
    return pred.device.type == "cpu" and pred.dtype != torch.float16


class FusedLoss(torch.autograd.Function):
    """Autograd's view of the kernels of a loss."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: Loss,
        reduction: str,
        avg_factor: Tensor | None,
        weight: Tensor | None,
        pred: Tensor,
        *targets: Tensor,
    ) -> Tensor:
        ctx.loss, ctx.reduction, ctx.gradient = loss, reduction, None
        ctx.save_for_backward(avg_factor, weight, pred, *targets)
        call = FusedLoss.call(ctx, avg_factor, weight, pred, *targets)
        if not (ctx.needs_input_grad[4] and one_pass(pred)):
            return kernel(total, loss, pred)(*call)
        value, ctx.gradient = kernel(value_and_gradient, loss, pred)(*call)
        return value

    @staticmethod
    def call(
        ctx: Any, avg_factor: Tensor | None, weight: Tensor | None, pred: Tensor, *targets: Tensor
    ) -> tuple[Any, ...]:
        """Arguments of :func:`total`."""
        columns = ctx.loss.columns
        return (
            ctx.loss,
            arrange(pred, columns),
            tuple(arrange(target, columns) for target in targets),
            None if weight is None else arrange(weight, columns=False),
            avg_factor,
            ctx.reduction,
        )

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        avg_factor, weight, pred, *targets = ctx.saved_tensors
        gradient, ctx.gradient = ctx.gradient, None
        if torch.is_grad_enabled():
            # a gradient of the gradient is wanted
            value = ctx.loss.weighted((pred, *targets), weight, avg_factor, ctx.reduction)
            (gradient,) = torch.autograd.grad(value, pred, upstream, create_graph=True)
        else:
            if gradient is None:
                call = FusedLoss.call(ctx, avg_factor, weight, pred, *targets)
                gradient = kernel(scaled_gradient, ctx.loss, pred)(upstream, *call)
            elif upstream != 1:
                gradient.mul_(upstream)
            if ctx.loss.columns:
                gradient = gradient.t()
        return (None, None, None, None, gradient, *(None for _ in targets))


def fused_loss(
    loss: Loss, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
) -> Tensor | None:
    """The weighted and reduced loss of aligned inputs through its kernels; None where they cannot compute it.

    That is under another compiler, which takes the loss apart by itself, under transforms of functions, for targets or
    weights with a gradient, for no row and one row, which a compiler treats for themselves, and without a compiler.
    """
    pred, *targets = inputs
    if (
        type(loss) in uncompiled
        or is_compiling()
        or torch._C._are_functorch_transforms_active()
        or pred.shape[0] < 2
        or any(tensor.requires_grad for tensor in (*targets, weight, avg_factor) if isinstance(tensor, Tensor))
    ):
        return None
    if TOO_OLD:
        tell_too_old()
        return None
    if avg_factor is not None or reduction == "sum":
        (pred, *targets), weight = keep_rows(inputs, weight, most=0.5)
        if pred.shape[0] < 2:
            return None
    if weight is not None and loss.one_per_row:
        weight = mean_of_columns(weight)
    if isinstance(avg_factor, Tensor):
        avg_factor = avg_factor.detach().to(pred.device).reshape(())
    elif avg_factor is not None:
        avg_factor = torch.full((), avg_factor, device=pred.device)
    try:
        value = FusedLoss.apply(loss, reduction, avg_factor, weight, pred, *targets)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # of whatever kind: what is wrong with the inputs, the eager path says in its own words
        uncompiled.add(type(loss))
        warnings.warn(
            f"{type(loss).__name__} is computed without fused=True, since compiling it failed: {first_line(error)}",
            stacklevel=2,
        )
        return None
    native.tell_unavailable()
    return value


@cache
def tell_too_old() -> None:
    """Warn once that this torch has no compiler for the losses."""
    warnings.warn(
        f"fused=True needs torch 2.4 for losses without a hand-written kernel, and this is torch "
        f"{torch.__version__}: they are computed as without the option, see docs/fused.md."
        + (f" Hand-written kernels could not be built: {native.unavailable}" if native.unavailable else ""),
        stacklevel=2,
    )


def first_line(error: Exception) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)


def fuse_losses(model: nn.Module, fused: bool = True) -> int:
    """Switch all losses of a model to their compiled kernels, or back.

    Args:
        model: The model, or any module that holds losses of this package.
        fused: What their option is to be.

    Returns:
        How many losses there are that have kernels.

    Example:
        >>> from torch import nn
        >>> from mmdet_losses import CIoULoss, FocalLoss, fuse_losses
        >>> fuse_losses(nn.ModuleList([FocalLoss(), CIoULoss()]))
        2
    """
    losses = [module for module in model.modules() if getattr(module, "fusible", False)]
    for loss in losses:
        loss.fused = fused
    return len(losses)
