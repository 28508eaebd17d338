"""Losses of one pair of rotated boxes, ``(cx, cy, w, h, angle)`` each, from the papers.

Gaussians are written with their matrices, as the papers have them, and the overlap of boxes by clipping a polygon. The
slope of a root at 0 is taken as 0.
"""

import math
from collections.abc import Sequence

from .dual import Number, cos, exp, freeze, log, log1p, sin, sqrt

Box = Sequence[Number]
Matrix = tuple[tuple[Number, Number], tuple[Number, Number]]
Point = tuple[Number, Number]


def root(x: Number) -> Number:
    return sqrt(x) if x > 0 else 0.0


def covariance(box: Box, share: float) -> Matrix:
    """``R diag(w**2, h**2) R^T * share``."""
    _, _, w, h, angle = box
    c, s = cos(angle), sin(angle)
    a, b = w * w * share, h * h * share
    return ((a * c * c + b * s * s, (a - b) * c * s), ((a - b) * c * s, a * s * s + b * c * c))


def det(m: Matrix) -> Number:
    return m[0][0] * m[1][1] - m[0][1] * m[1][0]


def inverse(m: Matrix) -> Matrix:
    d = det(m)
    return ((m[1][1] / d, -m[0][1] / d), (-m[1][0] / d, m[0][0] / d))


def added(m: Matrix, n: Matrix) -> Matrix:
    return tuple(tuple(a + b for a, b in zip(*rows, strict=True)) for rows in zip(m, n, strict=True))


def trace_of_product(m: Matrix, n: Matrix) -> Number:
    return sum(m[i][j] * n[j][i] for i in range(2) for j in range(2))


def form(m: Matrix, x: Number, y: Number) -> Number:
    """``(x, y) m (x, y)^T``."""
    return m[0][0] * x * x + (m[0][1] + m[1][0]) * x * y + m[1][1] * y * y


def area(box: Box) -> Number:
    return box[2] * box[3]


def probiou(p: Box, t: Box, mode: str = "l1") -> Number:
    """ProbIoU (2106.06072): Hellinger distance of the Gaussians of uniform boxes, or Bhattacharyya's."""
    s = added(covariance(p, 1 / 12), covariance(t, 1 / 12))
    shape = log(det(s) / (4 * area(p) * area(t) / 144)) / 2
    distance = form(inverse(s), p[0] - t[0], p[1] - t[1]) / 4 + shape
    return root(1 - exp(-distance)) if mode == "l1" else distance


def divergence(p: Box, t: Box, alpha: float = 1.0) -> Number:
    """Kullback-Leibler divergence, with the inverse of the covariance of ``p``; 0 where rounding leaves less."""
    s = inverse(covariance(p, 1 / 4))
    offset = form(s, p[0] - t[0], p[1] - t[1]) / (2 * alpha**2)
    shape = trace_of_product(s, covariance(t, 1 / 4)) / 2 + log(area(p) / area(t)) - 1
    return offset + shape


def finish(distance: Number, fun: str, tau: float) -> Number:
    value = {"log1p": log1p, "sqrt": root, "none": lambda x: x}[fun](distance)
    return 1 - 1 / (tau + value) if tau >= 1 else value


def kld(
    p: Box,
    t: Box,
    fun: str = "log1p",
    tau: float = 1.0,
    alpha: float = 1.0,
    sqrt: bool = True,
    order: str = "pred",
) -> Number:
    """KLD loss (2106.01883)."""
    both = divergence(p, t, alpha), divergence(t, p, alpha)
    distance = {"pred": both[0], "target": both[1], "max": max(both), "min": min(both)}[order]
    return finish(root(distance) if sqrt else distance, fun, tau)


def jd(p: Box, t: Box, fun: str = "log1p", tau: float = 1.0, alpha: float = 1.0, sqrt: bool = True) -> Number:
    """Jeffreys divergence: the mean of the two divergences."""
    distance = (divergence(p, t, alpha) + divergence(t, p, alpha)) / 2
    return finish(root(distance) if sqrt else distance, fun, tau)


def gwd(p: Box, t: Box, fun: str = "log1p", tau: float = 1.0, alpha: float = 1.0, normalize: bool = True) -> Number:
    """GWD loss (2101.11952), with ``tr (Z^1/2) = sqrt(tr Z + 2 sqrt(det Z))`` of a positive 2 x 2 matrix."""
    s, u = covariance(p, 1 / 4), covariance(t, 1 / 4)
    both = area(p) * area(t) / 16
    coupled = sqrt(trace_of_product(s, u) + 2 * both)
    shape = s[0][0] + s[1][1] + u[0][0] + u[1][1] - 2 * coupled
    distance = root((p[0] - t[0]) ** 2 + (p[1] - t[1]) ** 2 + alpha**2 * shape)
    if normalize:
        distance = distance / (2 * both**0.25)
    return finish(distance, fun, tau)


def kfiou(p: Box, t: Box, fun: str = "none") -> Number:
    """KFIoU loss (2201.12558) without its term of the centres."""
    s, u = covariance(p, 1 / 4), covariance(t, 1 / 4)
    volume = 4 * (area(p) / 4) * (area(t) / 4) / sqrt(det(added(s, u)))
    overlap = volume / (area(p) + area(t) - volume)
    return {"none": lambda: 1 - overlap, "ln": lambda: -log(overlap), "exp": lambda: exp(1 - overlap) - 1}[fun]()


def gd(p: Box, t: Box, loss_type: str, tau: float = 0.0, **options: float) -> Number:
    """MMRotate's GDLoss."""
    if loss_type.startswith("kld_sym"):
        return kld(p, t, tau=tau, order=loss_type.removeprefix("kld_sym"), **options)
    return {"kld": kld, "jd": jd, "gwd": gwd}[loss_type](p, t, tau=tau, **options)


def corners(box: Box) -> list[Point]:
    """The corners, in the order in which width turns towards height."""
    x, y, w, h, angle = box
    c, s = cos(angle), sin(angle)
    half = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    return [(x + a * w * c - b * h * s, y + a * w * s + b * h * c) for a, b in half]


def side_of(point: Point, start: Point, stop: Point) -> Number:
    """More than 0 on the inner side of an edge."""
    return (stop[0] - start[0]) * (point[1] - start[1]) - (stop[1] - start[1]) * (point[0] - start[0])


def clipped(polygon: list[Point], start: Point, stop: Point) -> list[Point]:
    """The part of a polygon on the inner side of an edge (Sutherland and Hodgman, 1974)."""
    kept = []
    for i, point in enumerate(polygon):
        before = polygon[i - 1]
        here, there = side_of(point, start, stop), side_of(before, start, stop)
        if (here >= 0) is not (there >= 0):
            share = there / (there - here)
            kept.append(tuple(b + share * (a - b) for a, b in zip(point, before, strict=True)))
        if here >= 0:
            kept.append(point)
    return kept


def overlap(p: Box, t: Box) -> Number:
    """Intersection over union."""
    # about the prediction's centre, for the digits
    p, t = [p[0] - freeze(p[0]), p[1] - freeze(p[1]), *p[2:]], [t[0] - freeze(p[0]), t[1] - freeze(p[1]), *t[2:]]
    polygon, edges = corners(p), corners(t)
    for i, stop in enumerate(edges):
        polygon = clipped(polygon, edges[i - 1], stop)
    inner = sum((q[0] * r[1] - q[1] * r[0] for q, r in zip(polygon, polygon[1:] + polygon[:1], strict=True)), start=0.0)
    inner = inner / 2
    return inner / (area(p) + area(t) - inner)


def rotated_iou(p: Box, t: Box, mode: str = "log", eps: float = 1e-6) -> Number:
    """Rotated IoU loss."""
    iou = overlap(p, t)
    if mode == "log":
        return -log(iou) if iou > eps else -math.log(eps)
    return 1 - (iou if mode == "linear" else iou * iou)
