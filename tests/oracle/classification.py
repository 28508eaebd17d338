"""Classification losses of one row of logits."""

from collections.abc import Sequence

from .dual import Number, exp, freeze, log, log1p

Row = Sequence[Number]


def sigmoid(z: Number) -> Number:
    if z >= 0:
        return 1 / (1 + exp(-z))
    return exp(z) / (1 + exp(z))


def bce(z: Number, y: float) -> Number:
    """Binary cross-entropy of a logit: ``max(z, 0) - z y + ln(1 + e^-|z|)``."""
    positive = z if z > 0 else 0.0
    magnitude = z if z > 0 else -z
    return positive - z * y + log1p(exp(-magnitude))


def bce_probability(p: Number, y: float) -> Number:
    """Binary cross-entropy of a probability strictly between 0 and 1."""
    return -(y * log(p)) - (1 - y) * log(1 - p)


def softmax_cross_entropy(z: Row, label: int) -> Number:
    """``ln sum_j e^(z_j) - z_label``."""
    top = max(freeze(x) for x in z)
    return log(sum(exp(x - top) for x in z)) + top - z[label]


def one_hot(label: int, classes: int) -> list[float]:
    """Row of 0 and 1; a label outside the classes is background, all 0."""
    return [float(j == label) for j in range(classes)]


def focal(z: Number, y: float, gamma: float = 2.0, alpha: float = 0.25) -> Number:
    """Focal loss (1708.02002): ``alpha_t (1 - p_t)^gamma BCE``."""
    return _focal(sigmoid(z), bce(z, y), y, gamma, alpha)


def focal_probability(p: Number, y: float, gamma: float = 2.0, alpha: float = 0.25) -> Number:
    """Focal loss of a probability."""
    return _focal(p, bce_probability(p, y), y, gamma, alpha)


def _focal(p: Number, ce: Number, y: float, gamma: float, alpha: float) -> Number:
    miss = (1 - p) * y + p * (1 - y)
    return (alpha * y + (1 - alpha) * (1 - y)) * miss**gamma * ce


def quality_focal(z: Row, label: int, score: float, beta: float = 2.0) -> Number:
    """Quality focal loss (2006.04388): ``sum |y - sigma|^beta BCE(z, y)``, y the score at the label, else 0."""
    return quality_focal_dense(z, [score * y for y in one_hot(label, len(z))], beta)


def quality_focal_dense(z: Row, y: Sequence[float], beta: float = 2.0) -> Number:
    return sum(abs(q - sigmoid(x)) ** beta * bce(x, q) for x, q in zip(z, y, strict=True))


def quality_focal_probability(p: Row, y: Sequence[float], beta: float = 2.0) -> Number:
    return sum(abs(q - x) ** beta * bce_probability(x, q) for x, q in zip(p, y, strict=True))


def varifocal(z: Number, q: float, alpha: float = 0.75, gamma: float = 2.0, iou_weighted: bool = True) -> Number:
    """Varifocal loss (2008.13367): ``q BCE(z, q)`` of a positive, ``alpha sigma^gamma BCE(z, 0)`` of a negative."""
    if q > 0:
        return q * bce(z, q) if iou_weighted else bce(z, q)
    return alpha * sigmoid(z) ** gamma * bce(z, 0.0)
