"""Losses of coordinates, distributions, masks, a teacher's output and embeddings, along what is natural for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from mmdet_losses.modules import Loss, MultiPosCrossEntropyLoss

from .choice import Chosen
from .curves import DERIVATIVE, Panel, line, ready, row_sums

BINS = 9
"""Bins of a distribution."""
PIXELS, OBJECT = 64, 16
"""Pixels of a mask, and how many of them are the object's."""
MARGIN = 6.0
"""A logit that is nearly sure."""
ANCHOR_TO_POSITIVE = 0.5
Names = Sequence[str] | None
Function = Callable[[Loss, Tensor], Tensor]


def linspace(low: float, high: float, points: int = 241) -> Tensor:
    return torch.linspace(low, high, points, dtype=torch.float64)


def panel(
    chosen: Sequence[Chosen], title: str, x_label: str, x: Tensor, function: Function, alone: bool = False
) -> Panel:
    """A panel in which each loss is a function of the same quantity."""
    losses = {one.label: ready(one) for one in chosen}
    lines = [line(label, lambda at, loss=loss: function(loss, at), x) for label, loss in losses.items()]
    return Panel(title, x_label, "loss", DERIVATIVE, tuple(lines), alone=alone)


def unreduced(loss: Loss, pred: Tensor, target: Tensor) -> Tensor:
    return row_sums(loss(pred, target, reduction_override="none"))


def coordinate_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the difference, and near a match."""

    def of_difference(loss: Loss, x: Tensor) -> Tensor:
        return unreduced(loss, x[:, None], torch.zeros_like(x)[:, None])

    ranges = {"any difference": 3.0, "near a match": 0.3}
    label = "prediction - target"
    return tuple(
        panel(chosen, title, label, linspace(-end, end, 1200), of_difference, alone=True)
        for title, end in ranges.items()
    )


def bins_of(loss: Loss) -> Tensor:
    """The distances that the bins of a loss stand for."""
    if loss.bins is not None:
        return torch.as_tensor(loss.bins, dtype=torch.float64)
    last = loss.y_min + BINS - 1 if loss.y_max is None else loss.y_max
    return linspace(loss.y_min, last, BINS)


def peaked(bins: Tensor, centre: Tensor) -> Tensor:
    """Logits of a normal distribution whose deviation is a bin, about each of some centres."""
    width = (bins[-1] - bins[0]) / (len(bins) - 1)
    return -(((bins - centre[:, None]) / width) ** 2) / 2


def of_distribution(x: Tensor, loss: Loss, bins: Tensor, moves: bool) -> Tensor:
    """The loss where the distribution, or else the target, lies at ``x``, and the other in the middle of the bins."""
    fixed = ((bins[0] + bins[-1]) / 2).expand(len(x))
    centre, target = (x, fixed) if moves else (fixed, x)
    return unreduced(loss, peaked(bins, centre), target)


def distribution_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the predicted distance and over the target, each with the other in the middle of the bins."""
    losses = [(one.label, ready(one)) for one in chosen]
    panels = []
    for title, x_label, moves in (
        ("the predicted distribution moves", "its centre", True),
        ("the target moves", "target", False),
    ):
        lines = []
        for label, loss in losses:
            bins = bins_of(loss)
            function = partial(of_distribution, loss=loss, bins=bins, moves=moves)
            lines.append(line(label, function, linspace(float(bins[0]), float(bins[-1]), 257)))
        panels.append(Panel(title, x_label, "loss", DERIVATIVE, tuple(lines)))
    return tuple(panels)


def mask_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the logit of the object's pixels, of the others, and of both."""
    object_ = (torch.arange(PIXELS) < OBJECT).double()

    def with_logits(inside: Callable[[Tensor], Tensor], outside: Callable[[Tensor], Tensor]) -> Function:
        def function(loss: Loss, x: Tensor) -> Tensor:
            logits = inside(x)[:, None] * object_ + outside(x)[:, None] * (1 - object_)
            pred = logits if loss.activate else logits.sigmoid()
            return unreduced(loss, pred, object_.expand(len(x), -1))

        return function

    sure = MARGIN
    parts = {
        "object at z, the rest at -z": with_logits(lambda z: z, lambda z: -z),
        "object at z, the rest right": with_logits(lambda z: z, lambda z: 0 * z - sure),
        "object right, the rest at z": with_logits(lambda z: 0 * z + sure, lambda z: z),
    }
    return tuple(panel(chosen, title, "logit z", linspace(-6, 6), function) for title, function in parts.items())


def teacher_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the error of the student in one bin, and in where its distribution lies."""
    bins = linspace(0, BINS - 1, BINS)
    middle = bins[BINS // 2]

    def one_logit(loss: Loss, x: Tensor) -> Tensor:
        teacher = peaked(bins, middle.expand(len(x)))
        return unreduced(loss, teacher + x[:, None] * (bins == middle), teacher)

    def shifted(loss: Loss, x: Tensor) -> Tensor:
        return unreduced(loss, peaked(bins, middle + x), peaked(bins, middle.expand(len(x))))

    return (
        panel(chosen, "one logit is off", "student - teacher, at the peak", linspace(-8, 8), one_logit, alone=True),
        panel(chosen, "the distribution is off", "shift in bins", linspace(-4, 4), shifted, alone=True),
    )


def similarity_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the similarity of a pair; where positives are compared with negatives, the other similarity is 0."""

    def pair(positive: bool) -> Function:
        def function(loss: Loss, x: Tensor) -> Tensor:
            mine = torch.full_like(x, float(positive))
            if not isinstance(loss, MultiPosCrossEntropyLoss):
                return unreduced(loss, x[:, None], mine[:, None])
            return unreduced(loss, torch.stack([x, 0 * x], 1), torch.stack([mine, 1 - mine], 1))

        return function

    titles = {"a pair of the same object": True, "a pair of different objects": False}
    x = linspace(-2, 2)
    return tuple(panel(chosen, title, "similarity", x, pair(positive)) for title, positive in titles.items())


def triplet_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Over the distance to another identity, that to the same one being 1/2, and the other way round."""

    def of_anchor(nearest: Callable[[Tensor], Tensor], farthest: Callable[[Tensor], Tensor]) -> Function:
        def function(loss: Loss, x: Tensor) -> Tensor:
            values = []
            for other, same in zip(nearest(x), farthest(x), strict=True):
                nothing = torch.zeros_like(other)
                embeddings = torch.stack([nothing, -same, other])[:, None]
                values.append(loss(embeddings, torch.tensor([0, 0, 1]), reduction_override="none")[0])
            return torch.stack(values)

        return function

    def fixed(x: Tensor) -> Tensor:
        return torch.full_like(x, ANCHOR_TO_POSITIVE)

    x = linspace(0.01, 1.5, 120)
    return (
        panel(chosen, "same identity at 0.5", "distance to another identity", x, of_anchor(lambda d: d, fixed)),
        panel(chosen, "another identity at 0.5", "distance to the same identity", x, of_anchor(fixed, lambda d: d)),
    )


def corner_panels(chosen: Sequence[Chosen], names: Names = None) -> tuple[Panel, ...]:
    """Pull over the difference of an object's two corners, push over the distance of two objects."""

    def pull(loss: Loss, x: Tensor) -> Tensor:
        cell = [[[[0, 0], [0, 0]]]]
        return torch.stack([loss(at.reshape(1, 1, 1, 1), 0 * at.reshape(1, 1, 1, 1), cell)[0] for at in x])

    def push(loss: Loss, x: Tensor) -> Tensor:
        cells = [[[[0, 0], [0, 0]], [[0, 1], [0, 1]]]]
        maps = [torch.stack([0 * at, at]).reshape(1, 1, 1, 2) for at in x]
        return torch.stack([loss(one, one, cells)[1] for one in maps])

    x = linspace(-2, 2, 120)
    return (
        panel(chosen, "pull: corners of one object", "difference of their embeddings", x, pull),
        panel(chosen, "push: two objects", "difference of their embeddings", x, push),
    )
