"""Losses of coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle import coordinates

from .case import Case
from .draw import draw_deltas


def coordinate_case(name: str, function: Callable, **options: Any) -> Case:
    def reference(p, t):
        return [function(a - b) for a, b in zip(p, t, strict=True)]

    return Case(name, draw_deltas, False, reference, options, kind="coordinate")


COORDINATE_CASES = [
    coordinate_case("L1Loss", coordinates.l1),
    coordinate_case("MSELoss", coordinates.mse),
    coordinate_case("SmoothL1Loss", coordinates.smooth_l1),
    coordinate_case("SmoothL1Loss", lambda d: coordinates.smooth_l1(d, 1 / 9), beta=1 / 9),
    coordinate_case("SmoothL1Loss", coordinates.l1, beta=0.0),
    coordinate_case("BalancedL1Loss", coordinates.balanced_l1),
    coordinate_case("BalancedL1Loss", lambda d: coordinates.balanced_l1(d, beta=0.11), beta=0.11),
]
