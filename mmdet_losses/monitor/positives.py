"""The positives of a classification: their mean probability, and the mean quality that their targets ask for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional.dtype import upcast
from ..modules import ClassificationLoss, GaussianFocalLoss

Measured = tuple[Any, Any]
"""Numerator and denominator."""


def of_positives(
    loss: ClassificationLoss, pred: Tensor, target: Any, counting: Tensor | None, weight: Tensor | None
) -> dict[str, Measured]:
    """``probability``, the predicted one, and where targets have one ``quality``, each with its number of positives.

    Positives are rows of a label that is a class, and elements of a dense target above 0 (of a heat map its peaks, 1).
    """
    if getattr(loss, "use_mask", False) or pred.ndim == 0:
        return {}
    pair = isinstance(target, (tuple, list)) and len(target) == 2
    label, quality = target if pair else (target, None)
    if not isinstance(label, Tensor):
        return {}
    if label.is_floating_point() and label.shape == pred.shape:
        return of_dense(loss, pred, label, counting, weight)
    if label.is_floating_point() or label.ndim != pred.ndim - 1 or label.shape != pred.shape[:-1] or counting is None:
        return {}
    scores, classes = scores_of(loss, pred)
    label = label.reshape(-1)
    positive = (label >= 0) & (label < classes) & counting
    own = scores.reshape(len(label), -1).gather(1, label.clamp(0, classes - 1).long()[:, None])[:, 0]
    found = {"probability": (torch.where(positive, own, 0.0).sum(), positive.sum())}
    if isinstance(quality, Tensor) and quality.numel() == label.numel():
        found["quality"] = (torch.where(positive, quality.detach().reshape(-1), 0.0).sum(), positive.sum())
    return found


def of_dense(
    loss: ClassificationLoss, pred: Tensor, target: Tensor, counting: Tensor | None, weight: Tensor | None
) -> dict[str, Measured]:
    """The same of a target of the prediction's shape."""
    target = target.detach()
    positive = target == 1 if isinstance(loss, GaussianFocalLoss) else target > 0
    if weight is not None:
        if weight.numel() == pred.numel():
            positive = positive & (weight.reshape(pred.shape) != 0)
        elif counting is not None and pred.ndim > 1:
            positive = positive & counting.reshape(*pred.shape[:-1], 1)
        else:
            return {}
    scores, classes = scores_of(loss, pred)
    if scores.shape != target.shape:
        return {}
    if classes < pred.shape[-1] and pred.ndim > 1:
        scores, target, positive = scores[..., :classes], target[..., :classes], positive[..., :classes]
    number = positive.sum()
    return {
        "probability": (torch.where(positive, scores, 0.0).sum(), number),
        "quality": (torch.where(positive, target, 0.0).sum(), number),
    }


def scores_of(loss: ClassificationLoss, pred: Tensor) -> tuple[Tensor, int]:
    """Scores of what a head predicts, and how many of them are classes: the last one of a softmax is background."""
    (pred,) = upcast(pred)
    if getattr(loss, "activated", False):
        return pred, pred.shape[-1]
    if getattr(loss, "custom_cls_channels", False) and pred.ndim == 2:
        scores = loss.get_activation(pred)
        return scores, min(loss.num_classes, scores.shape[-1])
    if loss.use_sigmoid:
        return pred.sigmoid(), pred.shape[-1]
    return pred.softmax(-1), pred.shape[-1] - 1
