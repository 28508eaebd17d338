"""Gradient harmonizing: the weight of an element falls with the number of elements whose gradient is as large."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .classification import dense_target
from .coordinate import l1_loss
from .dtype import upcast


class Histogram(NamedTuple):
    """Gradient norms of elements, sorted into bins.

    Attributes:
        index: Bin of each element, in the elements' shape.
        count: Number of valid elements of each bin, ``(bins,)``, whole numbers.
    """

    index: Tensor
    count: Tensor


def bin_edges(bins: int) -> Tensor:
    """Edges of equal bins from 0 to 1, ``(bins + 1,)``."""
    return torch.arange(bins + 1, dtype=torch.float32) / bins


def gradient_histogram(norm: Tensor, valid: Tensor, edges: Tensor) -> Histogram:
    """Sort gradient norms into bins.

    Args:
        norm: Gradient norm of each element, from 0 to 1.
        valid: Whether an element counts, in the shape of ``norm``.
        edges: Edges of the bins, ``(bins + 1,)``; the first and last bins take what lies outside.
    """
    index = torch.bucketize(norm, edges[1:-1].to(norm.dtype), right=True)
    # Whole numbers: a float32 that counts by ones ends at 2**24, and a dense head has more elements than that.
    count = torch.zeros(len(edges) - 1, dtype=torch.int64, device=norm.device)
    return Histogram(index, count.scatter_add(0, index.flatten(), valid.flatten().long()))


def harmonizing_weight(histogram: Histogram, density: Tensor) -> Tensor:
    """Weight of each element: all valid elements, over those of its bin, over the number of bins that hold any.

    Args:
        histogram: Of the elements.
        density: Number of elements of each bin, ``(bins,)``: the histogram's own or a running mean.
    """
    total, filled = histogram.count.sum(), (histogram.count > 0).sum()
    per_bin = total / (density.clamp(min=1e-6) * filled.clamp(min=1))
    return per_bin.to(density.dtype)[histogram.index]


def sigmoid_gradient_norm(pred: Tensor, target: Tensor) -> Tensor:
    """Gradient norm of binary cross-entropy, ``|sigmoid(pred) - target|``; labels or a dense target."""
    pred, target = upcast(pred, dense_target(pred, target))
    return (pred.sigmoid() - target).abs()


def authentic_smooth_l1_loss(pred: Tensor, target: Tensor, *, mu: float = 0.02) -> Tensor:
    """``sqrt(d**2 + mu**2) - mu``, see :class:`~mmdet_losses.GHMR`; any equal shapes, one value per element."""
    difference = l1_loss(pred, target)
    # Not the root minus mu, which is nothing but rounding for small differences; not a square, which overflows.
    return difference * (difference / (torch.hypot(difference, torch.full_like(difference, mu)) + mu))


def authentic_smooth_l1_gradient_norm(pred: Tensor, target: Tensor, *, mu: float = 0.02) -> Tensor:
    """Gradient norm of :func:`authentic_smooth_l1_loss`, ``|d| / sqrt(d**2 + mu**2)``."""
    difference = l1_loss(pred, target)
    return difference / torch.hypot(difference, torch.full_like(difference, mu))
