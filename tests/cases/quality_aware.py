"""The quality-aware losses: with labels and qualities, a dense target and labels alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from oracle import quality_aware as oracle

from .case import Case
from .draw import (
    draw_labels_background,
    draw_probability_quality,
    draw_probability_soft,
    draw_quality,
    draw_soft,
)

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


QUALITY_AWARE_CASES = [
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
