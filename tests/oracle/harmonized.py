"""Gradient harmonizing losses (1811.05181), of a whole batch: what an element weighs depends on all the others."""

from collections.abc import Callable, Sequence

from .classification import bce, sigmoid
from .dual import Number, freeze, sqrt

Rows = Sequence[Sequence[Number]]


def harmonized(
    losses: Rows, norms: Sequence[Sequence[float]], bins: int, running: Sequence[float] | None
) -> list[list[Number]]:
    """Each loss times ``N / (n m)``: N elements, n in its bin or its running mean, m bins used."""
    places = [[min(int(g * bins), bins - 1) for g in row] for row in norms]
    counts = [sum(row.count(b) for row in places) for b in range(bins)]
    total, used = sum(counts), sum(n > 0 for n in counts)
    density = [r if running is not None and r > 0 else n for r, n in zip(running or counts, counts, strict=True)]
    return [
        [loss * (total / (density[b] * used)) for loss, b in zip(row, place, strict=True)]
        for row, place in zip(losses, places, strict=True)
    ]


def _each(function: Callable[[Number, float], Number], pred: Rows, target: Rows) -> list[list[Number]]:
    return [[function(p, t) for p, t in zip(ps, ts, strict=True)] for ps, ts in zip(pred, target, strict=True)]


def ghm_c(logits: Rows, target: Rows, bins: int = 10, running: Sequence[float] | None = None) -> list[list[Number]]:
    """Binary cross-entropy, gradient norm ``|sigma - y|``."""
    norms = _each(lambda z, y: abs(freeze(sigmoid(z)) - y), logits, target)
    return harmonized(_each(bce, logits, target), norms, bins, running)


def ghm_r(
    pred: Rows, target: Rows, mu: float = 0.02, bins: int = 10, running: Sequence[float] | None = None
) -> list[list[Number]]:
    """``sqrt(d^2 + mu^2) - mu``, gradient norm ``|d| / sqrt(d^2 + mu^2)``."""
    losses = _each(lambda p, t: sqrt((p - t) * (p - t) + mu * mu) - mu, pred, target)
    norms = _each(lambda p, t: abs(freeze(p) - t) / sqrt((freeze(p) - t) * (freeze(p) - t) + mu * mu), pred, target)
    return harmonized(losses, norms, bins, running)
