"""Losses of a discrete distribution over bins."""

import math

from .classification import Row, softmax_cross_entropy
from .dual import Number


def dfl(z: Row, y: float) -> Number:
    """Distribution focal loss (2006.04388), equation 6: cross-entropy of the two bins around y, by nearness.

    y is in bin units, between 0 and the last bin.
    """
    left = min(math.floor(y), len(z) - 2)
    right = left + 1
    return (right - y) * softmax_cross_entropy(z, left) + (y - left) * softmax_cross_entropy(z, right)
