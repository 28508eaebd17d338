"""Box losses of one pair, ``(x1, y1, x2, y2)`` each, from the papers.

All formulas are the papers' own, without an eps; ``0/0`` never occurs for a pair in which each box has an
area. ``freeze`` marks what a paper or its reference code takes as a constant in the gradient.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .dual import Number, asin, atan, exp, freeze, log, sin, sqrt

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
    g = pair(p, t)
    angle: Number = 0.0
    if g.rho2 > 0:
        sigma = sqrt(g.rho2)
        angle = sin(2 * asin(min(abs(g.dx), abs(g.dy)) / sigma))
    gamma = 2 - angle
    delta = 2 - exp(-gamma * (g.dx / g.cw) ** 2) - exp(-gamma * (g.dy / g.ch) ** 2)
    omega_w = 1 - exp(-abs(g.w - g.w_gt) / max(g.w, g.w_gt))
    omega_h = 1 - exp(-abs(g.h - g.h_gt) / max(g.h, g.h_gt))
    return 1 - g.iou + (delta + omega_w**theta + omega_h**theta) / 2


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
