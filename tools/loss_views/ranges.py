"""Ranges of an axis in which losses can be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

SPIKES = 0.03
"""Share of the points of a line that may leave a plot."""
OUTLIER = 4.0
"""How many times as high as the usual line one may be."""
HEADROOM, BARELY = 1.15, 1.6
"""What is left above what is cut, over the highest of the rest; what is hardly higher is not cut."""


def visible(lines: Sequence[tuple[str, np.ndarray]]) -> tuple[float, float]:
    """A range without spikes, and without losses far above or below all others.

    Args:
        lines: The label of a loss and numbers; a loss may come several times.
    """
    finite = [(label, y[np.isfinite(y)]) for label, y in lines]
    finite = [(label, y) for label, y in finite if len(y)]
    if not finite:
        return 0.0, 1.0
    low, high = (extreme(y for _, y in finite) for extreme in (least, greatest))
    high = most(finite) if high > 0 else high
    low = -most([(label, -y) for label, y in finite]) if low < 0 else low
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def least(lines: Iterable[np.ndarray]) -> float:
    return min(float(y.min()) for y in lines)


def greatest(lines: Iterable[np.ndarray]) -> float:
    return max(float(y.max()) for y in lines)


def most(lines: Sequence[tuple[str, np.ndarray]]) -> float:
    """The upper end, above 0."""
    tops: dict[str, float] = {}
    for label, y in lines:
        tops[label] = max(tops.get(label, 0.0), float(np.quantile(y, 1 - SPIKES)))
    above = [top for top in tops.values() if top > 0]
    highest = greatest(y for _, y in lines)
    if not above:
        return highest
    top = max(top for top in above if top <= OUTLIER * float(np.median(above)))
    return highest if highest <= BARELY * top else top * HEADROOM
