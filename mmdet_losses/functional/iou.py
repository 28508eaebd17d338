"""The IoU family: ``focus * (cost(overlap**power) + sum(term**power))`` over shared geometry.

A member of the family is a function from a :class:`~mmdet_losses.functional.geometry.BoxPair` to the terms
that it adds to the overlap. Modifiers act on the slots of the sum, so each works with every member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .geometry import BoxPair, divide, saturate, span, squared_length
from .pairs import box_pair

Terms = Callable[..., Sequence[Tensor]]
"""From the geometry of pairs, and options of its own, to what a loss adds to the overlap."""
Focus = Callable[[BoxPair], Tensor]

SIOU_THETA = 4
SHAPE_THETA = 4


def raise_to(base: Tensor, power: float) -> Tensor:
    """``base**power`` for a base of at least 0, with gradient 0 (and not infinity) where the base is 0."""
    if power == 1:
        return base
    zero = base == 0
    return torch.where(zero, 1.0, base) ** power * ~zero


def stretch(overlap: Tensor, low: float, high: float) -> Tensor:
    """Focaler-IoU: the overlap between ``low`` and ``high`` as a share of the way, from 0 to 1."""
    return ((overlap - low) / (high - low)).clamp(0, 1)


def linear_cost(overlap: Tensor) -> Tensor:
    """``1 - overlap``: what every member of the family except the log and square IoU losses starts from."""
    return 1 - overlap


def no_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """IoU: the overlap alone."""
    return ()


def giou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """GIoU: share of the enclosing box that is outside the union, ``(C - U) / C``."""
    width, height = pair.hull()
    hull_area = width * height
    return (divide(torch.relu(hull_area - pair.union), hull_area),)


def diou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """DIoU: squared centre distance over the squared diagonal of the enclosing box."""
    return (divide(pair.squared_offset(), pair.squared_diagonal()),)


def ciou_terms(pair: BoxPair, alpha_gate: float | None = None) -> tuple[Tensor, ...]:
    """CIoU: DIoU's term and ``alpha * v``, with ``alpha`` a constant and 0 where IoU <= ``alpha_gate``."""
    v = 4 / math.pi**2 * pair.aspect_change().square()
    (distance,) = diou_terms(pair)
    with torch.no_grad():
        alpha = divide(v, 1 - pair.iou + v)
        if alpha_gate is not None:
            alpha = alpha * (pair.iou > alpha_gate)
    return (distance, alpha * v)


def eiou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """Efficient-IoU: DIoU's term and the squared side differences over the sides of the enclosing box."""
    sides = pair.each(divide(axis.size - axis.target_size, axis.hull).square() for axis in pair.axes)
    return (*diou_terms(pair), *sides)


def siou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """SIoU: half the distance cost, which an angle between the centres makes steeper, and half the shape cost."""
    dx, dy = pair.offset()
    # sin(2 arcsin(min(|dx|, |dy|) / sigma)), written without the kink of the minimum.
    gamma = divide(2 * (dx * dy).abs(), pair.squared_offset()) - 2
    axes = pair.axes
    distance = pair.total(torch.expm1(gamma * divide(axis.offset, axis.hull).square()) for axis in axes)
    shape = pair.total((-torch.expm1(-side_change(axis.size, axis.target_size))).pow(SIOU_THETA) for axis in axes)
    return (distance / -2, shape / 2)


def side_change(size: Tensor, target_size: Tensor) -> Tensor:
    """``|w - W| / max(w, W)``, or the same of the heights."""
    change = size - target_size
    return divide(change.abs(), torch.relu(change) + target_size)


def shape_terms(pair: BoxPair, scale: float = 0.0) -> tuple[Tensor, ...]:
    """Shape-IoU: centre distance and half the shape cost, both weighed by the target's aspect ratio."""
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
    # Where it is cut exp(-P) is 0; without the cut a target of no width has the gradient inf * 0.
    return ((divide(left + right, width) + divide(top + bottom, height)) / 4).clamp(max=800)


def powerful_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """Powerful-IoU: ``1 - exp(-P**2)``."""
    return (saturate(powerful_penalty(pair).square()),)


def pair_loss(
    pair: BoxPair,
    terms: Terms = no_terms,
    *,
    cost: Callable[[Tensor], Tensor] = linear_cost,
    power: float = 1.0,
    inner_ratio: float = 1.0,
    focaler: tuple[float, float] | None = None,
    focus: Focus | None = None,
    **options: Any,
) -> Tensor:
    """:func:`box_iou_loss` of pairs whose geometry is there already."""
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
    cost: Callable[[Tensor], Tensor] = linear_cost,
    power: float = 1.0,
    inner_ratio: float = 1.0,
    focaler: tuple[float, float] | None = None,
    focus: Focus | None = None,
    ratio: float | Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Loss of one row per pair of boxes: ``focus * (cost(overlap**power) + sum(term**power))``.

    Args:
        pred: Predicted boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, in any unit; half precision is upcast.
        target: Target boxes of the same layout, shape and unit.
        terms: What the loss adds to the overlap, for example :func:`diou_terms`.
        cost: Cost of an overlap; ``1 - overlap`` by default.
        power: alpha-IoU's power on the overlap and on each term (https://arxiv.org/abs/2110.13675).
        inner_ratio: Inner-IoU's ratio: the overlap is that of boxes with sides times this ratio
            (https://arxiv.org/abs/2311.02877).
        focaler: Focaler-IoU's interval ``(d, u)`` that the overlap is mapped from (https://arxiv.org/abs/2401.10525).
        focus: A multiplier of each row, given the geometry of the pairs.
        ratio: Unified-IoU's ratio: all of it is that of boxes with sides times this ratio
            (https://arxiv.org/abs/2408.06636).
        **options: Options of the terms.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    slots = dict(cost=cost, power=power, inner_ratio=inner_ratio, focaler=focaler, focus=focus)
    pair = box_pair(pred, target, extent=terms is not no_terms or focus is not None)
    return pair_loss(pair if ratio is None else pair.scaled(ratio), terms, **slots, **options)


def log_cost(eps: float) -> Callable[[Tensor], Tensor]:
    """``-ln(max(overlap, eps))``, UnitBox's cost."""
    return lambda overlap: 0 - torch.threshold(overlap, eps, eps).log()


def square_cost(overlap: Tensor) -> Tensor:
    """``1 - overlap**2``."""
    return 1 - overlap.square()


def iou_loss(pred: Tensor, target: Tensor, *, mode: str = "log", eps: float = 1e-6, **slots: Any) -> Tensor:
    """IoU loss in one of three forms, see :class:`~mmdet_losses.IoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    costs = {"linear": linear_cost, "square": square_cost, "log": log_cost(eps)}
    return box_iou_loss(pred, target, cost=costs[mode], **slots)


def giou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """Generalized IoU loss, see :class:`~mmdet_losses.GIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, giou_terms, **slots)


def diou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """Distance-IoU loss, see :class:`~mmdet_losses.DIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, diou_terms, **slots)


def ciou_loss(pred: Tensor, target: Tensor, *, alpha_gate: float | None = None, **slots: Any) -> Tensor:
    """Complete-IoU loss, see :class:`~mmdet_losses.CIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, ciou_terms, alpha_gate=alpha_gate, **slots)


def eiou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """Efficient-IoU loss, see :class:`~mmdet_losses.EIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, eiou_terms, **slots)


def siou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """SCYLLA-IoU loss, see :class:`~mmdet_losses.SIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, siou_terms, **slots)


def mpdiou_loss(pred: Tensor, target: Tensor, *, img_shape: tuple[float, float] = (640, 640), **slots: Any) -> Tensor:
    """MPDIoU loss, see :class:`~mmdet_losses.MPDIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, mpdiou_terms, img_shape=img_shape, **slots)


def shape_iou_loss(pred: Tensor, target: Tensor, *, scale: float = 0.0, **slots: Any) -> Tensor:
    """Shape-IoU loss, see :class:`~mmdet_losses.ShapeIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, shape_terms, scale=scale, **slots)


def product(first: Focus, second: Focus | None) -> Focus:
    """Both multipliers of each row."""
    return first if second is None else lambda pair: first(pair) * second(pair)


def iou_focus(pair: BoxPair, gamma: float = 0.5, detach: bool = True) -> Tensor:
    """Focal-EIoU's multiplier ``IoU**gamma``, a constant unless ``detach`` is False."""
    weight = raise_to(pair.iou, gamma)
    return weight.detach() if detach else weight


def focal_eiou_loss(pred: Tensor, target: Tensor, *, gamma: float = 0.5, detach: bool = True, **slots: Any) -> Tensor:
    """Focal-EIoU loss, see :class:`~mmdet_losses.FocalEIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return eiou_loss(pred, target, focus=partial(iou_focus, gamma=gamma, detach=detach), **slots)


def wise_focus(
    pair: BoxPair,
    mean: float | Tensor = 1.0,
    *,
    version: int = 3,
    alpha: float = 1.9,
    delta: float = 3.0,
    gamma: float = 0.5,
) -> Tensor:
    """Wise-IoU's multiplier, see :class:`~mmdet_losses.WiseFocus`; ``mean`` is that of ``1 - IoU`` in the training."""
    with torch.no_grad():
        # Over all corners, so that the quotient is at most 1 for inverted boxes too.
        width = span(pair.pred.x1, pair.pred.x2, pair.target.x1, pair.target.x2)
        height = span(pair.pred.y1, pair.pred.y2, pair.target.y1, pair.target.y2)
        diagonal = squared_length(width, height)
    attention = divide(pair.squared_offset(), diagonal).exp()
    if version == 1:
        return attention
    with torch.no_grad():
        outlier = (1 - pair.iou) / mean
        factor = raise_to(outlier, gamma) if version == 2 else outlier / delta * alpha ** (delta - outlier)
    return factor * attention


def wise_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    mean: float | Tensor = 1.0,
    version: int = 3,
    alpha: float = 1.9,
    delta: float = 3.0,
    gamma: float = 0.5,
    **slots: Any,
) -> Tensor:
    """Wise-IoU loss, see :class:`~mmdet_losses.WIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    focus = partial(wise_focus, mean=mean, version=version, alpha=alpha, delta=delta, gamma=gamma)
    return box_iou_loss(pred, target, focus=focus, **slots)


def powerful_focus(pair: BoxPair, lambd: float = 1.3, detach: bool = True) -> Tensor:
    """Powerful-IoU v2's multiplier ``u(lambd q)`` with ``q = exp(-P)``, ``u(x) = 3 x exp(-x**2)``."""
    x = lambd * torch.exp(-powerful_penalty(pair))
    weight = 3 * x * torch.exp(-x.square())
    return weight.detach() if detach else weight


def powerful_multiplier(version: int, lambd: float, detach: bool, focus: Focus | None) -> Focus | None:
    """The ``focus`` of Powerful-IoU: version 2's own, times the one of the slot."""
    return focus if version == 1 else product(lambda pair: powerful_focus(pair, lambd, detach), focus)


def powerful_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    version: int = 2,
    lambd: float = 1.3,
    detach: bool = True,
    focus: Focus | None = None,
    **slots: Any,
) -> Tensor:
    """Powerful-IoU loss, see :class:`~mmdet_losses.PowerfulIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    focus = powerful_multiplier(version, lambd, detach, focus)
    return box_iou_loss(pred, target, powerful_terms, focus=focus, **slots)


def unified_focus(pair: BoxPair, focal: str, gamma: float = 0.5) -> Tensor:
    """Unified-IoU's multiplier, a constant: ``1 - IoU**gamma`` of ``'focal'``, ``IoU**gamma`` of ``'focal-inv'``."""
    weight = iou_focus(pair, gamma)
    return 1 - weight if focal == "focal" else weight


def unified_multiplier(focal: str | None, gamma: float, focus: Focus | None) -> Focus | None:
    """The ``focus`` of Unified-IoU: its own, where it has one, times the one of the slot."""
    return focus if focal is None else product(lambda pair: unified_focus(pair, focal, gamma), focus)


def unified_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    ratio: float | Tensor,
    focal: str | None = None,
    gamma: float = 0.5,
    base: str = "ciou",
    focus: Focus | None = None,
    **slots: Any,
) -> Tensor:
    """Unified-IoU loss, see :class:`~mmdet_losses.UnifiedIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    focus = unified_multiplier(focal, gamma, focus)
    return box_iou_loss(pred, target, BASES[base], focus=focus, ratio=ratio, **slots)


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
"""Terms of the members that the modified forms can build on."""


def alpha_iou_loss(pred: Tensor, target: Tensor, *, alpha: float = 3.0, base: str = "iou", **slots: Any) -> Tensor:
    """alpha-IoU loss, see :class:`~mmdet_losses.AlphaIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, BASES[base], power=alpha, **slots)


def inner_iou_loss(pred: Tensor, target: Tensor, *, ratio: float = 0.7, base: str = "iou", **slots: Any) -> Tensor:
    """Inner-IoU loss, see :class:`~mmdet_losses.InnerIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, BASES[base], inner_ratio=ratio, **slots)


def focaler_iou_loss(
    pred: Tensor, target: Tensor, *, d: float = 0.0, u: float = 0.95, base: str = "iou", **slots: Any
) -> Tensor:
    """Focaler-IoU loss, see :class:`~mmdet_losses.FocalerIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, BASES[base], focaler=(d, u), **slots)
