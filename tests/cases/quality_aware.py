"""The quality-aware losses: with labels and qualities, a dense target and labels alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from oracle import quality_aware as oracle
from torch import Tensor

from .case import Case
from .draw import (
    draw_labels_background,
    draw_probability_quality,
    draw_probability_soft,
    draw_quality,
    draw_soft,
)


def having(**buffers: float) -> Callable:
    """A preparation that sets buffers of one value."""

    def prepare(loss: Any) -> None:
        for name, value in buffers.items():
            getattr(loss, name).fill_(value)

    return prepare


CLASS_WEIGHT = [0.25, 0.5, 2.0, 0.125, 1.0]


def of_row(entry: Callable) -> Callable:
    """Of labels and qualities."""
    return lambda p, t: [entry(z, t[1] if k == t[0] else None) for k, z in enumerate(p)]


def of_label(entry: Callable) -> Callable:
    return lambda p, t: [entry(z, 1.0 if k == t else None) for k, z in enumerate(p)]


def of_dense(entry: Callable) -> Callable:
    return lambda p, t: [entry(z, q if q > 0 else None) for z, q in zip(p, t, strict=True)]


def weighted(rows: Callable) -> Callable:
    return lambda p, t: [own * value for own, value in zip(CLASS_WEIGHT, rows(p, t), strict=True)]


def forms(name: str, entry: Callable, frozen: bool, own: dict[str, Any], other: Callable) -> list[Case]:
    """The cases of a loss: its defaults in each form of a target, and options of its own."""
    activated = partial(entry, activated=True)
    return [
        Case(name, draw_quality, False, of_row(entry), frozen=frozen, form="tuple"),
        Case(name, draw_soft, False, of_dense(entry), frozen=frozen, form="dense"),
        Case(name, draw_labels_background, False, of_label(entry), frozen=frozen, form="labels"),
        Case(name, draw_quality, False, of_row(other), own, frozen=frozen, form="tuple"),
        Case(
            name,
            draw_quality,
            False,
            weighted(of_row(entry)),
            {"class_weight": CLASS_WEIGHT},
            frozen=frozen,
            form="tuple",
        ),
        Case(
            name, draw_probability_quality, False, of_row(activated), {"activated": True}, frozen=frozen, form="tuple"
        ),
        Case(name, draw_probability_soft, False, of_dense(activated), {"activated": True}, frozen=frozen, form="dense"),
    ]


QUALITY = 0.7


def draw_one_quality(g: torch.Generator, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Every positive with the same quality, which is then the mean of any selection of rows."""
    pred, (label, quality) = draw_quality(g, n)
    return pred, (label, torch.full_like(quality, QUALITY))


def draw_one_dense_quality(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    pred, target = draw_soft(g, n)
    return pred, QUALITY * (target > 0).double()


SLIDE = partial(oracle.slide, mean=QUALITY)
RUNNING = partial(oracle.slide, mean=0.625)
RUNNING_MEAN = having(quality_mean=0.625)


SLIDE_CASES = [
    Case("SlideLoss", draw_one_quality, False, of_row(SLIDE), form="tuple"),
    Case("SlideLoss", draw_one_dense_quality, False, of_dense(SLIDE), form="dense"),
    Case("EMASlideLoss", draw_quality, False, of_row(RUNNING), form="tuple", prepare=RUNNING_MEAN),
    Case("EMASlideLoss", draw_soft, False, of_dense(RUNNING), form="dense", prepare=RUNNING_MEAN),
    Case(
        "EMASlideLoss",
        draw_probability_quality,
        False,
        of_row(partial(RUNNING, activated=True)),
        {"activated": True},
        form="tuple",
        prepare=RUNNING_MEAN,
    ),
]

QUALITY_AWARE_CASES = [
    *SLIDE_CASES,
    *forms(
        "MatchabilityAwareLoss",
        oracle.matchability,
        True,
        {"gamma": 0.5, "alpha": 0.75},
        partial(oracle.matchability, gamma=0.5, alpha=0.75),
    ),
    *forms(
        "RTDETRVarifocalLoss",
        oracle.rtdetr_varifocal,
        True,
        {"alpha": 0.2, "gamma": 1.5, "detach_weight": False},
        partial(oracle.rtdetr_varifocal, alpha=0.2, gamma=1.5, detach=False),
    ),
    *forms(
        "IABCELoss",
        oracle.iabce,
        True,
        {"alpha": 0.5, "gamma": 1.5, "min_target": 0.3, "detach_weight": True},
        partial(oracle.iabce, alpha=0.5, gamma=1.5, least=0.3, detach=True),
    ),
    *forms(
        "PositionSupervisedLoss",
        oracle.position_supervised,
        False,
        {"alpha": 0.75, "gamma": 1.5, "quality_power": 1.0},
        partial(oracle.position_supervised, alpha=0.75, gamma=1.5, power=1.0),
    ),
]
