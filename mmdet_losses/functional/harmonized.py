"""Gradient harmonizing: elements are weighted by the inverse density of their gradient norm."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .classification import dense_target
from .coordinate import l1_loss
from .dtype import upcast

__all__ = [
    "Histogram",
    "authentic_smooth_l1_gradient_norm",
    "authentic_smooth_l1_loss",
    "bin_edges",
    "gradient_histogram",
    "harmonizing_weight",
    "sigmoid_gradient_norm",
]


class Histogram(NamedTuple):
    """Histogram of gradient norms.

    Attributes:
        index: Bin of each element, in the shape of the elements.
        count: Number of valid elements per bin, ``(bins,)``, int64.
    """

    index: Tensor
    count: Tensor


def bin_edges(bins: int) -> Tensor:
    """Edges of equal bins from 0 to 1, ``(bins + 1,)``."""
    return torch.arange(bins + 1, dtype=torch.float32) / bins


def gradient_histogram(norm: Tensor, valid: Tensor, edges: Tensor) -> Histogram:
    """Histogram of gradient norms over the valid elements.

    Args:
        norm: Gradient norm of each element, from 0 to 1.
        valid: Whether an element counts, in the shape of ``norm``.
        edges: Edges of the bins, ``(bins + 1,)``; norms outside go into the first or last bin.
    """
    index = torch.bucketize(norm, edges[1:-1].to(norm.dtype), right=True)
    # int64: float32 counts by ones up to 2**24 only, and a dense head has more elements than that.
    count = torch.zeros(len(edges) - 1, dtype=torch.int64, device=norm.device)
    return Histogram(index, count.scatter_add(0, index.flatten(), valid.flatten().long()))


def harmonizing_weight(histogram: Histogram, density: Tensor) -> Tensor:
    """Weight per element: number of valid elements, over the density of its bin times the number of non-empty bins.

    Args:
        histogram: Histogram of the elements.
        density: Number of elements per bin, ``(bins,)``: the histogram's own count or a running mean of it.
    """
    total, filled = histogram.count.sum(), (histogram.count > 0).sum()
    per_bin = total / (density.clamp(min=1e-6) * filled.clamp(min=1))
    return per_bin.to(density.dtype)[histogram.index]


def sigmoid_gradient_norm(pred: Tensor, target: Tensor) -> Tensor:
    """Gradient norm of binary cross-entropy, ``|sigmoid(pred) - target|``; labels or a dense target."""
    pred, target = upcast(pred, dense_target(pred, target))
    return (pred.sigmoid() - target).abs()


def smoothed(difference: Tensor, mu: float) -> Tensor:
    """``sqrt(difference**2 + mu**2)``."""
    return torch.hypot(difference, torch.full_like(difference, mu))


def authentic_smooth_l1_loss(pred: Tensor, target: Tensor, *, mu: float = 0.02) -> Tensor:
    """``sqrt(d**2 + mu**2) - mu``, see :class:`~mmdet_losses.GHMR`; any equal shapes, one value per element."""
    difference = l1_loss(pred, target)
    # Not the root minus mu, which cancels for small differences; not a square, which overflows.
    return difference * (difference / (smoothed(difference, mu) + mu))


def authentic_smooth_l1_gradient_norm(pred: Tensor, target: Tensor, *, mu: float = 0.02) -> Tensor:
    """Gradient norm of :func:`authentic_smooth_l1_loss`, ``|d| / sqrt(d**2 + mu**2)``."""
    difference = l1_loss(pred, target)
    return difference / smoothed(difference, mu)
