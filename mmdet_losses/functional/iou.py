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

from .geometry import BoxPair, area, box_pair, divide

Terms = Callable[[BoxPair], Sequence[Tensor]]
Focus = Callable[[BoxPair], Tensor]

SIOU_THETA = 4


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
    hull_area = area(pair.hull())
    return (divide(hull_area - pair.union, hull_area).clamp(min=0),)


def diou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """DIoU: squared centre distance over the squared diagonal of the enclosing box."""
    return (divide(pair.offset().square().sum(-1), pair.hull().square().sum(-1)),)


def aspect_angle(size: Tensor) -> Tensor:
    """``atan(w / h)``, finite with its gradient also where a side is 0; a point counts as a square."""
    width, height = size.clamp(min=1e-12).unbind(-1)
    return torch.atan2(width, height)


def ciou_terms(pair: BoxPair, alpha_gate: float | None = None) -> tuple[Tensor, ...]:
    """CIoU: DIoU's term and ``alpha * v``, with ``alpha`` a constant and 0 where IoU <= ``alpha_gate``."""
    v = 4 / math.pi**2 * (aspect_angle(pair.target_size) - aspect_angle(pair.pred_size)).square()
    with torch.no_grad():
        alpha = divide(v, 1 - pair.iou + v)
        if alpha_gate is not None:
            alpha = alpha * (pair.iou > alpha_gate)
    return (*diou_terms(pair), alpha * v)


def eiou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """Efficient-IoU: DIoU's term and the squared side differences over the sides of the enclosing box."""
    sides = divide((pair.pred_size - pair.target_size).square(), pair.hull().square())
    return (*diou_terms(pair), *sides.unbind(-1))


def siou_terms(pair: BoxPair) -> tuple[Tensor, ...]:
    """SIoU: half the distance cost, which an angle between the centres makes steeper, and half the shape cost."""
    squared = pair.offset().square()
    dx, dy = pair.offset().abs().unbind(-1)
    # sin(2 arcsin(min(|dx|, |dy|) / sigma)), written without the kink of the minimum.
    angle = divide(2 * dx * dy, squared.sum(-1))
    gamma = (2 - angle).unsqueeze(-1)
    distance = -torch.expm1(-gamma * divide(squared, pair.hull().square())).sum(-1)
    longer = torch.maximum(pair.pred_size, pair.target_size)
    change = divide((pair.pred_size - pair.target_size).abs(), longer)
    shape = (-torch.expm1(-change)).pow(SIOU_THETA).sum(-1)
    return (distance / 2, shape / 2)


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

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    pair = box_pair(pred, target)
    overlap = pair.inner_iou(inner_ratio)
    if focaler is not None:
        overlap = stretch(overlap, *focaler)
    loss = cost(raise_to(overlap, power))
    for term in terms(pair):
        loss = loss + raise_to(term, power)
    return loss if focus is None else focus(pair) * loss


def log_cost(eps: float) -> Callable[[Tensor], Tensor]:
    """``-ln(max(overlap, eps))``, UnitBox's cost."""
    return lambda overlap: 0 - overlap.clamp(min=eps).log()


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
    return box_iou_loss(pred, target, partial(ciou_terms, alpha_gate=alpha_gate), **slots)


def eiou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """Efficient-IoU loss, see :class:`~mmdet_losses.EIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, eiou_terms, **slots)


def siou_loss(pred: Tensor, target: Tensor, **slots: Any) -> Tensor:
    """SCYLLA-IoU loss, see :class:`~mmdet_losses.SIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, siou_terms, **slots)


def iou_focus(pair: BoxPair, gamma: float = 0.5, detach: bool = True) -> Tensor:
    """Focal-EIoU's multiplier ``IoU**gamma``, a constant unless ``detach`` is False."""
    weight = raise_to(pair.iou, gamma)
    return weight.detach() if detach else weight


def focal_eiou_loss(pred: Tensor, target: Tensor, *, gamma: float = 0.5, detach: bool = True, **slots: Any) -> Tensor:
    """Focal-EIoU loss, see :class:`~mmdet_losses.FocalEIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return eiou_loss(pred, target, focus=partial(iou_focus, gamma=gamma, detach=detach), **slots)


BASES: dict[str, Terms] = {
    "iou": no_terms,
    "giou": giou_terms,
    "diou": diou_terms,
    "ciou": ciou_terms,
    "eiou": eiou_terms,
    "siou": siou_terms,
}
"""Terms of the members that the modified forms can build on."""


def alpha_iou_loss(pred: Tensor, target: Tensor, *, alpha: float = 3.0, base: str = "iou", **slots: Any) -> Tensor:
    """alpha-IoU loss, see :class:`~mmdet_losses.AlphaIoULoss`; ``slots`` as in :func:`box_iou_loss`."""
    return box_iou_loss(pred, target, BASES[base], power=alpha, **slots)
