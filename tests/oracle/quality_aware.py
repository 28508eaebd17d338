"""The quality-aware losses of the DETR line, one entry at a time, from the table of their papers and public code.

``q`` is None for a negative entry; ``freeze`` is the detach of that code.
"""

from .classification import bce, bce_probability, sigmoid
from .dual import Number, exp, freeze


def parts(z: Number, activated: bool) -> tuple[Number, object]:
    """Probability, and the cross-entropy with a target."""
    if activated:
        return z, lambda y: bce_probability(z, y)
    return sigmoid(z), lambda y: bce(z, y)


def matchability(z: Number, q: float | None, gamma: float = 1.5, alpha: float = 1.0, activated: bool = False) -> Number:
    """DEIM (2412.04234): ``BCE(p, q^gamma)`` and ``alpha sg[p]^gamma BCE(p, 0)``."""
    p, cost = parts(z, activated)
    return alpha * freeze(p) ** gamma * cost(0.0) if q is None else cost(q**gamma)


def rtdetr_varifocal(
    z: Number,
    q: float | None,
    alpha: float = 0.75,
    gamma: float = 2.0,
    detach: bool = True,
    activated: bool = False,
) -> Number:
    """RT-DETR (2304.08069): ``q BCE(p, q)`` and ``alpha sg[p]^gamma BCE(p, 0)``."""
    p, cost = parts(z, activated)
    return alpha * (freeze(p) if detach else p) ** gamma * cost(0.0) if q is None else q * cost(q)


def iabce(
    z: Number,
    q: float | None,
    alpha: float = 0.25,
    gamma: float = 2.0,
    least: float = 0.01,
    detach: bool = False,
    activated: bool = False,
) -> Number:
    """Align-DETR (2304.07527): ``BCE(p, sg[max(p^alpha q^(1 - alpha), least)])`` and ``p^gamma BCE(p, 0)``."""
    p, cost = parts(z, activated)
    if q is None:
        return (freeze(p) if detach else p) ** gamma * cost(0.0)
    return cost(max(freeze(p) ** alpha * q ** (1 - alpha), least))


def position_supervised(
    z: Number,
    q: float | None,
    alpha: float = 0.25,
    gamma: float = 2.0,
    power: float = 2.0,
    activated: bool = False,
) -> Number:
    """Stable-DINO (2304.04742): ``alpha |q^power - p|^gamma BCE(p, q^power)``, ``(1 - alpha) p^gamma BCE(p, 0)``."""
    p, cost = parts(z, activated)
    if q is None:
        return (1 - alpha) * p**gamma * cost(0.0)
    return alpha * abs(q**power - p) ** gamma * cost(q**power)


def slide_weight(q: float, mean: float) -> float:
    """YOLO-FaceV2 (2208.02019): 1, e^(1 - m) and e^(1 - q)."""
    mean = max(mean, 0.2)
    if q <= mean - 0.1:
        return 1.0
    return exp(1 - mean) if q < mean else exp(1 - q)


def slide(z: Number, q: float | None, mean: float, activated: bool = False) -> Number:
    _, cost = parts(z, activated)
    return slide_weight(q or 0.0, mean) * cost(q or 0.0)
