"""Losses of masks."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtype import upcast
from .geometry import safe_divisor

__all__ = ["dice_loss"]


def dice_loss(
    pred: Tensor, target: Tensor, *, activate: bool = True, naive_dice: bool = False, eps: float = 1e-3
) -> Tensor:
    """Dice loss, see :class:`~mmdet_losses.DiceLoss`.

    Args:
        pred: Logits, or probabilities unless ``activate``, ``(n, *)``.
        target: Masks in the shape of ``pred``, from 0 to 1.
        activate: Whether ``pred`` holds logits.
        naive_dice: Whether the denominator has the first powers, and not the squares.
        eps: Added to the denominator; to both sums of squares.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    pred, target = (tensor.flatten(1) for tensor in upcast(pred, target))
    prob = torch.sigmoid(pred) if activate else pred
    shared = (prob * target).sum(1)
    if naive_dice:
        size, target_size = prob.sum(1), target.sum(1)
        # Each is at least what is shared, so that no rounding makes the loss negative.
        return ((size - shared) + (target_size - shared)) / safe_divisor(size + target_size + eps)
    # Not sum((p - y)**2): the gradient of an empty target is to be exactly 0. A product's gradient is cheaper than that
    # of a square.
    return 1 - 2 * shared / safe_divisor((prob * prob).sum(1) + (target * target).sum(1) + 2 * eps)
