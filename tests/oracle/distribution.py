"""Losses of a discrete distribution over bins."""

import math

from .classification import Row, softmax_cross_entropy
from .dual import Number, exp, freeze


def dfl(z: Row, y: float) -> Number:
    """Distribution focal loss (2006.04388), equation 6: cross-entropy of the two bins around y, by nearness.

    y is in bin units, between 0 and the last bin.
    """
    left = min(math.floor(y), len(z) - 2)
    right = left + 1
    return (right - y) * softmax_cross_entropy(z, left) + (y - left) * softmax_cross_entropy(z, right)


def dfl_between(z: Row, y: float, first: float, last: float) -> Number:
    """The same for bins that lie evenly from ``first`` to ``last``: each of the two neighbours by its nearness."""
    step = (last - first) / (len(z) - 1)
    bins = [first + step * i for i in range(len(z))]
    left = max(i for i in range(len(z) - 1) if i == 0 or bins[i] <= y)
    near, far = (bins[left + 1] - y) / step, (y - bins[left]) / step
    return near * softmax_cross_entropy(z, left) + far * softmax_cross_entropy(z, left + 1)


def integral(z: Row, first: float, last: float) -> Number:
    """Expectation of bins that lie evenly from ``first`` to ``last``."""
    top = max(freeze(x) for x in z)
    powers = [exp(x - top) for x in z]
    bins = [first + (last - first) * i / (len(z) - 1) for i in range(len(z))]
    return sum(b * x for b, x in zip(bins, powers, strict=True)) / sum(powers)
