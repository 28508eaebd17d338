"""Losses of embeddings and of the similarities between them, for tracking and re-identification."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast
from .geometry import root

__all__ = ["associative_embedding_loss", "margin_l2_loss", "multi_pos_cross_entropy", "triplet_loss"]


def multi_pos_cross_entropy(pred: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with several positives, see :class:`~mmdet_losses.MultiPosCrossEntropyLoss`.

    Args:
        pred: Logits, ``(n, c)``.
        target: 1 or more for positives, 0 for negatives, and below 0 for what is ignored, ``(n, c)``.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    (pred,) = upcast(pred)
    absent = torch.finfo(pred.dtype).min / 4  # and not -inf, whose gradient is NaN where a row has none
    negatives = torch.where(target == 0, pred, absent).logsumexp(-1)
    positives = torch.where(target > 0, -pred, absent).logsumexp(-1)
    return F.softplus(negatives + positives)


def margin_l2_loss(pred: Tensor, target: Tensor, *, pos_margin: float = -1, neg_margin: float = -1) -> Tensor:
    """Squared difference with margins, see :class:`~mmdet_losses.MarginL2Loss`.

    Args:
        pred: Similarities, any shape; clamped to ``[0, 1]`` after the margin is subtracted.
        target: 1 for positives and 0 for negatives, in the shape of ``pred``.
        pos_margin: Subtracted from positives where it is above 0.
        neg_margin: Subtracted from negatives where it is above 0.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    (pred,) = upcast(pred)
    if pos_margin > 0:
        pred = torch.where(target == 1, pred - pos_margin, pred)
    if neg_margin > 0:
        pred = torch.where(target == 0, pred - neg_margin, pred)
    return (pred.clamp(0, 1) - target).square()


def triplet_loss(pred: Tensor, target: Tensor, counts: Tensor | None = None, *, margin: float = 0.3) -> Tensor:
    """Batch-hard triplet loss, see :class:`~mmdet_losses.TripletLoss`.

    Args:
        pred: Embeddings, ``(n, d)``.
        target: Identities, ``(n,)``.
        counts: Which rows take part, ``(n,)``; all by default.
        margin: How much nearer the farthest of the same identity is to be than the nearest of another.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is); 0 for a row without another identity.
    """
    (pred,) = upcast(pred)
    if not len(pred):
        return pred.sum(-1)
    known = torch.ones_like(target, dtype=torch.bool) if counts is None else counts.bool()
    with torch.no_grad():
        distance = torch.cdist(pred, pred, compute_mode="donot_use_mm_for_euclid_dist")
        same = target.unsqueeze(1) == target
        far = torch.where(same & known, distance, -1.0).argmax(1)
        near = torch.where(~same & known, distance, torch.inf).argmin(1)
        complete = known & (~same & known).any(1)
    hinge = torch.relu(apart(pred, pred[far]) - apart(pred, pred[near]) + margin)
    return torch.where(complete, hinge, 0.0)


def apart(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance of rows, with gradient 0 where it is 0."""
    return root((first - second).square().sum(-1))


def associative_embedding_loss(top_left: Tensor, bottom_right: Tensor) -> tuple[Tensor, Tensor]:
    """Pull and push of an image's objects, see :class:`~mmdet_losses.AssociativeEmbeddingLoss`.

    Args:
        top_left: Embedding at the top left corner of each object, ``(n, channels)``.
        bottom_right: The same at the bottom right corners.

    Returns:
        ``(pull, push)``, scalars, float32 (float64 where an input is).
    """
    top_left, bottom_right = upcast(top_left, bottom_right)
    objects = len(top_left)
    mean = (top_left + bottom_right) / 2
    pull = ((top_left - mean).square() + (bottom_right - mean).square()).sum() / max(objects, 1)
    gap = (mean.unsqueeze(1) - mean).abs().sum(-1)
    others = ~torch.eye(objects, dtype=torch.bool, device=mean.device)
    push = torch.where(others, torch.relu(1 - gap), 0.0).sum() / max(objects * (objects - 1), 1)
    return pull, push
