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


def softmax_cross_entropy_dense(z: Row, y: Sequence[float]) -> Number:
    """``sum_j y_j (ln sum_k e^(z_k) - z_j)``."""
    return sum(q * softmax_cross_entropy(z, j) for j, q in enumerate(y))


def smooth(y: Sequence[float], share: float, floor: float) -> list[float]:
    """Label smoothing: ``(1 - share) y + floor``."""
    return [(1 - share) * q + floor for q in y]


def softmax_miss(z: Row, label: int) -> Number:
    """``1 - p_label`` of a softmax, as the share of the others."""
    top = max(freeze(x) for x in z)
    powers = [exp(x - top) for x in z]
    return sum((x for j, x in enumerate(powers) if j != label), start=0.0) / sum(powers)


def softmax_focal(z: Row, label: int, gamma: float = 2.0, alpha: float = 1.0) -> Number:
    """Focal loss of a softmax: ``alpha (1 - p_label)^gamma CE``."""
    return alpha * softmax_miss(z, label) ** gamma * softmax_cross_entropy(z, label)


def softmax_focal_dense(z: Row, y: Sequence[float], gamma: float = 2.0, alpha: float = 1.0) -> Number:
    return sum(q * softmax_focal(z, j, gamma, alpha) for j, q in enumerate(y))


def softmax_focal_probability(p: Row, label: int, gamma: float = 2.0, alpha: float = 1.0) -> Number:
    """The same of probabilities."""
    return -(alpha * (1 - p[label]) ** gamma * log(p[label]))


def poly1_cross_entropy(z: Row, label: int, epsilon: float = 1.0) -> Number:
    """PolyLoss (2204.12511), equation 3: ``CE + epsilon (1 - p_label)``."""
    return softmax_cross_entropy(z, label) + epsilon * softmax_miss(z, label)


def poly1_focal(z: Number, y: float, epsilon: float = 1.0, poly_weight: Sequence[float] = (1.0, 1.0)) -> Number:
    """Focal loss with ``epsilon (1 - p_t)^(gamma + 1)`` added, times a weight for negatives and positives."""
    miss = sigmoid(-z) * y + sigmoid(z) * (1 - y)
    negative, positive = poly_weight
    return focal(z, y) + epsilon * (positive * y + negative * (1 - y)) * miss**3


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


def gaussian_focal(p: Number, y: float, alpha: float = 2.0, gamma: float = 4.0) -> Number:
    """Focal loss of a heat map (1808.01244), equation 1, p strictly between 0 and 1."""
    if y == 1:
        return -((1 - p) ** alpha * log(p))
    return -((1 - y) ** gamma * p**alpha * log(1 - p))


def asymmetric(
    z: Number, y: float, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05, detach: bool = False
) -> Number:
    """Asymmetric loss (2009.14119), equations 4 to 7, of a logit."""
    return asymmetric_probability(sigmoid(z), y, gamma_neg, gamma_pos, clip, detach, positive=bce(z, 1.0))


def asymmetric_probability(
    p: Number,
    y: float,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    detach: bool = False,
    positive: Number | None = None,
) -> Number:
    positive = -log(p) if positive is None else positive
    shifted = p - clip if p > clip else 0.0
    focus, other = (1 - p) ** gamma_pos, shifted**gamma_neg
    if detach:
        focus, other = freeze(focus), freeze(other)
    return y * focus * positive - (1 - y) * other * log(1 - shifted)


def equalization(z: Row, y: Sequence[float], frequency: Sequence[float], threshold: float = 0.00177) -> list[Number]:
    """Equalization loss (2003.05176), equations 3 and 4: BCE weighted by ``1 - E(r) T(f_j) (1 - y_j)``."""
    foreground = any(q > 0 for q in y)
    weights = [0.0 if foreground and f < threshold and q == 0 else 1.0 for q, f in zip(y, frequency, strict=True)]
    return [w * bce(x, q) for w, x, q in zip(weights, z, y, strict=True)]
