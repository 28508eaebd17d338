"""Losses with running statistics: as they start, and with statistics of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from oracle import harmonized, longtail
from oracle.classification import one_hot

from .case import Case
from .draw import CLASSES, draw_deltas, draw_labels_background, draw_objectness, draw_one_hot, draw_seesaw, draw_soft

COUNTS = (100.0, 10.0, 1.0, 0.0, 37.0)
RATIOS = (0.125, 100.0, 0.5, 0.75, 0.0)
SHARES = (0.125, 1.0, 0.5, 0.75, 0.0)
# numbers that float32 holds; the bins of 0 have none yet
RUNNING = (65.0, 0.0, 20.0, 12.5, 5.0, 0.0, 30.0, 40.0, 10.0, 75.0)


def having(**buffers: Sequence[float]) -> Callable[[torch.nn.Module], None]:
    """A preparation that sets the first entries of buffers."""

    def prepare(loss: torch.nn.Module) -> None:
        for name, values in buffers.items():
            getattr(loss, name)[: len(values)] = torch.tensor(values)

    return prepare


def one_hot_rows(labels: Sequence[int]) -> list[list[float]]:
    return [one_hot(label, CLASSES) for label in labels]


def ghm_r_case(running: Sequence[float] | None = None, **more: Any) -> Case:
    def reference(p, t):
        return harmonized.ghm_r(p, t, running=running)

    return Case("GHMR", draw_deltas, False, reference, frozen=True, kind="coordinate", whole=True, **more)


def ghm_c_case(dense: bool, running: Sequence[float] | None = None, **more: Any) -> Case:
    def reference(p, t):
        return harmonized.ghm_c(p, t if dense else one_hot_rows(t), running=running)

    draw = draw_soft if dense else draw_labels_background
    return Case("GHMC", draw, False, reference, frozen=True, whole=True, **more)


def focal_case(draw: Callable, ratios: Sequence[float], form: str, **more: Any) -> Case:
    def reference(p, t):
        target = t if isinstance(t, list) else one_hot(t, CLASSES)
        return [longtail.equalized_focal(*element) for element in zip(p, target, ratios, strict=True)]

    return Case("EqualizedFocalLoss", draw, False, reference, {"num_classes": CLASSES}, form=form, **more)


HARMONIZED_COORDINATE_CASES = [
    ghm_r_case(),
    ghm_r_case(RUNNING, options={"momentum": 0.75}, prepare=having(acc_sum=RUNNING), form="running"),
]

SEESAW = {"num_classes": CLASSES, "return_dict": False}

STATEFUL_CLS_CASES = [
    ghm_c_case(False, form="labels"),
    ghm_c_case(True, form="dense"),
    ghm_c_case(False, RUNNING, options={"momentum": 0.75}, prepare=having(acc_sum=RUNNING), form="running"),
    Case(
        "SeesawLoss", draw_seesaw, True, lambda p, t: [longtail.seesaw(p, t, [0] * CLASSES)], SEESAW, True, form="start"
    ),
    Case(
        "SeesawLoss",
        draw_seesaw,
        True,
        lambda p, t: [longtail.seesaw(p, t, COUNTS)],
        SEESAW,
        True,
        form="running",
        prepare=having(cum_samples=COUNTS),
    ),
    Case(
        "EQLV2Loss",
        draw_objectness,
        True,
        lambda p, t: [longtail.equalization_v2(p, t, [100.0] * CLASSES)],
        {"num_classes": CLASSES},
        form="start",
    ),
    Case(
        "EQLV2Loss",
        draw_objectness,
        True,
        lambda p, t: [longtail.equalization_v2(p, t, RATIOS)],
        {"num_classes": CLASSES},
        form="running",
        prepare=having(pos_neg=RATIOS),
    ),
    focal_case(draw_labels_background, [1.0] * CLASSES, "labels"),
    focal_case(draw_one_hot, [1.0] * CLASSES, "dense"),
    focal_case(draw_labels_background, SHARES, "running", prepare=having(pos_neg=SHARES)),
]
