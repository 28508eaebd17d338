"""The IoU family: ``focus * (cost(overlap**power) + sum(term**power))`` over shared geometry.

A member of the family is a function from a :class:`~mmdet_losses.functional.geometry.BoxPair` to the terms
that it adds to the overlap. The modifiers act on the parts of the sum, so each works with every member.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor
from typing_extensions import Unpack

from .arguments import check_choice, check_modifiers
from .geometry import Box, BoxPair, divide, overlap, saturate, size_of, squared_length
from .pairs import box_pair

__all__ = [
    "BASES",
    "box_iou_loss",
    "ciou_loss",
    "ciou_terms",
    "diou_loss",
    "diou_terms",
    "eiou_loss",
    "eiou_terms",
    "giou_loss",
    "giou_terms",
    "interp_iou_loss",
    "interp_terms",
    "iou_loss",
    "mpdiou_loss",
    "mpdiou_terms",
    "no_terms",
    "pair_loss",
    "powerful_terms",
    "shape_iou_loss",
    "shape_terms",
    "siou_loss",
    "siou_terms",
]

Terms = Callable[..., Sequence[Tensor]]
"""From the geometry of pairs, and options of its own, to what a loss adds to the overlap."""
Cost = Callable[[Tensor], Tensor]
Focus = Callable[[BoxPair], Tensor]

SIOU_THETA = 4
SHAPE_THETA = 4


class OverlapModifiers(TypedDict, total=False):
    """The modifiers that are numbers, as every member of the family takes them.

    Attributes:
        power: alpha-IoU's power on the overlap and on each term (https://arxiv.org/abs/2110.13675).
        inner_ratio: Inner-IoU's ratio: the overlap is that of boxes with sides times this ratio
            (https://arxiv.org/abs/2311.02877).
        focaler: Focaler-IoU's interval ``(d, u)``, from which the overlap is mapped to [0, 1]
            (https://arxiv.org/abs/2401.10525).
    """

    power: float
    inner_ratio: float
    focaler: tuple[float, float] | None


class Modifiers(OverlapModifiers, total=False):
    """The modifiers of the family; :func:`pair_loss` has their defaults.

    Attributes:
        focus: A multiplier per row, a function of the geometry.
    """

    focus: Focus | None


KEYWORDS = ("power", "inner_ratio", "focaler", "focus", "ratio", "cost")
"""What every function of the family hands on to :func:`box_iou_loss`."""
IOU_MODES = ("linear", "square", "log")


def without(*own: str) -> tuple[str, ...]:
    """The keywords, but for those that a function sets itself."""
    return tuple(name for name in KEYWORDS if name not in own)


def raise_to(base: Tensor, power: float) -> Tensor:
    """``base**power`` of a nonnegative base, with gradient 0, and not infinity, where the base is 0."""
    if power == 1:
        return base
    zero = base == 0
    return torch.where(zero, 1.0, base) ** power * ~zero


def stretch(overlap: Tensor, low: float, high: float) -> Tensor:
    """Focaler-IoU: the overlap mapped linearly from ``[low, high]`` to [0, 1], and clamped."""
    return ((overlap - low) / (high - low)).clamp(0, 1)


def linear_cost(overlap: Tensor) -> Tensor:
    """``1 - overlap``, the cost in every member of the family except the log and square IoU losses."""
    # also written in kernels/cpp/boxes.h: Linear
    return 1 - overlap


def no_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """IoU: the overlap alone."""
    return ()


def giou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """GIoU: share of the enclosing box that is outside the union, ``(C - U) / C``."""
    # also written in kernels/cpp/boxes.h: Generalized
    width, height = pair.hull()
    hull_area = width * height
    return (divide(torch.relu(hull_area - pair.union), hull_area),)


def diou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """DIoU: squared centre distance over the squared diagonal of the enclosing box."""
    # also written in kernels/cpp/boxes.h: Distance
    return (divide(pair.squared_offset(), pair.squared_diagonal()),)


def ciou_terms(pair: BoxPair, alpha_gate: float | None = None) -> tuple[Tensor, ...]:
    """CIoU: DIoU's term and ``alpha * v``, with ``alpha`` detached, and 0 where IoU <= ``alpha_gate``."""
    # also written in kernels/cpp/boxes.h: Complete
    v = 4 / math.pi**2 * pair.aspect_change().square()
    (distance,) = diou_terms(pair)
    with torch.no_grad():
        alpha = divide(v, 1 - pair.iou + v)
        if alpha_gate is not None:
            alpha = alpha * (pair.iou > alpha_gate)
    return (distance, alpha * v)


def eiou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """Efficient-IoU: DIoU's term and the squared side differences over the sides of the enclosing box."""
    # also written in kernels/cpp/boxes.h: Efficient
    sides = pair.each(divide(axis.size - axis.target_size, axis.hull).square() for axis in pair.axes)
    return (*diou_terms(pair), *sides)


def siou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """SIoU: half the distance cost, which depends on the angle between the centres, and half the shape cost."""
    # also written in kernels/cpp/boxes.h: Scylla
    dx, dy = pair.offset()
    # sin(2 arcsin(min(|dx|, |dy|) / sigma)), written without the kink of the minimum.
    gamma = divide(2 * (dx * dy).abs(), pair.squared_offset()) - 2
    axes = pair.axes
    distance = pair.total(torch.expm1(gamma * divide(axis.offset, axis.hull).square()) for axis in axes)
    shape = pair.total((-torch.expm1(-side_change(axis.size, axis.target_size))).pow(SIOU_THETA) for axis in axes)
    return (distance / -2, shape / 2)


def side_change(size: Tensor, target_size: Tensor) -> Tensor:
    """``|w - W| / max(w, W)`` of the widths, or the same of the heights."""
    change = size - target_size
    return divide(change.abs(), torch.relu(change) + target_size)


def shape_terms(pair: BoxPair, scale: float = 0.0) -> tuple[Tensor, ...]:
    """Shape-IoU: centre distance and half the shape cost, both weighted by the target's aspect ratio."""
    width, height = (side.clamp(min=1e-12).log() for side in pair.target_size)
    # 2 W**s / (W**s + H**s) without the powers, which overflow; a point counts as a square.
    vertical = 2 * torch.sigmoid(scale * (width - height))
    horizontal = 2 - vertical
    dx, dy = pair.offset()
    distance = divide(horizontal * dx.square() + vertical * dy.square(), pair.squared_diagonal())
    wide, high = (side_change(*sides) for sides in zip(pair.pred_size, pair.target_size, strict=True))
    shape = (-torch.expm1(-horizontal * wide)).pow(SHAPE_THETA) + (-torch.expm1(-vertical * high)).pow(SHAPE_THETA)
    return (distance, shape / 2)


def mpdiou_terms(pair: BoxPair, img_shape: tuple[float, float]) -> tuple[Tensor, ...]:
    """MPDIoU: squared distances of the two corners over the squared diagonal of the image ``(h, w)``."""
    height, width = img_shape
    # not math.hypot, which the compiler of torch 2.4 takes for an operation of tensors
    share = pair.unit / (height * height + width * width) ** 0.5
    pred, target = pair.pred, pair.target
    return (
        squared_length((pred.x1 - target.x1) * share, (pred.y1 - target.y1) * share),
        squared_length((pred.x2 - target.x2) * share, (pred.y2 - target.y2) * share),
    )


def powerful_penalty(pair: BoxPair) -> Tensor:
    """Powerful-IoU's ``P``: mean distance of the four edges, in units of the target's sides."""
    left, top, right, bottom = ((ours - side).abs() for ours, side in zip(pair.pred, pair.target, strict=True))
    width, height = pair.target_size
    # exp(-P) is 0 where this clamps; without it a target of width 0 has the gradient inf * 0.
    return ((divide(left + right, width) + divide(top + bottom, height)) / 4).clamp(max=800)


def powerful_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """Powerful-IoU: ``1 - exp(-P**2)``."""
    return (saturate(powerful_penalty(pair).square()),)


def interp_terms(pair: BoxPair, alpha: float = 0.99) -> tuple[Tensor, ...]:
    """InterpIoU: ``1 - IoU`` of a box between the two, ``(1 - alpha) pred + alpha target``."""
    between = Box(*(ours + alpha * (side - ours) for ours, side in zip(pair.pred, pair.target, strict=True)))
    return (1 - overlap(between, Box(*pair.target), size_of(between), pair.target_size)[0],)


def pair_loss(
    pair: BoxPair,
    terms: Terms = no_terms,
    *,
    cost: Cost = linear_cost,
    power: float = 1.0,
    inner_ratio: float = 1.0,
    focaler: tuple[float, float] | None = None,
    focus: Focus | None = None,
    **options: Any,
) -> Tensor:
    """:func:`box_iou_loss` of precomputed geometry."""
    # also written in kernels/cpp/boxes.h: Family
    overlap = pair.iou if inner_ratio == 1 else pair.inner_iou(inner_ratio)
    if focaler is not None:
        overlap = stretch(overlap, *focaler)
    loss = cost(raise_to(overlap, power))
    for term in terms(pair, **options):
        loss = loss + (term if power == 1 else raise_to(term, power))
    return loss if focus is None else focus(pair) * loss


def box_iou_loss(
    pred: Tensor,
    target: Tensor,
    terms: Terms = no_terms,
    *,
    cost: Cost = linear_cost,
    ratio: float | Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Loss per pair of boxes: ``focus * (cost(overlap**power) + sum(term**power))``.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit; half precision is upcast.
        target: Target boxes of the same layout, shape and unit.
        terms: What the loss adds to the overlap, for example :func:`diou_terms`.
        cost: Cost of an overlap; ``1 - overlap`` by default.
        ratio: Unified-IoU's ratio: both boxes have their sides multiplied by it first
            (https://arxiv.org/abs/2408.06636).
        options: The modifiers, ``power``, ``inner_ratio``, ``focaler`` and ``focus``, see :class:`Modifiers`; and
            options of the terms.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    if "reduction" in options:
        check_modifiers("box_iou_loss", KEYWORDS, options)
    extent = terms is not no_terms or options.get("focus") is not None
    pair = box_pair(pred, target, extent=extent)
    return pair_loss(pair if ratio is None else pair.scaled(ratio), terms, cost=cost, **options)


def log_cost(eps: float) -> Callable[[Tensor], Tensor]:
    """``-ln(max(overlap, eps))``, UnitBox's cost."""
    # also written in kernels/cpp/boxes.h: Log
    # 0 - x, since -x of a perfect match is -0.0
    return lambda overlap: 0 - torch.threshold(overlap, eps, eps).log()


def square_cost(overlap: Tensor) -> Tensor:
    """``1 - overlap**2``."""
    # also written in kernels/cpp/boxes.h: Square
    return 1 - overlap.square()


def iou_loss(
    pred: Tensor, target: Tensor, *, mode: str = "log", eps: float = 1e-6, **modifiers: Unpack[Modifiers]
) -> Tensor:
    """IoU loss in one of three forms, see :class:`~mmdet_losses.IoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_choice("iou_loss", "mode", mode, IOU_MODES)
    if "terms" not in modifiers:  # whose options the function cannot know
        check_modifiers("iou_loss", without("cost"), modifiers)
    costs = {"linear": linear_cost, "square": square_cost, "log": log_cost(eps)}
    return box_iou_loss(pred, target, cost=costs[mode], **modifiers)


def giou_loss(pred: Tensor, target: Tensor, **modifiers: Unpack[Modifiers]) -> Tensor:
    """Generalized IoU loss, see :class:`~mmdet_losses.GIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("giou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, giou_terms, **modifiers)


def diou_loss(pred: Tensor, target: Tensor, **modifiers: Unpack[Modifiers]) -> Tensor:
    """Distance-IoU loss, see :class:`~mmdet_losses.DIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("diou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, diou_terms, **modifiers)


def ciou_loss(
    pred: Tensor, target: Tensor, *, alpha_gate: float | None = None, **modifiers: Unpack[Modifiers]
) -> Tensor:
    """Complete-IoU loss, see :class:`~mmdet_losses.CIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("ciou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, ciou_terms, alpha_gate=alpha_gate, **modifiers)


def eiou_loss(pred: Tensor, target: Tensor, **modifiers: Unpack[Modifiers]) -> Tensor:
    """Efficient-IoU loss, see :class:`~mmdet_losses.EIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("eiou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, eiou_terms, **modifiers)


def siou_loss(pred: Tensor, target: Tensor, **modifiers: Unpack[Modifiers]) -> Tensor:
    """SCYLLA-IoU loss, see :class:`~mmdet_losses.SIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("siou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, siou_terms, **modifiers)


def mpdiou_loss(
    pred: Tensor, target: Tensor, *, img_shape: tuple[float, float] = (640, 640), **modifiers: Unpack[Modifiers]
) -> Tensor:
    """MPDIoU loss, see :class:`~mmdet_losses.MPDIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("mpdiou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, mpdiou_terms, img_shape=img_shape, **modifiers)


def shape_iou_loss(pred: Tensor, target: Tensor, *, scale: float = 0.0, **modifiers: Unpack[Modifiers]) -> Tensor:
    """Shape-IoU loss, see :class:`~mmdet_losses.ShapeIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("shape_iou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, shape_terms, scale=scale, **modifiers)


def interp_iou_loss(pred: Tensor, target: Tensor, *, alpha: float = 0.99, **modifiers: Unpack[Modifiers]) -> Tensor:
    """InterpIoU loss, see :class:`~mmdet_losses.InterpIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("interp_iou_loss", KEYWORDS, modifiers)
    return box_iou_loss(pred, target, interp_terms, alpha=alpha, **modifiers)


BASES: dict[str, Terms] = {
    "iou": no_terms,
    "giou": giou_terms,
    "diou": diou_terms,
    "ciou": ciou_terms,
    "eiou": eiou_terms,
    "siou": siou_terms,
    "shape": shape_terms,
    "powerful": powerful_terms,
}
"""Terms of the members that the modified forms can have as ``base``."""

TERM_OPTIONS = {terms: tuple(inspect.signature(terms).parameters)[1:] for terms in BASES.values()}
"""Options of the terms, which the modified forms hand on to them."""
