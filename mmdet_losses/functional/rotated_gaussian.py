"""Losses of rotated boxes as Gaussians: divergences and distances in closed form, in which nothing cancels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast
from .geometry import root, saturate
from .rotated import GaussianPair, bounded, gaussian_pair, in_parts

__all__ = [
    "gaussian_distance_loss",
    "gwd_loss",
    "jd_loss",
    "kfiou_loss",
    "kld_loss",
    "probiou_loss",
]

SERIES = (1 / 362880, 1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2)
"""Coefficients of ``(exp(x) - 1 - x) / x**2``, the last first."""


def excess(x: Tensor) -> Tensor:
    """``exp(x) - 1 - x``, never negative and accurate near 0."""
    near = x.abs() < 0.1
    small = torch.where(near, x, 0.0)
    series = SERIES[0] * small
    for coefficient in SERIES[1:-1]:
        series = (series + coefficient) * small
    return torch.where(near, (series + SERIES[-1]) * small.square(), torch.expm1(x) - x)


def log_ratio(change: Tensor, side: Tensor, target_side: Tensor) -> Tensor:
    """``ln(target_side / side)`` where ``change`` is ``side - target_side``, accurate where that is small."""
    grows = change < 0
    ratio = torch.log1p(change.abs() / torch.where(grows, side, target_side))
    return torch.where(grows, ratio, -ratio)


def bhattacharyya(pair: GaussianPair) -> tuple[Tensor, Tensor]:
    """``det(S + T) / (4 sqrt(det S det T)) - 1`` and ``D^T (S + T)^-1 D``, with squared sides as variances."""
    long, short = in_parts(pair.change.square() / (2 * pair.sides * pair.other_sides))
    shape = ((long + short + long * short) * pair.mix).sum(0)
    long, short = in_parts(pair.sides.square() + pair.other_sides.square())
    scale = (long * short * pair.mix).sum(0).rsqrt()
    boxes = (pair.pred, pair.target)
    offset = sum(bounded(part * box.short * scale).square() for box in boxes for part in pair.offset)
    return shape, offset + sum(bounded(box.across * box.long * scale).square() * box.share for box in boxes)


def probiou_loss(pred: Tensor, target: Tensor, *, mode: str = "l1") -> Tensor:
    """ProbIoU loss, see :class:`~mmdet_losses.ProbIoULoss`; ``(n, 5)`` boxes to ``(n,)``."""
    shape, offset = bhattacharyya(gaussian_pair(pred, target))
    # variances are a twelfth of the squared sides
    distance = 3 * offset + torch.log1p(shape) / 2
    return root(saturate(distance)) if mode == "l1" else distance


def divergence(pair: GaussianPair, alpha: float, swap: bool = False) -> Tensor:
    """Kullback-Leibler divergence; the covariance of the prediction is inverted, or with ``swap`` the target's."""
    box = pair.target if swap else pair.pred
    offset = sum(bounded(part / box.long).square() for part in pair.offset)
    offset = offset + bounded(box.across / box.short).square() * box.share
    ratio = log_ratio(pair.change, pair.sides, pair.other_sides)
    long, short = in_parts(excess(-2 * ratio if swap else 2 * ratio))
    return 2 / alpha**2 * offset + ((long + short) * pair.mix).sum(0) / 2


def kld_loss(
    pred: Tensor,
    target: Tensor,
    *,
    fun: str = "log1p",
    tau: float = 1.0,
    alpha: float = 1.0,
    sqrt: bool = True,
    order: str = "pred",
) -> Tensor:
    """Kullback-Leibler divergence loss, see :class:`~mmdet_losses.KLDLoss`; ``(n, 5)`` boxes to ``(n,)``."""
    pair = gaussian_pair(pred, target)
    if order in ("pred", "target"):
        distance = divergence(pair, alpha, swap=order == "target")
    else:
        extreme = torch.maximum if order == "max" else torch.minimum
        distance = extreme(divergence(pair, alpha), divergence(pair, alpha, swap=True))
    return loss_of_distance(root(distance) if sqrt else distance, fun, tau)


def jd_loss(
    pred: Tensor, target: Tensor, *, fun: str = "log1p", tau: float = 1.0, alpha: float = 1.0, sqrt: bool = True
) -> Tensor:
    """Jeffreys divergence loss, see :class:`~mmdet_losses.JDLoss`; ``(n, 5)`` boxes to ``(n,)``."""
    pair = gaussian_pair(pred, target)
    distance = divergence(pair, alpha) / 2 + divergence(pair, alpha, swap=True) / 2
    return loss_of_distance(root(distance) if sqrt else distance, fun, tau)


def gwd_loss(
    pred: Tensor,
    target: Tensor,
    *,
    fun: str = "log1p",
    tau: float = 1.0,
    alpha: float = 1.0,
    normalize: bool = True,
) -> Tensor:
    """Gaussian Wasserstein distance loss, see :class:`~mmdet_losses.GWDLoss`; ``(n, 5)`` boxes to ``(n,)``."""
    pair = gaussian_pair(pred, target)
    box, other = pair.pred, pair.target
    straight, crossed = sum(in_parts(pair.sides * pair.other_sides))
    at_angle = torch.sqrt((pair.mix * torch.stack((straight, crossed)).square()).sum(0))
    turn = 2 * pair.mix[1] * box.flat * other.flat / (straight + at_angle)
    shape = pair.change[:2].square().sum(0) + turn
    distance = root(sum(part.square() for part in pair.offset) + alpha**2 / 4 * shape)
    mean_side = (box.long * box.short * (other.long * other.short)).sqrt().sqrt()
    distance = distance / mean_side if normalize else distance * pair.unit
    return loss_of_distance(distance, fun, tau)


def kfiou_loss(
    pred: Tensor,
    target: Tensor,
    pred_decode: Tensor | None = None,
    targets_decode: Tensor | None = None,
    *,
    fun: str = "none",
    beta: float = 1 / 9,
) -> Tensor:
    """KFIoU loss, see :class:`~mmdet_losses.KFIoULoss`; ``(n, 5)`` to ``(n,)``.

    Args:
        pred: Boxes, or with ``pred_decode`` deltas, whose first two are those of the centre.
        target: Boxes, or with ``targets_decode`` deltas.
        pred_decode: Predicted boxes.
        targets_decode: Target boxes.
        fun: ``'none'``, ``'ln'`` or ``'exp'``.
        beta: Where the square of the smooth L1 of the centre's deltas ends.
    """
    if pred_decode is None:
        return kalman_error(pred, target, fun)
    deltas, target_deltas = upcast(pred[:, :2], target[:, :2])
    centre = F.smooth_l1_loss(deltas, target_deltas, reduction="none", beta=beta).sum(-1)
    return centre + kalman_error(pred_decode, targets_decode, fun)


def kalman_error(pred: Tensor, target: Tensor, fun: str) -> Tensor:
    """The part of KFIoU loss that compares sizes and angles."""
    pair = gaussian_pair(pred, target)
    shape, _ = bhattacharyya(pair)
    area, target_area = pair.pred.long * pair.pred.short, pair.target.long * pair.target.short
    # in terms that are small where the areas are nearly equal
    change = pair.change[0] * pair.pred.short + pair.target.long * pair.change[1]
    mean = torch.sqrt(area) * torch.sqrt(target_area)
    # 1 / KFIoU = 4 sqrt(1 + shape) (1 + unequal) - 1, and 3 at a match
    unequal = (change / (torch.sqrt(area) + torch.sqrt(target_area))).square() / (2 * mean)
    beyond = 4 * (shape / (1 + torch.sqrt(1 + shape)) * (1 + unequal) + unequal)
    if fun == "ln":
        return torch.log(3 + beyond)
    loss = (2 + beyond) / (3 + beyond)
    return torch.exp(loss) - 1 if fun == "exp" else loss


def loss_of_distance(distance: Tensor, fun: str, tau: float) -> Tensor:
    """``f`` of a distance, and ``1 - 1 / (tau + f)`` where ``tau`` is 1 or more."""
    if fun == "log1p":
        distance = torch.log1p(distance)
    elif fun == "sqrt":
        distance = root(distance)
    return distance if tau < 1 else (tau - 1 + distance) / (tau + distance)


def gaussian_distance_loss(
    pred: Tensor,
    target: Tensor,
    *,
    loss_type: str,
    fun: str = "log1p",
    tau: float = 0.0,
    alpha: float = 1.0,
    normalize: bool = True,
    sqrt: bool = True,
) -> Tensor:
    """One of the losses of MMRotate's ``GDLoss``, see :class:`~mmdet_losses.GDLoss`; ``(n, 5)`` boxes to ``(n,)``."""
    if loss_type == "gwd":
        return gwd_loss(pred, target, fun=fun, tau=tau, alpha=alpha, normalize=normalize)
    if loss_type == "jd":
        return jd_loss(pred, target, fun=fun, tau=tau, alpha=alpha, sqrt=sqrt)
    order = {"kld": "pred", "kld_symmax": "max", "kld_symmin": "min"}[loss_type]
    return kld_loss(pred, target, fun=fun, tau=tau, alpha=alpha, sqrt=sqrt, order=order)
