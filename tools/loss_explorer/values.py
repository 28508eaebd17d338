"""What a loss says of a pair of boxes: its value, its parts and its gradient, all computed by the loss itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from loss_views.choice import Chosen
from torch import Tensor

from mmdet_losses import functional as F
from mmdet_losses.modules import IoUTypeLoss, Loss

from .losses import Modifiers, built

TERM_NAMES = {
    F.no_terms: (),
    F.giou_terms: ("enclosing box",),
    F.diou_terms: ("distance",),
    F.ciou_terms: ("distance", "aspect"),
    F.eiou_terms: ("distance", "width", "height"),
    F.siou_terms: ("distance", "shape"),
    F.shape_terms: ("distance", "shape"),
    F.mpdiou_terms: ("top left", "bottom right"),
    F.powerful_terms: ("edges",),
    F.interp_terms: ("box between",),
}
"""What the terms of a member of the IoU family are called, in their order."""


@dataclass(frozen=True)
class Row:
    """A loss of one pair of boxes.

    Attributes:
        label: The loss, as legends name it, without what is switched on for all.
        line: Its config.
        value: Of the pair, summed over the sides for a loss with a value for each.
        overlap: Cost of the overlap; None of a loss outside of the IoU family, as are the terms and the factor.
        terms: What is added to it, by name.
        factor: What the sum is multiplied by: the focus and the weight.
        gradient: Derivative of the value by x1, y1, x2 and y2 of the prediction.
    """

    label: str
    line: str
    value: float
    overlap: float | None
    terms: dict[str, float]
    factor: float | None
    gradient: tuple[float, ...]


def as_boxes(*boxes: Sequence[float]) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([box], dtype=torch.float64) for box in boxes)


def rows(losses: Sequence[Chosen], modifiers: Modifiers, pred: Sequence[float], target: Sequence[float]) -> list[Row]:
    """Every loss of a pair of boxes, with the modifiers that are on."""
    return [row(chosen.label, modifiers.on(chosen).line, pred, target) for chosen in losses]


def row(label: str, line: str, pred: Sequence[float], target: Sequence[float]) -> Row:
    """The loss of a line of a config, of a pair of boxes."""
    loss = built(line)
    prediction, goal = as_boxes(pred, target)
    value = loss(prediction.requires_grad_(), goal)
    (gradient,) = torch.autograd.grad(value, prediction)
    with torch.no_grad():
        overlap, terms, factor = parts(loss, prediction.detach(), goal)
    # -0.0 is 0.0 to a reader
    slopes = tuple(slope + 0.0 for slope in gradient[0].tolist())
    return Row(label, line, value.item(), overlap, terms, factor, slopes)


def parts(loss: Loss, pred: Tensor, target: Tensor) -> tuple[float | None, dict[str, float], float | None]:
    """Cost of the overlap, terms, and factor: the value is ``factor * (overlap + sum(terms))``.

    Each part is the loss's own function with the other parts taken out, so that power, ratio and interval act as they
    do in the loss.
    """
    if not isinstance(loss, IoUTypeLoss):
        return None, {}, None
    arguments = loss.arguments()
    terms, focus = arguments.pop("terms", F.no_terms), arguments.pop("focus", None)
    own = {name: arguments.pop(name) for name in tuple(inspect.signature(terms).parameters)[1:] if name in arguments}
    overlap = loss.function(pred, target, **arguments)
    shared = {name: arguments[name] for name in ("power", "ratio") if name in arguments}
    pair = F.box_pair(pred, target)
    if arguments.get("ratio") is not None:
        pair = pair.scaled(arguments["ratio"])
    count = len(terms(pair, **own))
    known = TERM_NAMES.get(terms, ())
    named = known if len(known) == count else tuple(f"term {place + 1}" for place in range(count))
    added = {
        name: F.box_iou_loss(
            pred,
            target,
            lambda pair, place=place: (terms(pair, **own)[place],),
            cost=torch.zeros_like,
            **shared,
        ).item()
        for place, name in enumerate(named)
    }
    factor = loss.loss_weight * (1.0 if focus is None else focus(pair).item())
    return overlap.item(), added, factor


def overlap_of(pred: Sequence[float], target: Sequence[float]) -> float:
    """IoU of two boxes."""
    return F.box_pair(*as_boxes(pred, target)).iou.item()
