"""Losses of one coordinate difference ``d = prediction - target``."""

import math

from .dual import Number, log


def l1(d: Number) -> Number:
    """``|d|``."""
    return abs(d)


def mse(d: Number) -> Number:
    """``d^2``, without the half."""
    return d * d


def smooth_l1(d: Number, beta: float = 1.0) -> Number:
    """Fast R-CNN (1504.08083): ``d^2 / (2 beta)`` below beta, ``|d| - beta / 2`` above."""
    d = abs(d)
    return 0.5 * d * d / beta if d < beta else d - 0.5 * beta


def balanced_l1(d: Number, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0) -> Number:
    """Libra R-CNN (1904.02701), equation 8, its gradient ``alpha ln(b |d| / beta + 1)`` below beta and gamma above.

    ``alpha ln(b + 1) = gamma`` makes the slope continuous; the constant makes the value so. The paper gives
    beta = 1; for another beta its ``b`` becomes ``b / beta`` throughout.
    """
    d = abs(d)
    b = (math.exp(gamma / alpha) - 1) / beta
    if d < beta:
        return alpha / b * (b * d + 1) * log(b * d + 1) - alpha * d
    return gamma * d + gamma / b - alpha * beta


def balanced_l1_unscaled(d: float, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0) -> float:
    """Balanced L1 as MMDetection computes it: ``d / beta`` inside the logarithm only, the slope has a jump."""
    d = abs(d)
    b = math.exp(gamma / alpha) - 1
    if d < beta:
        return alpha / b * (b * d + 1) * math.log(b * d / beta + 1) - alpha * d
    return gamma * d + gamma / b - alpha * beta
