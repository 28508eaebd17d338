"""The choice of hand-written kernels for CPUs, and autograd's view of them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..functional.compiling import is_compiling
from ..native.build import BuildError
from ..native.kernels import kernel, threads_for

if TYPE_CHECKING:
    from .base import Loss

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
"""Numbers of the kernels of boxes; in native/boxes.cpp their order."""
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
"""Numbers of the kernels of elements; in native/logits.cpp their order."""
NO_WEIGHT, OF_ROWS, OF_ELEMENTS = range(3)
MOST_BINS = 256


class Plan(NamedTuple):
    """How a kernel is called.

    Attributes:
        launch: Computes value and gradient of the plan's inputs.
        kind: Which loss of the kernel.
        first, second: Its options.
        form: Of the weight; what it means is the kernel's to say.
        divisor: How many values the mean is of.
        factor: What the sum is multiplied by before all else.
    """

    launch: Callable[..., tuple[Tensor, Tensor | None]]
    kind: int
    first: float
    second: float
    form: int
    divisor: int
    factor: float = 1.0


Prepared = tuple[Plan, list[Tensor], Tensor | None]
Result = tuple[Tensor, Tensor | None]


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
    kind: str, pred: Tensor, targets: tuple[Tensor, ...], weight: Tensor | None, first: float = 0.0, second: float = 0.0
) -> Prepared | None:
    shape = pred.shape
    if len(shape) != 2 or shape[1] != 4 or len(targets) != 1:
        return None
    target = usable(targets[0])
    if target is None or target.shape != shape:
        return None
    form = 0
    if weight is not None:
        weight = usable_weight(weight)
        if weight is None or weight.shape not in (shape, shape[:1]):
            return None
        form = 4 if weight.ndim == 2 else 1
    values = 4 * shape[0] if kind == "bounded" else shape[0]
    return Plan(run_boxes, BOXES[kind], float(first), float(second), form, values), [target], weight


def run_logits(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    label = targets[0] if targets[0].dtype is torch.int64 else None
    dense = targets[-1] if targets[-1].dtype is torch.float32 else None
    inputs = pred.data_ptr(), address(label), address(dense), address(weight)
    columns = pred.shape[-1]
    shape = plan.form, pred.numel() // columns, columns
    return run("logits", pred, slope, plan.kind, *inputs, *shape, scale, plan.first, plan.second)


def prepare_logits(
    kind: int,
    pred: Tensor,
    targets: list[Tensor],
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
        weight = usable_weight(weight)
        if weight is None:
            return None
        if weight.shape == shape:
            form = OF_ELEMENTS
        elif weight.shape in (shape[:-1], (*shape[:-1], 1)):
            form = OF_ROWS
        else:
            return None
    values = pred.numel() if values is None else values
    return Plan(run_logits, kind, float(first), float(second), form, values, factor), found, weight


def focal(loss: Any, pred: Tensor, targets: list[Tensor], weight: Tensor | None) -> Prepared | None:
    if not loss.use_sigmoid or loss.activated or loss.epsilon or loss.per_class is not None:
        return None
    kind = HARD_FOCAL if loss.gamma == 2 else HARD_FOCAL_OF_ANY_POWER
    if targets[0].ndim == pred.ndim:
        if loss.gamma != 2:
            return None
        kind = SOFT_FOCAL
    # Without alpha: twice what is weighted by a half.
    alpha, factor = (0.5, 2.0) if loss.alpha is None else (loss.alpha, 1.0)
    return prepare_logits(kind, pred, targets, weight, alpha, loss.gamma, factor)


def cross_entropy(loss: Any, pred: Tensor, targets: list[Tensor], weight: Tensor | None) -> Prepared | None:
    if loss.per_class is not None or loss.label_smoothing:
        return None
    if loss.use_sigmoid or loss.use_mask:
        return prepare_logits(CROSS_ENTROPY, pred, targets, weight)
    return prepare_softmax(pred, targets[0], weight)


def run_softmax(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    inputs = pred.data_ptr(), targets[0].data_ptr(), address(weight)
    return run("softmax", pred, slope, *inputs, *pred.shape, scale)


def prepare_softmax(pred: Tensor, label: Tensor, weight: Tensor | None) -> Prepared | None:
    if label.is_floating_point():
        return None
    label = usable(label, torch.int64)
    if weight is not None:
        weight = usable_weight(weight)
        if weight is None:
            return None
    if label is None:
        return None
    return Plan(run_softmax, 0, 0.0, 0.0, int(weight is not None), pred.shape[0]), [label], weight


def elementwise(kind: int) -> Callable[..., Prepared | None]:
    """A loss of coordinates that has no options of its own."""
    return lambda loss, *inputs: prepare_logits(kind, *inputs)


def smooth_l1(loss: Any, *inputs: Any) -> Prepared | None:
    return prepare_logits(SMOOTH_ABSOLUTE if loss.beta else ABSOLUTE, *inputs, loss.beta)


def quality(loss: Any, pred: Tensor, *inputs: Any) -> Prepared | None:
    if loss.activated or loss.beta != 2:
        return None
    return prepare_logits(QUALITY, pred, *inputs, values=pred.shape[0])


def varifocal(loss: Any, *inputs: Any) -> Prepared | None:
    kind = VARIFOCAL if loss.iou_weighted else UNWEIGHTED_VARIFOCAL
    return prepare_logits(kind, *inputs, loss.alpha) if loss.gamma == 2 else None


def run_distribution(
    plan: Plan, scale: float, pred: Tensor, targets: Sequence[Tensor], weight: Tensor | None, slope: bool
) -> Result:
    inputs = pred.data_ptr(), targets[0].data_ptr(), address(weight)
    return run("distribution", pred, slope, *inputs, *pred.shape, scale, plan.first, plan.second)


def distribution(loss: Any, pred: Tensor, targets: list[Tensor], weight: Tensor | None) -> Prepared | None:
    target = usable(targets[0])
    rows, bins = pred.shape
    if target is None or bins > MOST_BINS:
        return None
    if weight is not None:
        weight = usable_weight(weight)
        if weight is None:
            return None
    start, density = 0.0, 1.0
    if loss.y_min or loss.y_max is not None:
        start, density = loss.y_min, (bins - 1) / ((bins - 1 if loss.y_max is None else loss.y_max) - loss.y_min)
    return Plan(run_distribution, 0, float(start), float(density), int(weight is not None), rows), [target], weight


def unmodified(loss: Any) -> bool:
    """Whether a loss of the IoU family is as published."""
    return loss.power == 1 and loss.inner_ratio == 1 and loss.focaler is None and loss.focus is None


def iou(loss: Any, *inputs: Any) -> Prepared | None:
    if not unmodified(loss) or (loss.mode == "log" and loss.eps < TINY):
        return None
    return prepare_boxes(loss.mode, *inputs, loss.eps)


def ciou(loss: Any, *inputs: Any) -> Prepared | None:
    gate = -math.inf if loss.alpha_gate is None else loss.alpha_gate
    return prepare_boxes("ciou", *inputs, gate) if unmodified(loss) else None


def member(kind: str) -> Callable[..., Prepared | None]:
    """A loss of the IoU family that has no options of its own."""
    return lambda loss, *inputs: prepare_boxes(kind, *inputs) if unmodified(loss) else None


def extended(loss: Any, *inputs: Any) -> Prepared | None:
    return prepare_boxes("extended", *inputs, loss.smooth_point)


def bounded(loss: Any, *inputs: Any) -> Prepared | None:
    return prepare_boxes("bounded", *inputs, loss.beta, loss.eps)


PREPARE: dict[str, Callable[..., Prepared | None]] = {
    "IoULoss": iou,
    "GIoULoss": member("giou"),
    "DIoULoss": member("diou"),
    "CIoULoss": ciou,
    "EIoULoss": member("eiou"),
    "SIoULoss": member("siou"),
    "ExtendedIoULoss": extended,
    "BoundedIoULoss": bounded,
    "FocalLoss": focal,
    "CrossEntropyLoss": cross_entropy,
    "QualityFocalLoss": quality,
    "VarifocalLoss": varifocal,
    "DistributionFocalLoss": distribution,
    "L1Loss": elementwise(ABSOLUTE),
    "MSELoss": elementwise(SQUARED),
    "SmoothL1Loss": smooth_l1,
}
"""What makes a plan of a call's aligned inputs, or None where there is no kernel for it, by the name of the class."""

METHODS = ("align", "evaluate", "evaluate_aligned", "weighted", "unreduced", "terms", "terms_of_rows", "pair", "slots")
"""What says how a loss is computed: a class that changes one of them is another loss."""


@cache
def preparation(cls: type[Loss]) -> Callable[..., Prepared | None] | None:
    """What makes the plans of a class: its own, or that of the class that it inherits all of its computation from."""
    for base in cls.__mro__:
        if base.__name__ in PREPARE and base.__module__.startswith(f"{__package__}."):
            same = all(getattr(cls, name, None) is getattr(base, name, None) for name in METHODS)
            return PREPARE[base.__name__] if same else None
    return None


class Call(NamedTuple):
    """What backward needs to compute a gradient again, beside the tensors."""

    plan: Plan
    scale: float
    loss: Loss
    avg_factor: Any
    reduction: str


class NativeLoss(torch.autograd.Function):
    """Autograd's view of a kernel: the gradient is computed with the value, and kept."""

    @staticmethod
    def forward(ctx: Any, call: Call, pred: Tensor, weight: Tensor | None, *targets: Tensor) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(pred, weight, *targets)
        value, ctx.gradient = launch(call.plan, call.scale, pred, targets, weight, True)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient, ctx.gradient = ctx.gradient, None
        call, (pred, weight, *targets) = ctx.call, ctx.saved_tensors
        if torch.is_grad_enabled():
            # a gradient of the gradient is wanted
            value = call.loss.weighted((pred, *targets), weight, call.avg_factor, call.reduction)
            (gradient,) = torch.autograd.grad(value, pred, upstream, create_graph=True)
        else:
            if gradient is None:  # it was handed on before
                _, gradient = launch(call.plan, call.scale, pred, targets, weight, True)
            gradient = scaled(gradient, upstream)
        return (None, gradient, None, *[None] * len(targets))


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


def native_loss(
    loss: Loss, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
) -> Tensor | None:
    """The weighted and reduced loss of inputs through a hand-written kernel; None where there is none for the call."""
    if not ENABLED or unavailable is not None or reduction == "none" or is_compiling():
        return None
    prepare = preparation(type(loss))
    if prepare is None or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return None
    pred, *targets = inputs
    if type(pred) not in PLAIN or pred.dtype is not torch.float32 or not pred.is_cpu or not pred.numel():
        return None
    if isinstance(loss.loss_weight, Tensor):
        return None
    prepared = prepare(loss, pred, targets, weight)
    if prepared is None:
        return None
    plan, targets, weight = prepared
    scale = loss.loss_weight * plan.factor
    if reduction == "mean":
        divisor = plan.divisor if avg_factor is None else avg_factor
        if isinstance(divisor, Tensor):
            if divisor.requires_grad or not divisor.is_cpu:
                return None
            divisor = divisor.item()
        scale = 0.0 if divisor == 0 else scale / divisor
    try:
        scale = float(scale)
        if pred.requires_grad and torch.is_grad_enabled():
            return NativeLoss.apply(Call(plan, scale, loss, avg_factor, reduction), pred, weight, *targets)
        return launch(plan, scale, pred, targets, weight, False)[0]
    except BuildError as error:
        note_unavailable(str(error))
        return None


def note_unavailable(reason: str) -> None:
    global unavailable
    unavailable = reason


def tell_unavailable() -> None:
    """Warn once that torch.compile did what hand-written kernels could have done."""
    global told
    if unavailable is not None and not told:
        told = True
        warnings.warn(
            f"fused=True uses torch.compile alone, since its own kernels could not be built: {unavailable}",
            stacklevel=2,
        )
