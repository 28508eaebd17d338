"""Losses of rotated boxes as Gaussians: divergences and distances in closed form, in which nothing cancels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast
from .geometry import saturate
from .rotated import GaussianPair, bounded, gaussian_pair

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


def root(x: Tensor) -> Tensor:
    """``sqrt(x)`` of nonnegative x, with gradient 0 at 0, where that of the root is infinite."""
    zero = x <= 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def excess(x: Tensor) -> Tensor:
    """``exp(x) - 1 - x``, never negative and accurate near 0."""
    near = x.abs() < 0.1
    small = torch.where(near, x, 0.0)
    series = SERIES[0] * small
    for coefficient in SERIES[1:-1]:
        series = (series + coefficient) * small
    return torch.where(near, (series + SERIES[-1]) * small.square(), torch.expm1(x) - x)


def log_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """``ln(numerator / denominator)`` of positive lengths, accurate where they are nearly equal."""
    grows = numerator > denominator
    change = (numerator - denominator) / torch.where(grows, denominator, -numerator)
    return torch.where(grows, 1.0, -1.0) * torch.log1p(change)


def bhattacharyya(pair: GaussianPair) -> tuple[Tensor, Tensor]:
    """``ln`` of it is the shape term: ``det(S + T) / (4 sqrt(det S det T)) - 1``; and ``D (S + T)^-1 D``, ``(n,)``.

    The offset is in units of the standard deviations of ``w**2`` and ``h**2`` as variances.
    """
    (width, height), (wide, high) = pair.size, pair.target_size
    of_width = (width - wide).square() / (2 * width * wide)
    of_height = (height - high).square() / (2 * height * high)
    shape = of_width + of_height + of_width * of_height + pair.turn / (width * height) / (4 * wide * high)
    determinant = (width.square() + wide.square()) * (height.square() + high.square()) + pair.turn
    scale = determinant.rsqrt()
    (x, y), (x_gt, y_gt) = pair.along, pair.target_along
    parts = (x * height, y * width, x_gt * high, y_gt * wide)
    return shape, sum(bounded(part * scale).square() for part in parts)


def probiou_loss(pred: Tensor, target: Tensor, *, mode: str = "l1") -> Tensor:
    """ProbIoU loss, see :class:`~mmdet_losses.ProbIoULoss`; ``(n, 5)`` boxes to ``(n,)``."""
    shape, offset = bhattacharyya(gaussian_pair(pred, target))
    # variances are a twelfth of the squared sides
    distance = 3 * offset + torch.log1p(shape) / 2
    return root(saturate(distance)) if mode == "l1" else distance


def divergence(
    size: tuple[Tensor, Tensor], of_size: tuple[Tensor, Tensor], along: tuple[Tensor, Tensor], turn: Tensor, alpha: float
) -> Tensor:
    """Kullback-Leibler divergence of a Gaussian of ``of_size`` from one of ``size``, whose covariance is inverted."""
    (width, height), (wide, high), (x, y) = size, of_size, along
    offset = bounded(x / width).square() + bounded(y / height).square()
    shape = excess(2 * log_ratio(wide, width)) + excess(2 * log_ratio(high, height))
    area = width * height
    return 2 / alpha**2 * offset + (shape + turn / area / area) / 2


def divergences(pair: GaussianPair, alpha: float) -> tuple[Tensor, Tensor]:
    """The divergence with the covariance of the prediction inverted, and with that of the target."""
    return (
        divergence(pair.size, pair.target_size, pair.along, pair.turn, alpha),
        divergence(pair.target_size, pair.size, pair.target_along, pair.turn, alpha),
    )


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
    if order == "pred":
        distance = divergence(pair.size, pair.target_size, pair.along, pair.turn, alpha)
    elif order == "target":
        distance = divergence(pair.target_size, pair.size, pair.target_along, pair.turn, alpha)
    else:
        distance = (torch.maximum if order == "max" else torch.minimum)(*divergences(pair, alpha))
    return loss_of_distance(root(distance) if sqrt else distance, fun, tau)


def jd_loss(
    pred: Tensor, target: Tensor, *, fun: str = "log1p", tau: float = 1.0, alpha: float = 1.0, sqrt: bool = True
) -> Tensor:
    """Jeffreys divergence loss, see :class:`~mmdet_losses.JDLoss`; ``(n, 5)`` boxes to ``(n,)``."""
    first, second = divergences(gaussian_pair(pred, target), alpha)
    distance = first / 2 + second / 2
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
    (width, height), (wide, high), (x, y) = pair.size, pair.target_size, pair.along
    straight = width * wide + height * high
    crossed = width * high + height * wide
    turned = torch.sqrt((1 - pair.sin2) * straight.square() + pair.sin2 * crossed.square())
    shape = (width - wide).square() + (height - high).square() + 2 * pair.turn / (straight + turned)
    distance = root(x.square() + y.square() + alpha**2 / 4 * shape)
    if normalize:
        distance = distance / (width * height).mul(wide * high).sqrt().sqrt()
    else:
        distance = distance * pair.unit
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
        return kalman_loss(pred, target, fun)
    deltas, target_deltas = upcast(pred[:, :2], target[:, :2])
    centre = F.smooth_l1_loss(deltas, target_deltas, reduction="none", beta=beta).sum(-1)
    return centre + kalman_loss(pred_decode, targets_decode, fun)


def kalman_loss(pred: Tensor, target: Tensor, fun: str) -> Tensor:
    """The part of KFIoU loss that compares sizes and angles."""
    pair = gaussian_pair(pred, target)
    (width, height), (wide, high) = pair.size, pair.target_size
    shape, _ = bhattacharyya(pair)
    ratio = torch.sqrt(width / wide) * torch.sqrt(height / high)
    # 1 / KFIoU = 4 sqrt(1 + shape) (1 + unequal) - 1, and 3 at a match
    unequal = (ratio - 1).square() / (2 * ratio)
    beyond = 4 * (shape / (1 + torch.sqrt(1 + shape)) * (1 + unequal) + unequal)
    if fun == "ln":
        return torch.log(3 + beyond)
    loss = (2 + beyond) / (3 + beyond)
    return torch.expm1(loss) if fun == "exp" else loss


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
