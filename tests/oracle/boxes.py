"""Box losses of one pair, ``(x1, y1, x2, y2)`` each, from the papers.

All formulas are the papers' own, without an eps; ``0/0`` never occurs for a pair in which each box has an
area. ``freeze`` marks what a paper or its reference code takes as a constant in the gradient.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .dual import Number, asin, atan, exp, freeze, log, log1p, sin, sqrt

Box = Sequence[Number]


class Pair(NamedTuple):
    """What the box losses have in common."""

    w: Number  # predicted width
    h: Number
    w_gt: Number
    h_gt: Number
    iou: Number
    union: Number
    cw: Number  # width of the smallest enclosing box
    ch: Number
    dx: Number  # offset between the centres
    dy: Number

    @property
    def rho2(self) -> Number:
        """Squared distance of the centres."""
        return self.dx * self.dx + self.dy * self.dy

    @property
    def c2(self) -> Number:
        """Squared diagonal of the enclosing box."""
        return self.cw * self.cw + self.ch * self.ch


def pair(p: Box, t: Box) -> Pair:
    w, h = p[2] - p[0], p[3] - p[1]
    w_gt, h_gt = t[2] - t[0], t[3] - t[1]
    iw = min(p[2], t[2]) - max(p[0], t[0])
    ih = min(p[3], t[3]) - max(p[1], t[1])
    inter = iw * ih if iw > 0 and ih > 0 else 0.0
    union = w * h + w_gt * h_gt - inter
    return Pair(
        w=w,
        h=h,
        w_gt=w_gt,
        h_gt=h_gt,
        iou=inter / union,
        union=union,
        cw=max(p[2], t[2]) - min(p[0], t[0]),
        ch=max(p[3], t[3]) - min(p[1], t[1]),
        dx=(t[0] + t[2] - p[0] - p[2]) / 2,
        dy=(t[1] + t[3] - p[1] - p[3]) / 2,
    )


def iou_linear(p: Box, t: Box) -> Number:
    """IoU loss, linear form: ``1 - IoU``."""
    return 1 - pair(p, t).iou


def iou_square(p: Box, t: Box) -> Number:
    """IoU loss, square form: ``1 - IoU^2``."""
    iou = pair(p, t).iou
    return 1 - iou * iou


def iou_log(p: Box, t: Box, floor: float = 1e-6) -> Number:
    """UnitBox (1608.01471): ``-ln IoU``, the IoU floored so that disjoint boxes have a finite loss."""
    iou = pair(p, t).iou
    return -log(iou) if iou > floor else -math.log(floor)


def giou(p: Box, t: Box) -> Number:
    """GIoU (1902.09630): ``1 - IoU + (C - U) / C``, C the area of the enclosing box, U of the union."""
    g = pair(p, t)
    c = g.cw * g.ch
    return 1 - g.iou + (c - g.union) / c


def diou(p: Box, t: Box) -> Number:
    """DIoU (1911.08287): ``1 - IoU + rho^2 / c^2``."""
    g = pair(p, t)
    return 1 - g.iou + g.rho2 / g.c2


def aspect(g: Pair) -> Number:
    """``v = 4 / pi^2 (atan(w_gt / h_gt) - atan(w / h))^2`` of CIoU."""
    return 4 / math.pi**2 * (atan(g.w_gt / g.h_gt) - atan(g.w / g.h)) ** 2


def trade_off(g: Pair, gate: float | None = None) -> float:
    """``alpha = v / ((1 - IoU) + v)`` of CIoU, a constant in the gradient; 0 where IoU does not exceed the gate."""
    v = freeze(aspect(g))
    if v == 0 or (gate is not None and freeze(g.iou) <= gate):
        return 0.0
    return v / (1 - freeze(g.iou) + v)


def ciou(p: Box, t: Box, gate: float | None = None) -> Number:
    """CIoU: ``1 - IoU + rho^2 / c^2 + alpha v``.

    1911.08287 has no gate; the journal version (2005.03572) sets alpha to 0 below IoU 0.5.
    """
    g = pair(p, t)
    return 1 - g.iou + g.rho2 / g.c2 + trade_off(g, gate) * aspect(g)


def ciou_alpha_not_frozen(p: Box, t: Box) -> Number:
    """CIoU with the gradient running through alpha: a common mistake, for tests that must tell the two apart."""
    g = pair(p, t)
    v = aspect(g)
    return 1 - g.iou + g.rho2 / g.c2 + v * v / (1 - g.iou + v)


def efficient_iou(p: Box, t: Box) -> Number:
    """Efficient-IoU (2101.08158): ``1 - IoU + rho^2/c^2 + (w - w_gt)^2/cw^2 + (h - h_gt)^2/ch^2``."""
    g = pair(p, t)
    return 1 - g.iou + g.rho2 / g.c2 + ((g.w - g.w_gt) / g.cw) ** 2 + ((g.h - g.h_gt) / g.ch) ** 2


def focal_efficient_iou(p: Box, t: Box, gamma: float = 0.5, detach: bool = True) -> Number:
    """Focal-EIoU (2101.08158): ``IoU^gamma L_EIoU``, the factor a constant in the gradient unless asked for."""
    iou = pair(p, t).iou
    return (freeze(iou) if detach else iou) ** gamma * efficient_iou(p, t)


def extended_iou(p: Box, t: Box, smooth_point: float = 0.1) -> Number:
    """Extended-IoU (IEEE TIP 2021, document 9429909): smooth L1 of ``1 - I' / U'`` with a signed intersection.

    I' equals the intersection of boxes that overlap, and minus an area that grows with the gap of those
    that do not.
    """
    ex, ey = min(p[0], t[0]), min(p[1], t[1])
    left, top = max(p[0], t[0]), max(p[1], t[1])
    right, bottom = min(p[2], t[2]), min(p[3], t[3])
    x_lo, x_hi = min(left, right), max(left, right)
    y_lo, y_hi = min(top, bottom), max(top, bottom)
    signed = (
        (right - ex) * (bottom - ey) + (x_lo - ex) * (y_lo - ey) - (left - ex) * (y_hi - ey) - (x_hi - ex) * (top - ey)
    )
    area = (p[2] - p[0]) * (p[3] - p[1])
    area_gt = (t[2] - t[0]) * (t[3] - t[1])
    loss = 1 - signed / (area + area_gt - signed)
    return 0.5 * loss * loss / smooth_point if loss < smooth_point else loss - 0.5 * smooth_point


def alpha_iou(p: Box, t: Box, alpha: float = 3.0, base: str = "iou") -> Number:
    """alpha-IoU (2110.13675): IoU and every penalty of the base loss raised to alpha.

    The trade-off of the CIoU base is computed from the plain IoU, without a gate, and is frozen.
    """
    g = pair(p, t)
    loss = 1 - g.iou**alpha
    if base == "giou":
        c = g.cw * g.ch
        loss = loss + ((c - g.union) / c) ** alpha
    elif base in ("diou", "ciou"):
        loss = loss + (g.rho2 / g.c2) ** alpha
        if base == "ciou":
            loss = loss + (trade_off(g) * aspect(g)) ** alpha
    return loss


def siou(p: Box, t: Box, theta: float = 4.0) -> Number:
    """SIoU (2205.12740): ``1 - IoU + (Delta + Omega) / 2``.

    Delta is the distance cost, sharpened by the angle between the centres, Omega the shape cost.
    """
    return 1 - pair(p, t).iou + sum(siou_penalties(p, t, theta))


def siou_penalties(p: Box, t: Box, theta: float = 4.0) -> tuple[Number, Number]:
    """Half the distance cost and half the shape cost of SIoU."""
    g = pair(p, t)
    angle: Number = 0.0
    if g.rho2 > 0:
        sigma = sqrt(g.rho2)
        angle = sin(2 * asin(min(abs(g.dx), abs(g.dy)) / sigma))
    gamma = 2 - angle
    delta = 2 - exp(-gamma * (g.dx / g.cw) ** 2) - exp(-gamma * (g.dy / g.ch) ** 2)
    omega_w = 1 - exp(-abs(g.w - g.w_gt) / max(g.w, g.w_gt))
    omega_h = 1 - exp(-abs(g.h - g.h_gt) / max(g.h, g.h_gt))
    return delta / 2, (omega_w**theta + omega_h**theta) / 2


def siou_inverted(p: Box, t: Box) -> Number:
    """SIoU with the sign of the distance cost inverted, as MMDetection computes it by default."""
    g = pair(p, t)
    sigma = sqrt(g.rho2) if g.rho2 > 0 else 1.0
    gamma = 2 - sin(2 * asin(min(abs(g.dx), abs(g.dy)) / sigma))
    delta = 2 - exp(gamma * (g.dx / g.cw) ** 2) - exp(gamma * (g.dy / g.ch) ** 2)
    omega_w = 1 - exp(-abs(g.w - g.w_gt) / max(g.w, g.w_gt))
    omega_h = 1 - exp(-abs(g.h - g.h_gt) / max(g.h, g.h_gt))
    similarity = g.iou - (delta + omega_w**4 + omega_h**4) / 2
    return 1 - min(max(similarity, -1.0), 1.0)


def scaled(b: Box, ratio: float) -> list[Number]:
    """The box with both sides times ratio about its centre."""
    x, y = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    w, h = (b[2] - b[0]) * ratio, (b[3] - b[1]) * ratio
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def inner_iou(p: Box, t: Box, ratio: float) -> Number:
    """Inner-IoU (2311.02877): the IoU of the two boxes scaled about their centres."""
    return pair(scaled(p, ratio), scaled(t, ratio)).iou


def focaler_iou(iou: Number, d: float, u: float) -> Number:
    """Focaler-IoU (2401.10525): 0 below d, 1 above u, linear between."""
    if iou < d:
        return 0.0
    if iou > u:
        return 1.0
    return (iou - d) / (u - d)


def inner(p: Box, t: Box, ratio: float, base: Callable[[Box, Box], Number] = iou_linear) -> Number:
    """Inner-IoU loss: ``L_base + IoU - IoU_inner``."""
    return base(p, t) + pair(p, t).iou - inner_iou(p, t, ratio)


def focaler(p: Box, t: Box, d: float = 0.0, u: float = 0.95, base: Callable[[Box, Box], Number] = iou_linear) -> Number:
    """Focaler-IoU loss: ``L_base + IoU - IoU_focaler``."""
    iou = pair(p, t).iou
    return base(p, t) + iou - focaler_iou(iou, d, u)


def wise_attention(p: Box, t: Box) -> Number:
    """``R = exp(rho^2 / c^2)`` of Wise-IoU, c a constant in the gradient."""
    g = pair(p, t)
    return exp(g.rho2 / freeze(g.c2))


def wise_factor(
    p: Box, t: Box, version: int, mean: float = 1.0, alpha: float = 1.9, delta: float = 3.0, gamma: float = 0.5
) -> float:
    """What Wise-IoU multiplies by beside R, a constant in the gradient: a function of ``beta = L / mean``."""
    beta = (1 - freeze(pair(p, t).iou)) / mean
    if version == 1:
        return 1.0
    if version == 2:
        return beta**gamma
    return beta / (delta * alpha ** (beta - delta))


def wise_iou(p: Box, t: Box, version: int = 3, mean: float = 1.0, **options: float) -> Number:
    """Wise-IoU (2301.10051)."""
    return wise_factor(p, t, version, mean, **options) * wise_attention(p, t) * (1 - pair(p, t).iou)


def wise_iou_c_not_frozen(p: Box, t: Box) -> Number:
    """Version 1 with the gradient running through the diagonal: a mistake that many copies of it share."""
    g = pair(p, t)
    return exp(g.rho2 / g.c2) * (1 - g.iou)


def corner_distances(p: Box, t: Box) -> tuple[Number, Number]:
    """Squared distances of the top left and of the bottom right corners."""
    return (p[0] - t[0]) ** 2 + (p[1] - t[1]) ** 2, (p[2] - t[2]) ** 2 + (p[3] - t[3]) ** 2


def mpdiou(p: Box, t: Box, height: float = 640.0, width: float = 640.0) -> Number:
    """MPDIoU (2307.07662): ``1 - IoU + (d1^2 + d2^2) / (h^2 + w^2)`` of the image."""
    first, second = corner_distances(p, t)
    return 1 - pair(p, t).iou + (first + second) / (height**2 + width**2)


def shape_iou_penalties(p: Box, t: Box, scale: float = 0.0) -> tuple[Number, Number]:
    """Distance and half the shape value of Shape-IoU; their weights are those of the target and crossed."""
    g = pair(p, t)
    total = g.w_gt**scale + g.h_gt**scale
    ww, hh = 2 * g.w_gt**scale / total, 2 * g.h_gt**scale / total
    distance = hh * g.dx**2 / g.c2 + ww * g.dy**2 / g.c2
    omega_w = hh * abs(g.w - g.w_gt) / max(g.w, g.w_gt)
    omega_h = ww * abs(g.h - g.h_gt) / max(g.h, g.h_gt)
    return distance, ((1 - exp(-omega_w)) ** 4 + (1 - exp(-omega_h)) ** 4) / 2


def shape_iou(p: Box, t: Box, scale: float = 0.0) -> Number:
    """Shape-IoU (2312.17663)."""
    return 1 - pair(p, t).iou + sum(shape_iou_penalties(p, t, scale))


def powerful_penalty(p: Box, t: Box) -> Number:
    """``P`` of Powerful-IoU: the mean distance of the edges over the side of the target."""
    w, h = t[2] - t[0], t[3] - t[1]
    return ((abs(p[0] - t[0]) + abs(p[2] - t[2])) / w + (abs(p[1] - t[1]) + abs(p[3] - t[3])) / h) / 4


def powerful_attention(p: Box, t: Box, lambd: float = 1.3, detach: bool = True) -> Number:
    """``u(lambda q) = 3 lambda q exp(-(lambda q)^2)`` with ``q = exp(-P)``."""
    penalty = powerful_penalty(p, t)
    x = lambd * exp(-(freeze(penalty) if detach else penalty))
    return 3 * x * exp(-(x**2))


def powerful_iou(p: Box, t: Box, version: int = 2, lambd: float = 1.3, detach: bool = True) -> Number:
    """Powerful-IoU (Neural Networks 2024, S0893608023006640)."""
    loss = 2 - pair(p, t).iou - exp(-(powerful_penalty(p, t) ** 2))
    return loss if version == 1 else powerful_attention(p, t, lambd, detach) * loss


def unified_iou(
    p: Box,
    t: Box,
    ratio: float,
    focal: str | None = None,
    gamma: float = 0.5,
    base: Callable[[Box, Box], Number] = ciou,
) -> Number:
    """Unified-IoU (2408.06636): CIoU of the boxes scaled about their centres, with a constant multiplier or none."""
    p, t = scaled(p, ratio), scaled(t, ratio)
    quality = freeze(pair(p, t).iou) ** gamma
    return {None: 1.0, "focal": 1 - quality, "focal-inv": quality}[focal] * base(p, t)


def bounded_iou(p: Box, t: Box, beta: float = 0.2, eps: float = 1e-3) -> list[Number]:
    """Bounded IoU loss (1711.00164), for x, y, w and h; eps in the denominators as in the public implementation."""
    g = pair(p, t)

    def place(offset: Number, side: Number) -> Number:
        bound = (side - 2 * abs(offset)) / (side + 2 * abs(offset) + eps)
        return 1 - bound if bound > 0 else 1.0

    def size(side: Number, side_gt: Number) -> Number:
        return 1 - min(side_gt / (side + eps), side / (side_gt + eps))

    losses = [place(g.dx, g.w_gt), place(g.dy, g.h_gt), size(g.w, g.w_gt), size(g.h, g.h_gt)]
    return [loss * loss / (2 * beta) if loss < beta else loss - beta / 2 for loss in losses]


def wasserstein_squared(p: Box, t: Box) -> Number:
    """Squared 2-Wasserstein distance of the Gaussians inscribed in two boxes (2110.13389)."""
    g = pair(p, t)
    return g.rho2 + ((g.w - g.w_gt) ** 2 + (g.h - g.h_gt) ** 2) / 4


def wasserstein(p: Box, t: Box, mode: str = "exp", constant: float = 12.8, gamma: float = 1.0) -> Number:
    """Normalised Wasserstein distance as a loss; at a perfect match the root's slope is taken as 0."""
    squared = wasserstein_squared(p, t)
    if mode == "w2":
        return squared
    if mode == "log":
        return log1p(squared)
    distance = sqrt(squared) if squared > 0 else 0.0
    return {
        "exp": lambda: 1 - exp(-distance / constant),
        "sqrt": lambda: distance,
        "norm_sqrt": lambda: 1 - 1 / (gamma + distance),
    }[mode]()


def gaussian_combined(p: Box, t: Box) -> Number:
    """GCD (2510.27649): the distance in units of both boxes; at a perfect match the root's slope is taken as 0."""
    g = pair(p, t)
    squared = (g.dx / g.w) ** 2 + (g.dy / g.h) ** 2 + (g.dx / g.w_gt) ** 2 + (g.dy / g.h_gt) ** 2
    width, height = (g.w - g.w_gt) ** 2, (g.h - g.h_gt) ** 2
    squared += (width / g.w_gt**2 + height / g.h_gt**2) / 4 + (width / g.w**2 + height / g.h**2) / 4
    return 1 - exp(-sqrt(squared / 2)) if squared > 0 else 0.0


def scale_dynamic(p: Box, t: Box, delta: float = 0.5, reference: float = 81.0) -> Number:
    """SDIoU (2412.16986): ``1 - [delta - b + (1 - delta + b)(IoU - alpha v) - (1 + delta - b) rho^2 / c^2]``."""
    g = pair(p, t)
    b = min(g.w_gt * g.h_gt * delta / reference, delta)
    overlap = (1 - delta + b) * (g.iou - trade_off(g) * aspect(g))
    return 1 - (delta - b + overlap - (1 + delta - b) * g.rho2 / g.c2)


def interp_penalties(p: Box, t: Box, alpha: float = 0.99) -> tuple[Number]:
    """InterpIoU (2507.12420): ``1 - IoU`` of ``(1 - alpha) p + alpha t``."""
    return (1 - pair([(1 - alpha) * a + alpha * b for a, b in zip(p, t, strict=True)], t).iou,)


Penalties = Callable[[Box, Box], Sequence[Number]]


def ciou_penalties(p: Box, t: Box) -> tuple[Number, Number]:
    g = pair(p, t)
    return g.rho2 / g.c2, trade_off(g) * aspect(g)


def efficient_penalties(p: Box, t: Box) -> tuple[Number, ...]:
    g = pair(p, t)
    return g.rho2 / g.c2, ((g.w - g.w_gt) / g.cw) ** 2, ((g.h - g.h_gt) / g.ch) ** 2


PENALTIES: dict[str, Penalties] = {
    "iou": lambda p, t: (),
    "giou": lambda p, t: (giou(p, t) - iou_linear(p, t),),
    "diou": lambda p, t: (pair(p, t).rho2 / pair(p, t).c2,),
    "ciou": ciou_penalties,
    "eiou": efficient_penalties,
    "siou": lambda p, t: siou_penalties(p, t),
    "shape": shape_iou_penalties,
    "powerful": lambda p, t: (1 - exp(-(powerful_penalty(p, t) ** 2)),),
    "mpdiou": lambda p, t: tuple(d / (2 * 640.0**2) for d in corner_distances(p, t)),
}
"""What each member adds to ``1 - IoU``, as separate penalties."""


def compose(
    p: Box,
    t: Box,
    penalties: Penalties,
    cost: Callable[[Number], Number] = lambda overlap: 1 - overlap,
    power: float = 1.0,
    ratio: float = 1.0,
    interval: tuple[float, float] | None = None,
    focus: Sequence[Callable[[Box, Box], Number]] = (),
) -> Number:
    """A member of the family with every published modifier.

    Inner-IoU puts the overlap of scaled boxes in the place of the IoU, Focaler-IoU maps it, alpha-IoU raises it and
    each penalty to a power, and each focus multiplies the whole; penalties and foci are those of the boxes as they are.
    """
    overlap = inner_iou(p, t, ratio)
    if interval is not None:
        overlap = focaler_iou(overlap, *interval)
    loss = cost(overlap**power)
    for penalty in penalties(p, t):
        loss = loss + penalty**power
    for factor in focus:
        loss = factor(p, t) * loss
    return loss
