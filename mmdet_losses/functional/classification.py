"""Classification losses: one value per class (focal, varifocal, sigmoid) or per row (quality focal, softmax)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast


def one_hot(label: Tensor, num_classes: int) -> Tensor:
    """Boolean ``(..., num_classes)`` of integer labels ``(...)``.

    A label outside ``[0, num_classes)``, as MMDetection's background label ``num_classes`` is, gives an
    all-False row.
    """
    return label.unsqueeze(-1) == torch.arange(num_classes, device=label.device)


def dense_target(pred: Tensor, target: Tensor) -> Tensor:
    """``target`` in the shape of ``pred``, whether it holds labels or is dense already."""
    return target if target.ndim == pred.ndim else one_hot(target, pred.shape[-1])


def binary_cross_entropy_of_probability(prob: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of probabilities, finite with its gradient for probabilities 0 and 1."""
    tiny = torch.finfo(prob.dtype).tiny
    log_prob = prob.clamp(min=tiny).log()
    log_rest = (1 - prob).clamp(min=tiny).log()
    return -(target * log_prob + (1 - target) * log_rest)


def modulate(error: Tensor, power: float) -> Tensor:
    """``error**power`` with gradient 0, and not infinity or NaN, where ``error`` is 0 and ``power`` below 1."""
    return error.clamp(min=torch.finfo(error.dtype).tiny) ** power if power < 1 else error**power


def softmax_cross_entropy(
    pred: Tensor, target: Tensor, *, class_weight: Tensor | None = None, ignore_index: int = -100
) -> Tensor:
    """Softmax cross-entropy, see :class:`~mmdet_losses.CrossEntropyLoss`.

    Args:
        pred: Logits, ``(n, c)`` or ``(n, c, *)``.
        target: Labels, ``(n,)`` or ``(n, *)``, or probabilities in the shape of ``pred``.
        class_weight: ``(c,)``.
        ignore_index: Label of rows that count nothing.

    Returns:
        Tensor of the shape of the labels, float32 (float64 where an input is).
    """
    (pred,) = upcast(pred)
    if target.is_floating_point():
        target = target.to(pred.dtype)
    class_weight = None if class_weight is None else class_weight.to(pred)
    return F.cross_entropy(pred, target, class_weight, reduction="none", ignore_index=ignore_index)


def sigmoid_cross_entropy(pred: Tensor, target: Tensor, *, class_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits, see :class:`~mmdet_losses.CrossEntropyLoss`.

    Args:
        pred: Logits, ``(n, c)`` or any shape.
        target: Labels, one axis less than ``pred``, or dense in the shape of ``pred``.
        class_weight: Weight of the positive term of each class, ``(c,)``, as in MMDetection.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, dense_target(pred, target))
    class_weight = None if class_weight is None else class_weight.to(pred)
    return F.binary_cross_entropy_with_logits(pred, target, pos_weight=class_weight, reduction="none")


def sigmoid_focal_loss(
    pred: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float = 0.25, activated: bool = False
) -> Tensor:
    """Focal loss, see :class:`~mmdet_losses.FocalLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)`` or any shape.
        target: Labels, one axis less than ``pred``, or one-hot in the shape of ``pred``.
        gamma: Power of the modulating factor.
        alpha: Weight of the positive class; negatives have ``1 - alpha``.
        activated: Whether ``pred`` holds probabilities.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, dense_target(pred, target))
    if activated:
        error = (1 - pred) * target + pred * (1 - target)
        loss = binary_cross_entropy_of_probability(pred, target)
    else:
        error = torch.sigmoid(-pred) * target + torch.sigmoid(pred) * (1 - target)
        loss = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    return (alpha * target + (1 - alpha) * (1 - target)) * modulate(error, gamma) * loss


def quality_focal_loss(
    pred: Tensor, target: Tensor | tuple[Tensor, Tensor], *, beta: float = 2.0, activated: bool = False
) -> Tensor:
    """Quality focal loss, see :class:`~mmdet_losses.QualityFocalLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: ``(label, score)``, both ``(n,)``, or dense qualities in the shape of ``pred``.
        beta: Power of the modulating factor.
        activated: Whether ``pred`` holds probabilities.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    if isinstance(target, tuple):
        label, score = target
        # Not one_hot * score: a NaN score would reach the other classes of its row.
        target = torch.where(one_hot(label, pred.shape[-1]), score.unsqueeze(-1), 0)
    pred, target = upcast(pred, target)
    if activated:
        error = (target - pred).abs()
        loss = binary_cross_entropy_of_probability(pred, target)
    else:
        error = (target - pred.sigmoid()).abs()
        loss = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    return (modulate(error, beta) * loss).sum(-1)


def varifocal_loss(
    pred: Tensor, target: Tensor, *, alpha: float = 0.75, gamma: float = 2.0, iou_weighted: bool = True
) -> Tensor:
    """Varifocal loss, see :class:`~mmdet_losses.VarifocalLoss`.

    Args:
        pred: Logits, ``(n, c)`` or any shape.
        target: Qualities in the shape of ``pred``, 0 for negatives.
        alpha: Weight of negatives.
        gamma: Power of the modulating factor of negatives.
        iou_weighted: Whether positives are weighted by their quality.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, target)
    positive = target if iou_weighted else torch.ones_like(target)
    negative = alpha * modulate((pred.sigmoid() - target).abs(), gamma)
    focus = torch.where(target > 0, positive, negative)
    return focus * F.binary_cross_entropy_with_logits(pred, target, reduction="none")
