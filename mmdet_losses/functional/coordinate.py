"""Losses of coordinates, one value per element: deltas, distances or any tensors of equal shape."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast

__all__ = ["balanced_l1_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


def l1_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Absolute difference, see :class:`~mmdet_losses.L1Loss`; any equal shapes, one value per element."""
    # also written in kernels/cpp/logits.h: Absolute
    pred, target = upcast(pred, target)
    return (pred - target).abs()


def mse_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Squared difference, see :class:`~mmdet_losses.MSELoss`; any equal shapes, one value per element."""
    # also written in kernels/cpp/logits.h: Squared
    return F.mse_loss(*upcast(pred, target), reduction="none")


def smooth_l1_loss(pred: Tensor, target: Tensor, *, beta: float = 1.0) -> Tensor:
    """Smooth L1, see :class:`~mmdet_losses.SmoothL1Loss`; any equal shapes, one value per element."""
    # also written in kernels/cpp/logits.h: SmoothAbsolute
    return F.smooth_l1_loss(*upcast(pred, target), reduction="none", beta=beta)


def balanced_l1_loss(
    pred: Tensor, target: Tensor, *, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0
) -> Tensor:
    """Balanced L1, see :class:`~mmdet_losses.BalancedL1Loss`; any equal shapes, one value per element."""
    difference = l1_loss(pred, target)
    # b makes the slope at the threshold, alpha * ln(b * beta + 1), equal to that of the linear branch, gamma.
    b = math.expm1(gamma / alpha) / beta
    inlier = difference.clamp(max=beta)
    # The terms cancel where the difference is small; rounding can leave less than 0.
    balanced = (alpha * ((inlier + 1 / b) * (b * inlier).log1p() - inlier)).clamp(min=0)
    return balanced + gamma * (difference - inlier)
