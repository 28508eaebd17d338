"""Losses of logits: of the logit of one class, for targets from 0 to 1, and of positives of every quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdet_losses.modules import (
    EQLV2Loss,
    Loss,
    QualityFocalLoss,
    RankingLoss,
    SeesawLoss,
    VarifocalLoss,
)
from mmdet_losses.modules.classes.quality_aware import QualityAwareLoss

from .choice import Chosen
from .curves import DERIVATIVE, Line, Panel, line, ready

LOGITS = torch.linspace(-6.0, 6.0, 481, dtype=torch.float64)
QUALITIES = torch.linspace(0.0, 1.0, 201, dtype=torch.float64)[1:]
"""From just above 0, which is a negative."""
SURE = 40.0
"""A logit so large that the loss of what it belongs to is 0."""
OTHERS = torch.arange(-3.0, 4.0, dtype=torch.float64)
"""Logits of the batch in which a ranking loss is drawn."""
TARGETS = {0.0: "target 0 (negative)", 0.5: "target 0.5", 1.0: "target 1 (positive)"}
Call = Callable[[Loss, Tensor, Tensor], Tensor]


class Form(NamedTuple):
    """How logits and targets are handed to losses of a form.

    Attributes:
        call: ``(loss, logits, targets) -> the loss of each``, ``(n,)`` all of them.
        soft: Whether targets may lie between 0 and 1.
        every: Which of the logits are drawn: the first, and every so many behind it.
    """

    call: Call
    soft: bool = True
    every: int = 1


def channels(loss: Loss, least: int) -> int:
    """How many classes the options of a loss ask for."""
    lists = [getattr(loss, name, None) for name in (*loss.per_class, "class_frequency")]
    sizes = [len(one) for one in lists if one is not None and not isinstance(one, (int, float))]
    return max([least, *sizes, getattr(loss, "num_classes", None) or least])


def predicted(loss: Loss, logits: Tensor) -> Tensor:
    """Logits, or their probabilities where the loss wants these."""
    if not getattr(loss, "activated", False):
        return logits
    return logits.sigmoid() if getattr(loss, "use_sigmoid", True) else logits.softmax(-1)


def beside(column: Tensor, fill: float, count: int) -> Tensor:
    """A column, and others of one number behind it."""
    return torch.cat([column[:, None], column.new_full((len(column), count - 1), fill)], 1)


def unreduced(loss: Loss, *arguments: Tensor) -> Tensor:
    """The loss of each row, or of its first element where it has several."""
    values = loss(*arguments, reduction_override="none")
    return values if values.ndim == 1 else values[:, 0]


def sigmoids(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The first of independent classes, the others sure negatives."""
    count = channels(loss, 1)
    return unreduced(loss, predicted(loss, beside(z, -SURE, count)), beside(y, 0.0, count))


def softmax(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The first of two classes, or of more where options say so; the other logits are 0."""
    count = channels(loss, 2)
    pred = predicted(loss, beside(z, 0.0, count))
    if bool(((y == 0) | (y == 1)).all()):
        return unreduced(loss, pred, (y == 0).long())
    return unreduced(loss, pred, torch.cat([y[:, None], 1 - y[:, None], y.new_zeros(len(y), count - 2)], 1))


def masks(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """A mask of one pixel."""
    count = channels(loss, 1)
    pred = beside(z, 0.0, count)[:, :, None]
    return unreduced(loss, pred, y[:, None], torch.zeros(len(z), dtype=torch.long))


def frequencies(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The rarest class, in a row of another class where it is none itself."""
    rows = len(z)
    shares = torch.as_tensor(loss.class_frequency).flatten()
    rare, other = int(shares.argmin()), int(shares.argmax())
    pred = z.new_full((rows, len(shares)), -SURE)
    label = torch.where(y > 0, rare, other)
    pred[:, other] = SURE
    pred = pred.index_put((torch.arange(rows), torch.full((rows,), rare)), z)
    return loss(pred, label, reduction_override="none")[:, rare]


def regions(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The first class with a logit for background behind all; background is sure."""
    background = torch.where(y > 0, -SURE, SURE)
    pred = torch.cat([beside(z, -SURE, loss.num_classes), background[:, None]], 1)
    return unreduced(loss, pred, torch.where(y > 0, 0, loss.num_classes))


def seesaw(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The first class, the logits of the others being 0, of objects that are sure to be some."""
    sure = z.new_tensor([SURE, -SURE]).expand(len(z), -1)
    pred = torch.cat([beside(z, 0.0, loss.num_classes), sure], 1)
    parts = loss(pred, (y == 0).long(), reduction_override="none")
    return sum(parts.values()) if isinstance(parts, dict) else parts


def ranked(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """One logit among seven of the other label, a call for each value: a positive's error, or that of the positives."""
    values = []
    for one, label in zip(z, y, strict=True):
        scores = torch.cat([one[None], OTHERS])
        positive = torch.cat([label[None], (label == 0).double().expand(len(OTHERS))])
        errors = loss(scores, positive.round().long(), reduction_override="none")
        values.append(errors.sum() / positive.sum())
    return torch.stack(values)


FORMS: tuple[tuple[Callable[[Loss], bool], Form], ...] = (
    (lambda loss: isinstance(loss, RankingLoss), Form(ranked, soft=False, every=6)),
    (lambda loss: isinstance(loss, SeesawLoss), Form(seesaw, soft=False)),
    (lambda loss: isinstance(loss, EQLV2Loss), Form(regions, soft=False)),
    (lambda loss: hasattr(loss, "class_frequency"), Form(frequencies, soft=False)),
    (lambda loss: getattr(loss, "use_mask", False), Form(masks)),
    (lambda loss: not loss.use_sigmoid, Form(softmax)),
    (lambda loss: True, Form(sigmoids)),
)
"""The first that holds is the form of a loss."""


def form_of(loss: Loss) -> Form:
    return next(form for holds, form in FORMS if holds(loss))


def logit_panels(chosen: Sequence[Chosen], names: Sequence[str] | None = None) -> tuple[Panel, ...]:
    """A panel for each target, and for losses of qualities one over the quality."""
    losses = {one.label: ready(one) for one in chosen}
    panels = [
        Panel(title, "logit", "loss", DERIVATIVE, tuple(at_target(losses, target))) for target, title in TARGETS.items()
    ]
    if any(isinstance(loss, QUALITY_LOSSES) for loss in losses.values()):
        title = "positive of quality q, logit 0"
        lines = tuple(over_quality(losses))
        panels.append(Panel(title, "quality q", "loss", "derivative in the logit", lines, alone=True))
    return tuple(panel for panel in panels if panel.lines)


QUALITY_LOSSES = (QualityAwareLoss, QualityFocalLoss, VarifocalLoss)


def at_target(losses: dict[str, Loss], target: float) -> Iterator[Line]:
    for label, loss in losses.items():
        form = form_of(loss)
        if form.soft or target in (0.0, 1.0):
            logits = LOGITS[:: form.every]
            y = torch.full_like(logits, target)
            yield line(label, lambda z, loss=loss, form=form, y=y: form.call(loss, z, y), logits)


def over_quality(losses: dict[str, Loss]) -> Iterator[Line]:
    for label, loss in losses.items():
        form = form_of(loss)
        if form.soft:
            at_zero = line(label, lambda z, loss=loss, form=form: form.call(loss, z, QUALITIES), 0 * QUALITIES)
            yield Line(label, QUALITIES.numpy(), at_zero.value, at_zero.slope)
