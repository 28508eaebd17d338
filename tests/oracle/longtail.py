"""Losses for long-tailed data of one row, their statistics as arguments."""

from collections.abc import Sequence

from .classification import Row, bce, one_hot, sigmoid, softmax_cross_entropy
from .dual import Number, exp, freeze, log


def seesaw_factors(
    z: Row, label: int, counts: Sequence[float], p: float = 0.8, q: float = 2.0, eps: float = 1e-2
) -> list[float]:
    """Seesaw (2008.10032): mitigation by the counts times compensation by the scores, for every class."""
    top = max(freeze(x) for x in z)
    powers = [exp(freeze(x) - top) for x in z]
    scores = [power / sum(powers) for power in powers]
    own, samples = max(scores[label], eps), [max(n, 1) for n in counts]
    mitigation = [(n / samples[label]) ** p if n < samples[label] else 1.0 for n in samples]
    compensation = [(s / own) ** q if s > own else 1.0 for s in scores]
    return [1.0 if j == label else m * c for j, (m, c) in enumerate(zip(mitigation, compensation, strict=True))]


def seesaw_classes(z: Row, label: int, counts: Sequence[float]) -> Number:
    """Cross-entropy of the logits plus the logarithm of their factors; 0 for background."""
    if label >= len(z):
        return 0.0 * z[0]
    return softmax_cross_entropy([x + log(s) for x, s in zip(z, seesaw_factors(z, label, counts), strict=True)], label)


def seesaw(z: Row, label: int, counts: Sequence[float]) -> Number:
    """Loss of the classes and of the last two logits, object and background."""
    background = int(label >= len(z) - 2)
    return seesaw_classes(z[:-2], label, counts) + softmax_cross_entropy(z[-2:], background)


def equalization_v2_weights(
    ratio: float, mu: float = 0.8, alpha: float = 4.0, gamma: float = 12.0
) -> tuple[float, float]:
    """Of a positive and of a negative."""
    f = 1 / (1 + exp(-gamma * (ratio - mu)))
    return 1 + alpha * (1 - f), f


def equalization_v2(z: Row, label: int, ratios: Sequence[float]) -> Number:
    """Equalization loss v2 (2012.08548); the last logit is background, with weight 1."""
    weights = [*map(equalization_v2_weights, ratios), (1.0, 1.0)]
    terms = [
        (positive if y else negative) * bce(x, y)
        for x, y, (positive, negative) in zip(z, one_hot(label, len(z)), weights, strict=True)
    ]
    return sum(terms)


def equalized_focal(
    z: Number, y: float, ratio: float, gamma: float = 2.0, alpha: float = 0.25, scale_factor: float = 8.0
) -> Number:
    """Equalized focal loss (2201.02593): ``alpha_t (gamma_j / gamma) (1 - p_t)^gamma_j BCE``."""
    power = gamma + scale_factor * (1 - ratio)
    miss = (1 - sigmoid(z)) * y + sigmoid(z) * (1 - y)
    return power / gamma * (alpha * y + (1 - alpha) * (1 - y)) * miss**power * bce(z, y)
