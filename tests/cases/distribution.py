"""Losses of distributions."""

from __future__ import annotations

from oracle import distribution

from .case import Case
from .draw import draw_bins, draw_range

DFL_CASES = [
    Case("DistributionFocalLoss", draw_bins, True, lambda p, t: [distribution.dfl(p, t)], kind="dfl"),
    Case(
        "DistributionFocalLoss",
        draw_range,
        True,
        lambda p, t: [distribution.dfl_between(p, t, -1.5, 4.5)],
        {"y_min": -1.5, "y_max": 4.5},
        kind="dfl",
    ),
]
