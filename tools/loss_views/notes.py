"""Sentences below a picture: of what batch it is, in what state, and at what options, where that matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import nn

from mmdet_losses.modules import Loss, RankingLoss, RankSortLoss, SeesawLoss, SlideLoss, Stateful
from mmdet_losses.modules.harmonized import HarmonizedLoss
from mmdet_losses.modules.state import Annealed

from .choice import Chosen
from .curves import Line, Panel, joined, ready
from .logit_curves import form_of, softmax

Holds = Callable[[Chosen, nn.Module], bool]


def is_softmax(chosen: Chosen, loss: nn.Module) -> bool:
    return getattr(loss, "slot", "") == "cls" and form_of(loss).call is softmax


NOTES: tuple[tuple[Holds, str], ...] = (
    (
        lambda chosen, loss: any(isinstance(part, Stateful) and part.sum_names for part in loss.modules()),
        "{}: as at the start of a training, without statistics.",
    ),
    (
        lambda chosen, loss: isinstance(loss, Annealed) and getattr(loss, "ratio", 0) is None,
        "{}: as at the start of a training, where the ratio is 2.",
    ),
    (
        lambda chosen, loss: "img_shape" in chosen.cls.options() and "img_shape" not in chosen.options,
        "{}: in an image of 640 x 640, the default.",
    ),
    (lambda chosen, loss: not isinstance(loss, Loss), "{}: in float32, as in a training; the others in float64."),
    (lambda chosen, loss: getattr(loss, "values", "") == "sides", "{}: the sum of the values of x, y, w and h."),
    (is_softmax, "{}: a softmax, of two classes where no option says how many, the other logits being 0."),
    (
        lambda chosen, loss: isinstance(loss, RankingLoss),
        "{}: one logit among seven of the other label, at -3, -2, ..., 3; the loss is the mean error of the "
        "positives, the derivative the one that is assigned.",
    ),
    (lambda chosen, loss: isinstance(loss, RankSortLoss), "{}: all qualities are 1, so there is no sorting error."),
    (
        lambda chosen, loss: isinstance(loss, HarmonizedLoss),
        "{}: the points of each plot are its batch, the same number everywhere along the axis.",
    ),
    (
        lambda chosen, loss: isinstance(loss, SlideLoss) and not isinstance(loss, Stateful),
        "{}: the points of each plot are its batch, whose mean quality counts.",
    ),
    (
        lambda chosen, loss: getattr(loss, "normalize", None) == "call",
        "{}: the points of each plot are its batch, whose largest quality counts.",
    ),
    (
        lambda chosen, loss: getattr(loss, "neg_pos_ub", -1) > 0,
        "{}: different objects alone are no batch to sample from, so none counts.",
    ),
    (
        lambda chosen, loss: isinstance(loss, SeesawLoss),
        "{}: surely an object, the other logits being 0.",
    ),
    (
        lambda chosen, loss: hasattr(loss, "class_frequency"),
        "{}: the rarest class; where the target is 0, in a row of the most frequent one.",
    ),
)
"""What is said of losses where it holds; ``{}`` stands for their names."""


def called(chosen: Chosen) -> str:
    """A loss without its options."""
    return chosen.label.split("(")[0]


def notes_of(chosen: Sequence[Chosen]) -> Iterator[str]:
    """What has to be said of some losses."""
    losses = [ready(one) for one in chosen]
    for holds, sentence in NOTES:
        names = dict.fromkeys(called(one) for one, loss in zip(chosen, losses, strict=True) if holds(one, loss))
        if names:
            yield sentence.format(joined(list(names)))


DETACHED = "{}: a factor is detached, so the derivative is not the slope of the value."
DIFFERENT, SOME = 0.05, 0.15
"""Share of the largest derivative by which a slope of the values is another, and the share of a curve's points at which
it has to be: kinks are fewer."""


def detached_note(panels: Sequence[Panel], chosen: Sequence[Chosen]) -> Iterator[str]:
    """The losses whose derivative along a curve is not that of its values, which differences of these show."""
    names = {one.label: called(one) for one in chosen if not isinstance(ready(one), RankingLoss)}
    found = dict.fromkeys(
        names[line.label] for panel in panels for line in panel.lines if line.label in names and differs(line)
    )
    if found:
        yield DETACHED.format(joined(list(found)))


def differs(line: Line) -> bool:
    rise = np.diff(line.value) / np.diff(line.x)
    slope = (line.slope[1:] + line.slope[:-1]) / 2
    return bool((np.abs(rise - slope) > DIFFERENT * np.abs(slope).max()).mean() > SOME)
