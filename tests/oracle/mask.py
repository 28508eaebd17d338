"""Losses of a mask, one row of pixels at a time."""

from collections.abc import Sequence

from .classification import Row, sigmoid
from .dual import Number


def dice(z: Row, y: Sequence[float], eps: float = 1e-3, activate: bool = True) -> Number:
    """Dice loss in the form of V-Net (1606.04797), with eps on both sums of squares."""
    p = [sigmoid(x) for x in z] if activate else z
    shared = sum(a * b for a, b in zip(p, y, strict=True))
    return 1 - 2 * shared / ((sum(a * a for a in p) + eps) + (sum(b * b for b in y) + eps))


def naive_dice(z: Row, y: Sequence[float], eps: float = 1e-3, activate: bool = True) -> Number:
    """With the first powers in the denominator."""
    p = [sigmoid(x) for x in z] if activate else z
    shared = sum(a * b for a, b in zip(p, y, strict=True))
    return 1 - (2 * shared + eps) / (sum(p) + sum(y) + eps)
