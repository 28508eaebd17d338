"""Quality-aware classification: each loss is a target and two weights, ``w_pos BCE(p, t)`` and ``w_neg BCE(p, 0)``."""

from __future__ import annotations

import torch
from torch import Tensor

from .classification import binary_cross_entropy_of_probability, modulate, modulate_distance, one_hot
from .dtype import upcast
from .logistic import logistic

__all__ = [
    "iabce_loss",
    "matchability_aware_loss",
    "position_supervised_loss",
    "rtdetr_varifocal_loss",
    "slide_loss",
]

LEAST_MEAN = 0.2
"""Of the qualities of positives, by which Slide loss tells easy ones from hard ones."""


Target = Tensor | tuple[Tensor, Tensor]


def spread(pred: Tensor, target: Target, quality: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The prediction, the detached quality of each of its entries, from 0 to 1, and which of them are positive.

    Labels without a quality are positives of quality 1. A dense target is positive where it is above 0; a positive of
    quality 0 can only be told by its label.
    """
    if isinstance(target, tuple):
        target, quality = target
    if target.ndim == pred.ndim:
        pred, quality = upcast(pred, target)
        # Not (quality > 0): a NaN is to be seen in the loss.
        return pred, quality.detach().clamp(0, 1), ~(quality <= 0)
    positive = one_hot(target, pred.shape[-1])
    if quality is None:
        (pred,) = upcast(pred)
        return pred, positive.to(pred.dtype), positive
    pred, quality = upcast(pred, quality)
    # Not positive * quality: the NaN of a background row would reach its classes.
    return pred, torch.where(positive, quality.detach().clamp(0, 1).unsqueeze(-1), 0), positive


def probability(pred: Tensor, activated: bool) -> Tensor:
    return pred if activated else torch.sigmoid(pred)


def probability_and_cost(pred: Tensor, target: Tensor, activated: bool) -> tuple[Tensor, Tensor]:
    """Probability, and its binary cross-entropy with the target."""
    if activated:
        return pred, binary_cross_entropy_of_probability(pred, target)
    prob, _, cost = logistic(pred, target)
    return prob, cost


def weighted(
    cost: Tensor, positive: Tensor, of_positive: Tensor | float, of_negative: Tensor, class_weight: Tensor | None
) -> Tensor:
    """The cost times the weight of its kind, and of its class."""
    loss = torch.where(positive, of_positive, of_negative) * cost
    return loss if class_weight is None else class_weight.to(loss) * loss


def matchability_aware_loss(
    pred: Tensor,
    target: Target,
    quality: Tensor | None = None,
    *,
    gamma: float = 1.5,
    alpha: float | None = None,
    activated: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Matchability-aware loss, see :class:`~mmdet_losses.MatchabilityAwareLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: Labels and qualities, ``((n,), (n,))``, dense qualities in the shape of ``pred``, or labels ``(n,)``.
        quality: Quality of each label, where ``target`` is the label alone; without it 1.
        gamma: Power of the quality, and of the modulating factor of negatives.
        alpha: Weight of the negatives; None is 1.
        activated: Whether ``pred`` holds probabilities.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, quality, positive = spread(pred, target, quality)
    prob, cost = probability_and_cost(pred, torch.where(positive, modulate(quality, gamma), 0), activated)
    of_negative = modulate(prob.detach(), gamma)
    return weighted(cost, positive, 1.0, of_negative if alpha is None else alpha * of_negative, class_weight)


def rtdetr_varifocal_loss(
    pred: Tensor,
    target: Target,
    quality: Tensor | None = None,
    *,
    alpha: float = 0.75,
    gamma: float = 2.0,
    activated: bool = False,
    detach_weight: bool = True,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Varifocal loss in RT-DETR's form, see :class:`~mmdet_losses.RTDETRVarifocalLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: Labels and qualities, ``((n,), (n,))``, dense qualities in the shape of ``pred``, or labels ``(n,)``.
        quality: Quality of each label, where ``target`` is the label alone; without it 1.
        alpha: Weight of the negatives.
        gamma: Power of the modulating factor of negatives.
        activated: Whether ``pred`` holds probabilities.
        detach_weight: Whether the modulating factor is detached.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, quality, positive = spread(pred, target, quality)
    prob, cost = probability_and_cost(pred, quality, activated)
    of_negative = alpha * modulate(prob.detach() if detach_weight else prob, gamma)
    return weighted(cost, positive, quality, of_negative, class_weight)


def iabce_loss(
    pred: Tensor,
    target: Target,
    quality: Tensor | None = None,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    min_target: float = 0.01,
    activated: bool = False,
    detach_weight: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """IoU-aware binary cross-entropy, see :class:`~mmdet_losses.IABCELoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: Labels and qualities, ``((n,), (n,))``, dense qualities in the shape of ``pred``, or labels ``(n,)``.
        quality: Quality of each label, where ``target`` is the label alone; without it 1.
        alpha: Share of the probability in the target of a positive, ``p**alpha q**(1 - alpha)``.
        gamma: Power of the modulating factor of negatives.
        min_target: Least target of a positive.
        activated: Whether ``pred`` holds probabilities.
        detach_weight: Whether the modulating factor is detached.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, quality, positive = spread(pred, target, quality)
    aware = probability(pred.detach(), activated) ** alpha * quality ** (1 - alpha)
    prob, cost = probability_and_cost(pred, torch.where(positive, aware.clamp(min=min_target), 0), activated)
    return weighted(cost, positive, 1.0, modulate(prob.detach() if detach_weight else prob, gamma), class_weight)


def position_supervised_loss(
    pred: Tensor,
    target: Target,
    quality: Tensor | None = None,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    quality_power: float = 2.0,
    activated: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Position-supervised loss, see :class:`~mmdet_losses.PositionSupervisedLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: Labels and qualities, ``((n,), (n,))``, dense qualities in the shape of ``pred``, or labels ``(n,)``.
        quality: Quality of each label, where ``target`` is the label alone; without it 1.
        alpha: Weight of the positives, with ``1 - alpha`` for the negatives.
        gamma: Power of the modulating factors.
        quality_power: Power of the quality in the target of a positive.
        activated: Whether ``pred`` holds probabilities.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, quality, positive = spread(pred, target, quality)
    aware = torch.where(positive, modulate(quality, quality_power), 0)
    prob, cost = probability_and_cost(pred, aware, activated)
    of_positive = alpha * modulate_distance(aware - prob, gamma)
    return weighted(cost, positive, of_positive, (1 - alpha) * modulate(prob, gamma), class_weight)


def slide_loss(
    pred: Tensor,
    target: Target,
    quality: Tensor | None = None,
    mean: Tensor | None = None,
    *,
    activated: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Slide loss, see :class:`~mmdet_losses.SlideLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: Labels and qualities, ``((n,), (n,))``, dense qualities in the shape of ``pred``, or labels ``(n,)``.
        quality: Quality of each label, where ``target`` is the label alone.
        mean: Mean quality of the positives, a scalar or ``(n,)``; without it, that of these rows.
        activated: Whether ``pred`` holds probabilities.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, quality, positive = spread(pred, target, quality)
    _, cost = probability_and_cost(pred, quality, activated)
    if mean is None:
        mean = quality.sum() / positive.sum().clamp(min=1)
    mean = mean.detach().to(quality.dtype).clamp(min=LEAST_MEAN).unsqueeze(-1)
    hard = torch.where(quality >= mean, torch.exp(1 - quality), torch.exp(1 - mean))
    return weighted(cost, quality > mean - 0.1, hard, torch.ones_like(hard), class_weight)
