"""Ranges of an axis in which losses can be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SPIKES = 0.03
"""Share of the points of a line that may leave a plot."""
OUTLIER = 3.0
"""How many times as high as the usual line one may be."""
HEADROOM = 1.15


def visible(lines: Sequence[tuple[str, np.ndarray]]) -> tuple[float, float]:
    """A range without spikes, and without losses far above or below all others.

    Args:
        lines: The label of a loss and numbers; a loss may come several times.
    """
    finite = [(label, y[np.isfinite(y)]) for label, y in lines]
    finite = [(label, y) for label, y in finite if len(y)]
    if not finite:
        return 0.0, 1.0
    high = most(finite)
    low = -most([(label, -y) for label, y in finite])
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def most(lines: Sequence[tuple[str, np.ndarray]]) -> float:
    """The upper end."""
    tops: dict[str, float] = {}
    for label, y in lines:
        tops[label] = max(tops.get(label, -math.inf), float(np.quantile(y, 1 - SPIKES)))
    usual = float(np.median(list(tops.values())))
    top = max(top for top in tops.values() if top <= max(OUTLIER * usual, usual))
    return min(top * HEADROOM if top > 0 else top, max(float(y.max()) for _, y in lines))
