"""The choice of hand-written kernels for CPUs, and autograd's view of them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .. import functional as F
from ..functional.compiling import is_compiling
from .build import BuildError
from .call import Call, eager
from .library import kernel, threads_for

ENABLED = os.environ.get("MMDET_LOSSES_NATIVE", "1") != "0"
"""Whether the kernels are used."""
unavailable: str | None = None
"""Why there are no kernels here, once that is known."""
told = False
PLAIN = (Tensor, nn.Parameter)
TINY = torch.finfo(torch.float32).tiny
BOXES = {
    name: kind
    for kind, name in enumerate(
        ("log", "linear", "square", "giou", "diou", "ciou", "eiou", "siou", "extended", "bounded")
    )
}
"""Numbers of the kernels of boxes; in cpp/boxes.cpp their order."""
(
    HARD_FOCAL,
    HARD_FOCAL_OF_ANY_POWER,
    SOFT_FOCAL,
    CROSS_ENTROPY,
    QUALITY,
    VARIFOCAL,
    UNWEIGHTED_VARIFOCAL,
    ABSOLUTE,
    SQUARED,
    SMOOTH_ABSOLUTE,
) = range(10)
"""Numbers of the kernels of elements; in cpp/logits.cpp their order."""
NO_WEIGHT, OF_ROWS, OF_ELEMENTS = range(3)
MOST_BINS = 256


class Plan(NamedTuple):
    """How a kernel is called.

    Attributes:
        launch: Computes value and gradient of the plan's inputs.
        values: How many values the mean is of.
        kind: Which loss of the kernel.
        first, second: Its options.
        form: Of the weight; what it means is the kernel's to say.
        factor: What the sum is multiplied by before all else.
    """

    launch: Callable[..., Result]
    values: int
    kind: int = 0
    first: float = 0.0
    second: float = 0.0
    form: int = 0
    factor: float = 1.0


Result = tuple[Tensor, Tensor | None]
Prepared = tuple[Plan, Sequence[Tensor]]
"""A plan, and the targets as the kernel reads them."""


def usable(tensor: Any, wanted: torch.dtype = torch.float32) -> Tensor | None:
    """``tensor`` as a kernel reads it; None for what it cannot read."""
    if type(tensor) not in PLAIN or not tensor.is_cpu or tensor.requires_grad:
        return None
    if tensor.dtype is not wanted:
        if tensor.dtype is torch.float64 or tensor.is_complex():
            return None
        tensor = tensor.to(wanted)
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def usable_weight(weight: Any) -> Tensor | None:
    """:func:`usable`, for a weight, which does not say how wide a loss is computed."""
    if type(weight) is Tensor and weight.dtype is torch.float64 and not weight.requires_grad:
        weight = weight.float()
    return usable(weight)


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def run(name: str, pred: Tensor, slope: bool, *arguments: Any) -> Result:
    """Call a kernel, whose last arguments are what it writes and who shares the work."""
    value, gradient = torch.empty(()), torch.empty(pred.shape) if slope else None
    function, runner = kernel(name)
    function(*arguments, address(gradient), value.data_ptr(), threads_for(pred.numel()), runner)
    return value, gradient


def run_boxes(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    inputs = pred.data_ptr(), targets[0].data_ptr(), address(weight)
    return run("boxes", pred, slope, plan.kind, *inputs, plan.form, pred.shape[0], scale, plan.first, plan.second)


def prepare_boxes(
    kind: str,
    pred: Tensor,
    targets: Sequence[Tensor],
    weight: Tensor | None,
    first: float = 0.0,
    second: float = 0.0,
) -> Prepared | None:
    shape = pred.shape
    if len(shape) != 2 or shape[1] != 4 or len(targets) != 1:
        return None
    target = usable(targets[0])
    if target is None or target.shape != shape:
        return None
    form = 0
    if weight is not None:
        if weight.shape not in (shape, shape[:1]):
            return None
        form = 4 if weight.ndim == 2 else 1
    values = 4 * shape[0] if kind == "bounded" else shape[0]
    return Plan(run_boxes, values, BOXES[kind], float(first), float(second), form), [target]


def run_logits(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    first, last = targets[0], targets[-1]
    label = first if first.dtype is torch.int64 else None
    dense = last if last.dtype is torch.float32 else None
    inputs = pred.data_ptr(), address(label), address(dense), address(weight)
    columns = pred.shape[-1]
    shape = plan.form, pred.numel() // columns, columns
    return run("logits", pred, slope, plan.kind, *inputs, *shape, scale, plan.first, plan.second)


def prepare_logits(
    kind: int,
    pred: Tensor,
    targets: Sequence[Tensor],
    weight: Tensor | None,
    first: float = 0.0,
    second: float = 0.0,
    factor: float = 1.0,
    values: int | None = None,
) -> Prepared | None:
    """A plan for logits of any shape with a dense target, or with labels of their rows and perhaps a value of each."""
    shape = pred.shape
    labelled = targets[0].ndim < pred.ndim
    found = [usable(target, torch.int64 if labelled and i == 0 else torch.float32) for i, target in enumerate(targets)]
    if not shape or any(target is None for target in found):
        return None
    form = NO_WEIGHT
    if weight is not None:
        if weight.shape == shape:
            form = OF_ELEMENTS
        elif weight.shape in (shape[:-1], (*shape[:-1], 1)):
            form = OF_ROWS
        else:
            return None
    values = pred.numel() if values is None else values
    return Plan(run_logits, values, kind, float(first), float(second), form, factor), found


def focal(
    pred: Tensor,
    targets: Sequence[Tensor],
    weight: Tensor | None,
    *,
    gamma: float,
    alpha: float | Tensor | None,
    activated: bool,
    epsilon: float,
    weigh_poly: bool,
) -> Prepared | None:
    if activated or epsilon or isinstance(alpha, Tensor):
        return None
    kind = HARD_FOCAL if gamma == 2 else HARD_FOCAL_OF_ANY_POWER
    if targets[0].ndim == pred.ndim:
        if gamma != 2:
            return None
        kind = SOFT_FOCAL
    # Without alpha: twice what is weighted by a half.
    alpha, factor = (0.5, 2.0) if alpha is None else (alpha, 1.0)
    return prepare_logits(kind, pred, targets, weight, alpha, gamma, factor)


def cross_entropy(
    *inputs: Any, class_weight: Tensor | None = None, label_smoothing: float = 0.0, smoothing_mode: str = ""
) -> Prepared | None:
    return None if class_weight is not None or label_smoothing else prepare_logits(CROSS_ENTROPY, *inputs)


def run_softmax(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    inputs = pred.data_ptr(), targets[0].data_ptr(), address(weight)
    return run("softmax", pred, slope, *inputs, *pred.shape, scale)


def softmax(
    pred: Tensor,
    targets: Sequence[Tensor],
    weight: Tensor | None,
    *,
    class_weight: Tensor | None,
    label_smoothing: float,
) -> Prepared | None:
    if class_weight is not None or label_smoothing or targets[0].is_floating_point():
        return None
    label = usable(targets[0], torch.int64)
    return None if label is None else (Plan(run_softmax, pred.shape[0]), [label])


def smooth_l1(*inputs: Any, beta: float) -> Prepared | None:
    return prepare_logits(SMOOTH_ABSOLUTE if beta else ABSOLUTE, *inputs, beta)


def quality(pred: Tensor, *inputs: Any, beta: float, activated: bool) -> Prepared | None:
    return None if activated or beta != 2 else prepare_logits(QUALITY, pred, *inputs, values=pred.shape[0])


def varifocal(*inputs: Any, alpha: float, gamma: float, iou_weighted: bool) -> Prepared | None:
    kind = VARIFOCAL if iou_weighted else UNWEIGHTED_VARIFOCAL
    return prepare_logits(kind, *inputs, alpha) if gamma == 2 else None


def run_distribution(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    inputs = pred.data_ptr(), targets[0].data_ptr(), address(weight)
    return run("distribution", pred, slope, *inputs, *pred.shape, scale, plan.first, plan.second)


def distribution(
    pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, *, y_min: float, y_max: float | None
) -> Prepared | None:
    target = usable(targets[0])
    rows, bins = pred.shape
    if target is None or bins > MOST_BINS:
        return None
    start, density = 0.0, 1.0
    if y_min or y_max is not None:
        start, density = y_min, (bins - 1) / ((bins - 1 if y_max is None else y_max) - y_min)
    return Plan(run_distribution, rows, 0, float(start), float(density)), [target]


MEMBERS: dict[Callable, str] = {
    F.no_terms: "linear",
    F.giou_terms: "giou",
    F.diou_terms: "diou",
    F.ciou_terms: "ciou",
    F.eiou_terms: "eiou",
    F.siou_terms: "siou",
}
"""Kernels of the members of the IoU family, by what they add to the overlap."""


def member(
    pred: Tensor,
    targets: Sequence[Tensor],
    weight: Tensor | None,
    *,
    terms: Callable,
    power: float,
    inner_ratio: float,
    focaler: Any,
    focus: Any,
    mode: str = "",
    eps: float = 0.0,
    **others: Any,
) -> Prepared | None:
    """A loss of the IoU family as published; with a mode, the IoU loss, which has no terms."""
    if power != 1 or inner_ratio != 1 or focaler is not None or focus is not None or others:
        return None
    if mode:
        plain = terms is F.no_terms and (mode != "log" or eps >= TINY)
        return prepare_boxes(mode, pred, targets, weight, eps) if plain else None
    gate = None
    if type(terms) is partial and not terms.args:
        gate, terms = terms.keywords.get("alpha_gate"), terms.func
    kind = MEMBERS.get(terms)
    return prepare_boxes(kind, pred, targets, weight, -math.inf if gate is None else gate) if kind else None


def extended(*inputs: Any, smooth_point: float) -> Prepared | None:
    return prepare_boxes("extended", *inputs, smooth_point)


def bounded(*inputs: Any, beta: float, eps: float) -> Prepared | None:
    return prepare_boxes("bounded", *inputs, beta, eps)


PREPARE: dict[Callable[..., Tensor], Callable[..., Prepared | None]] = {
    F.box_iou_loss: member,
    F.iou_loss: member,
    F.extended_iou_loss: extended,
    F.bounded_iou_loss: bounded,
    F.sigmoid_focal_loss: focal,
    F.sigmoid_cross_entropy: cross_entropy,
    F.softmax_cross_entropy: softmax,
    F.quality_focal_loss: quality,
    F.varifocal_loss: varifocal,
    F.distribution_focal_loss: distribution,
    F.l1_loss: partial(prepare_logits, ABSOLUTE),
    F.mse_loss: partial(prepare_logits, SQUARED),
    F.smooth_l1_loss: smooth_l1,
}
"""What makes a plan of ``pred, targets, weight`` and a function's arguments; None where there is no kernel for them."""


class WrittenLoss(torch.autograd.Function):
    """Autograd's view of a kernel: the gradient is computed with the value, and kept."""

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        scale: float,
        call: Call,
        avg_factor: Any,
        pred: Tensor,
        weight: Tensor | None,
        *targets: Tensor,
    ) -> Tensor:
        ctx.again = plan, scale, call, avg_factor
        ctx.save_for_backward(pred, weight, *targets)
        value, ctx.gradient = launch(plan, scale, pred, targets, weight, True)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient, ctx.gradient = ctx.gradient, None
        (plan, scale, call, avg_factor), (pred, weight, *targets) = ctx.again, ctx.saved_tensors
        if torch.is_grad_enabled():
            # a gradient of the gradient is wanted
            value = eager(call, (pred, *targets), weight, avg_factor)
            (gradient,) = torch.autograd.grad(value, pred, upstream, create_graph=True)
        else:
            if gradient is None:  # it was handed on before
                _, gradient = launch(plan, scale, pred, targets, weight, True)
            gradient = scaled(gradient, upstream)
        return (None, None, None, None, gradient, None, *[None] * len(targets))


def scaled(gradient: Tensor, upstream: Tensor) -> Tensor:
    """The gradient times what comes from above, in place where it can be."""
    try:
        factor = upstream.item()
    except RuntimeError:  # several at once, see is_grads_batched of torch.autograd.grad
        return gradient * upstream
    return gradient if factor == 1 else gradient.mul_(factor)


def launch(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    """Value and, if wanted, gradient."""
    return plan.launch(plan, scale, pred if pred.is_contiguous() else pred.contiguous(), targets, weight, slope)


def compute(call: Call, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any) -> Tensor | None:
    """The loss of a call through a hand-written kernel; None where there is none for it."""
    if not ENABLED or unavailable is not None or is_compiling():
        return None
    prepare = PREPARE.get(call.function)
    if prepare is None or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return None
    pred, *targets = inputs
    if type(pred) not in PLAIN or pred.dtype is not torch.float32 or not pred.is_cpu or not pred.numel():
        return None
    if weight is not None:
        weight = usable_weight(weight)
        if weight is None:
            return None
    prepared = prepare(pred, targets, weight, **call.arguments)
    if prepared is None or isinstance(call.loss_weight, Tensor):
        return None
    plan, targets = prepared
    scale = call.loss_weight * plan.factor
    if call.reduction == "mean":
        divisor = plan.values if avg_factor is None else avg_factor
        if isinstance(divisor, Tensor):
            if divisor.requires_grad or not divisor.is_cpu:
                return None
            divisor = divisor.item()
        scale = 0.0 if divisor == 0 else scale / divisor
    try:
        scale = float(scale)
        if pred.requires_grad and torch.is_grad_enabled():
            return WrittenLoss.apply(plan, scale, call, avg_factor, pred, weight, *targets)
        return launch(plan, scale, pred, targets, weight, False)[0]
    except BuildError as error:
        note_unavailable(str(error))
        return None


def note_unavailable(reason: str) -> None:
    global unavailable
    unavailable = reason


def tell_unavailable() -> None:
    """Warn once that the hand-written kernels could not be built."""
    global told
    if unavailable is not None and not told:
        told = True
        warnings.warn(
            f"fused=True uses torch.compile alone, since its own kernels could not be built: {unavailable}",
            stacklevel=2,
        )
