"""Divergence of a student's distribution from a teacher's."""

import math
from collections.abc import Sequence

from .classification import Row, softmax_cross_entropy_dense
from .dual import Number


def kl_div(z: Row, teacher: Sequence[float], temperature: float = 10.0, mean: bool = True) -> Number:
    """``T^2 KL(softmax(t / T) || softmax(z / T))`` (1503.02531): cross-entropy less the teacher's entropy."""
    top = max(teacher)
    powers = [math.exp((x - top) / temperature) for x in teacher]
    q = [x / sum(powers) for x in powers]
    entropy = -sum(x * math.log(x) for x in q if x > 0)
    divergence = softmax_cross_entropy_dense([x / temperature for x in z], q) - entropy
    return temperature**2 * divergence / (len(z) if mean else 1)
