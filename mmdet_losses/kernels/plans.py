"""What the hand-written kernel of each function is called with."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .. import functional as F
from .call import Call

PLAIN = (Tensor, nn.Parameter)
"""Types that a kernel reads; another subclass may be computed in its own way."""
TINY = torch.finfo(torch.float32).tiny
BOXES = {
    name: kind
    for kind, name in enumerate(
        ("log", "linear", "square", "giou", "diou", "ciou", "eiou", "siou", "extended", "bounded")
    )
}
"""Numbers of the kernels of boxes, in the order of cpp/boxes.cpp."""
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
"""Numbers of the kernels of elements, in the order of cpp/logits.cpp."""
ON_GPUS = sys.platform == "linux" and torch.version.cuda is not None
"""Whether there are kernels for the GPUs of this torch: those of NVIDIA."""
SOFTMAX, DISTRIBUTION = "softmax", "distribution"
"""Names of the kernels of rows."""
HALVES = (torch.float16, torch.bfloat16)
"""Dtypes that kernels read beside float32, on a GPU."""
MOST_BINS = 256
"""As in cpp/logits.cpp."""


class Plan(NamedTuple):
    """How a kernel is called, but for its tensors.

    Attributes:
        kernel: Its name.
        numbers: Its own arguments.
        count: Number of values of the unreduced loss, by which a mean divides.
        factor: Multiplies the sum.
    """

    kernel: str
    numbers: tuple[float, ...]
    count: int
    factor: float = 1.0


Planned = tuple[Plan, Tensor | None, Tensor | None]
"""A plan with labels and target as the kernel reads them."""


def is_near(tensor: Tensor, pred: Tensor) -> bool:
    """Whether a tensor is on the prediction's device."""
    return tensor.get_device() == pred.get_device() and tensor.is_cpu == pred.is_cpu


def readable(
    tensor: Any, pred: Tensor, wanted: torch.dtype = torch.float32, halves: tuple[torch.dtype, ...] = ()
) -> Tensor | None:
    """``tensor`` as a kernel reads it beside a prediction; None for what it cannot read.

    Args:
        tensor: The tensor.
        pred: The prediction.
        wanted: The dtype that it is cast to.
        halves: Dtypes that are read as they are on a GPU.
    """
    if type(tensor) not in PLAIN or tensor.requires_grad or not is_near(tensor, pred):
        return None
    if tensor.dtype is not wanted and not (tensor.dtype in halves and not pred.is_cpu):
        if tensor.dtype is torch.float64 or tensor.is_complex():
            return None
        tensor = tensor.to(wanted)
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def readable_weight(weight: Any, pred: Tensor) -> Tensor | None:
    """A weight of each row or element of a prediction as a kernel reads it; None for what it cannot read.

    Float64 is cast, since a weight does not say how wide a loss is computed.
    """
    if type(weight) is Tensor and weight.dtype is torch.float64 and not weight.requires_grad:
        weight = weight.float()
    weight = readable(weight, pred)
    if weight is None:
        return None
    shape, expected = weight.shape, pred.shape
    lead = expected[:-1]
    return weight if shape in (lead, expected) or shape == (*lead, 1) else None


def plan_of(
    call: Call, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any
) -> tuple[Plan, Tensor | None, Tensor | None, Tensor | None] | None:
    """The plan of a call, with its labels, target and weight; None where no kernel computes it."""
    planner = PLANNERS.get(call.function)
    if planner is None or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return None
    pred, *targets = inputs
    if type(pred) not in PLAIN or not pred.ndim or not pred.numel() or isinstance(call.loss_weight, Tensor):
        return None
    if not pred.is_cpu:
        if not (ON_GPUS and pred.is_cuda) or (pred.dtype is not torch.float32 and pred.dtype not in HALVES):
            return None
    elif pred.dtype is not torch.float32:
        return None
    if isinstance(avg_factor, Tensor) and not is_divisor(avg_factor, pred):
        return None
    planned = planner(pred, targets, **call.arguments)
    if planned is None:
        return None
    if weight is not None:
        weight = readable_weight(weight, pred)
        if weight is None:
            return None
    return (*planned, weight)


def is_divisor(avg_factor: Tensor, pred: Tensor) -> bool:
    """Whether a kernel reads a divisor: of a GPU without waiting for it."""
    if avg_factor.requires_grad or avg_factor.is_cpu:
        return not avg_factor.requires_grad
    return type(avg_factor) in PLAIN and avg_factor.numel() == 1 and is_near(avg_factor, pred)


def boxes(
    kind: str, pred: Tensor, targets: Sequence[Tensor], first: float = 0.0, second: float = 0.0
) -> Planned | None:
    """A plan for pairs of boxes ``(n, 4)``."""
    shape = pred.shape
    if len(shape) != 2 or shape[1] != 4 or len(targets) != 1:
        return None
    target = readable(targets[0], pred, halves=HALVES)
    if target is None or target.shape != shape:
        return None
    count = pred.numel() if kind == "bounded" else shape[0]
    return Plan("boxes", (BOXES[kind], first, second), count), None, target


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
    *,
    terms: Callable,
    power: float,
    inner_ratio: float,
    focaler: Any,
    focus: Any,
    mode: str = "",
    eps: float = 0.0,
    alpha_gate: float | None = None,
    **others: Any,
) -> Planned | None:
    """A loss of the IoU family as published; with a mode, the IoU loss, which has no terms."""
    if power != 1 or inner_ratio != 1 or focaler is not None or focus is not None or others:
        return None
    if mode:
        plain = terms is F.no_terms and (mode != "log" or eps >= TINY)
        return boxes(mode, pred, targets, eps) if plain else None
    kind = MEMBERS.get(terms)
    return boxes(kind, pred, targets, -math.inf if alpha_gate is None else alpha_gate) if kind else None


def extended(pred: Tensor, targets: Sequence[Tensor], *, smooth_point: float) -> Planned | None:
    return boxes("extended", pred, targets, smooth_point)


def bounded(pred: Tensor, targets: Sequence[Tensor], *, beta: float, eps: float) -> Planned | None:
    return boxes("bounded", pred, targets, beta, eps)


def elements(
    kind: int,
    pred: Tensor,
    targets: Sequence[Tensor],
    first: float = 0.0,
    second: float = 0.0,
    factor: float = 1.0,
) -> Planned | None:
    """A plan for logits of any shape with a dense target, or with labels of their rows and perhaps a value of each."""
    label = None
    if targets[0].ndim < pred.ndim:
        label, *targets = targets
        label = readable(label, pred, torch.int64)
        if label is None:
            return None
    target = readable(targets[0], pred, halves=HALVES) if targets else None
    if targets and target is None:
        return None
    return Plan("logits", (kind, first, second), pred.numel(), factor), label, target


def focal(
    pred: Tensor,
    targets: Sequence[Tensor],
    *,
    gamma: float,
    alpha: float | Tensor | None,
    activated: bool,
    epsilon: float,
    weigh_poly: bool,
) -> Planned | None:
    if activated or epsilon or isinstance(alpha, Tensor):
        return None
    kind = HARD_FOCAL if gamma == 2 else HARD_FOCAL_OF_ANY_POWER
    if targets[0].ndim == pred.ndim:
        if gamma != 2:
            return None
        kind = SOFT_FOCAL
    # Without alpha: twice what is weighted by a half.
    alpha, factor = (0.5, 2.0) if alpha is None else (alpha, 1.0)
    return elements(kind, pred, targets, alpha, gamma, factor)


def cross_entropy(
    pred: Tensor,
    targets: Sequence[Tensor],
    *,
    class_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    smoothing_mode: str = "",
) -> Planned | None:
    return None if class_weight is not None or label_smoothing else elements(CROSS_ENTROPY, pred, targets)


def quality(
    pred: Tensor, targets: Sequence[Tensor], *, beta: float, activated: bool, class_weight: Tensor | None = None
) -> Planned | None:
    planned = None if activated or beta != 2 or class_weight is not None else elements(QUALITY, pred, targets)
    if planned is None:
        return None
    plan, label, target = planned
    return plan._replace(count=pred.shape[0]), label, target


def varifocal(
    pred: Tensor,
    targets: Sequence[Tensor],
    *,
    alpha: float,
    gamma: float,
    iou_weighted: bool,
    class_weight: Tensor | None = None,
) -> Planned | None:
    kind = VARIFOCAL if iou_weighted else UNWEIGHTED_VARIFOCAL
    return elements(kind, pred, targets, alpha) if gamma == 2 and class_weight is None else None


def smooth_l1(pred: Tensor, targets: Sequence[Tensor], *, beta: float) -> Planned | None:
    return elements(SMOOTH_ABSOLUTE if beta else ABSOLUTE, pred, targets, beta)


def softmax(
    pred: Tensor, targets: Sequence[Tensor], *, class_weight: Tensor | None, label_smoothing: float
) -> Planned | None:
    if class_weight is not None or label_smoothing or targets[0].is_floating_point():
        return None
    label = readable(targets[0], pred, torch.int64)
    return None if label is None else (Plan(SOFTMAX, (), pred.shape[0]), label, None)


def distribution(
    pred: Tensor, targets: Sequence[Tensor], *, y_min: float, y_max: float | None, bins: Tensor | None = None
) -> Planned | None:
    if bins is not None:
        return None
    target = readable(targets[0], pred, halves=HALVES)
    rows, columns = pred.shape
    if target is None or columns > MOST_BINS:
        return None
    start, density = 0.0, 1.0
    if y_min or y_max is not None:
        start, density = y_min, (columns - 1) / ((columns - 1 if y_max is None else y_max) - y_min)
    return Plan(DISTRIBUTION, (start, density), rows), None, target


PLANNERS: dict[Callable[..., Tensor], Callable[..., Planned | None]] = {
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
    F.l1_loss: partial(elements, ABSOLUTE),
    F.mse_loss: partial(elements, SQUARED),
    F.smooth_l1_loss: smooth_l1,
}
"""What makes a plan of prediction, targets and a function's arguments; None where no kernel takes them."""
