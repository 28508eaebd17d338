"""Classification losses for long-tailed data; the statistics of the classes are an argument."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .classification import dense_target, one_hot
from .dtype import upcast

__all__ = [
    "equalization_loss",
    "equalization_v2_loss",
    "equalized_focal_gradient",
    "equalized_focal_loss",
    "seesaw_class_loss",
]


def foreground(label: Tensor, num_classes: int) -> Tensor:
    """Mask of the labels that are a class; all others, as MMDetection's ``num_classes``, are background."""
    label = label.long()
    return (label >= 0) & (label < num_classes)


def background_last(label: Tensor, num_classes: int) -> Tensor:
    """Labels with every background mapped to ``num_classes``."""
    # modulo num_classes + 1, -1 is num_classes
    return label.long().clamp(-1, num_classes) % (num_classes + 1)


def count_labels(label: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Number of valid rows per class, background last, ``(num_classes + 1,)``, int64."""
    count = torch.zeros(num_classes + 1, dtype=torch.int64, device=label.device)
    return count.scatter_add(0, background_last(label, num_classes), valid.long())


def equalization_loss(pred: Tensor, target: Tensor, class_frequency: Tensor, *, lambda_: float = 0.00177) -> Tensor:
    """Equalization loss, see :class:`~mmdet_losses.EqualizationLoss`.

    Args:
        pred: Logits, ``(*, c)``.
        target: Labels ``(*,)``, or dense in the shape of ``pred``; a row without a positive is background.
        class_frequency: Share of the images that contain each class, ``(c,)``.
        lambda_: Frequency below which a class is rare.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, dense_target(pred, target))
    positive = (target > 0).any(-1, keepdim=True)
    spared = (positive & (class_frequency < lambda_).to(pred.device)).to(pred.dtype)
    return (1 - spared * (1 - target)) * F.binary_cross_entropy_with_logits(pred, target, reduction="none")


def seesaw_class_loss(
    pred: Tensor, target: Tensor, *, counts: Tensor, p: float = 0.8, q: float = 2.0, eps: float = 1e-2
) -> Tensor:
    """Cross-entropy among classes of :class:`~mmdet_losses.SeesawLoss`; 0 for background.

    Args:
        pred: Logits of the classes, ``(n, c)``.
        target: Labels, ``(n,)``.
        counts: Number of samples per class so far, ``(c,)``.
        p: Power of the mitigation factor.
        q: Power of the compensation factor.
        eps: Lower bound of the target's probability in the compensation factor.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    (pred,) = upcast(pred)
    classes = pred.shape[-1]
    label = target.long().clamp(0, classes - 1)
    with torch.no_grad():
        log_counts = counts.to(pred.dtype).clamp(min=1).log()
        mitigation = p * (log_counts - log_counts[label].unsqueeze(-1)).clamp(max=0)
        log_scores = pred.log_softmax(-1)
        own = log_scores.gather(-1, label.unsqueeze(-1)).clamp(min=math.log(eps))
        # Both terms are 0 at the label itself.
        log_factor = mitigation + q * (log_scores - own).clamp(min=0)
    loss = F.cross_entropy(pred + log_factor, label, reduction="none")
    return torch.where(foreground(target, classes), loss, 0)


def equalization_v2_weight(
    ratio: Tensor, *, mu: float = 0.8, alpha: float = 4.0, gamma: float = 12.0
) -> tuple[Tensor, Tensor]:
    """Weights of negatives and of positives of :class:`~mmdet_losses.EQLV2Loss`, ``(c + 1,)``, objectness last.

    Args:
        ratio: Accumulated gradient of positives over that of negatives per class, ``(c,)``.
        mu: Ratio at which a negative has half its weight.
        alpha: Largest weight of a positive, minus 1.
        gamma: Steepness.
    """
    negative = torch.cat([torch.sigmoid(gamma * (ratio - mu)), ratio.new_ones(1)])
    return negative, 1 + alpha * (1 - negative)


def equalization_v2_loss(
    pred: Tensor,
    target: Tensor,
    *,
    ratio: Tensor,
    mu: float = 0.8,
    alpha: float = 4.0,
    gamma: float = 12.0,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Equalization loss v2, see :class:`~mmdet_losses.EQLV2Loss`.

    Args:
        pred: Logits, ``(n, c + 1)``, objectness last.
        target: Labels, ``(n,)``.
        ratio: Accumulated gradient of positives over that of negatives per class, ``(c,)``.
        mu: Ratio at which a negative has half its weight.
        alpha: Largest weight of a positive, minus 1.
        gamma: Steepness.
        class_weight: ``(c + 1,)``.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    (pred,) = upcast(pred)
    positive = one_hot(background_last(target, pred.shape[-1] - 1), pred.shape[-1])
    negative_weight, positive_weight = equalization_v2_weight(ratio.to(pred.dtype), mu=mu, alpha=alpha, gamma=gamma)
    weight = torch.where(positive, positive_weight, negative_weight)
    if class_weight is not None:
        weight = weight * class_weight.to(pred.dtype)
    return F.binary_cross_entropy_with_logits(pred, positive.to(pred.dtype), weight, reduction="none").sum(-1)


def equalization_v2_gradients(
    pred: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *,
    ratio: Tensor,
    mu: float = 0.8,
    alpha: float = 4.0,
    gamma: float = 12.0,
) -> tuple[Tensor, Tensor]:
    """Absolute gradients of :func:`equalization_v2_loss` in the logits of positives and of negatives.

    Args:
        pred: Logits, ``(n, c + 1)``, objectness last.
        target: Labels, ``(n,)``.
        weight: Weight per row, ``(n,)``.
        ratio, mu, alpha, gamma: As in :func:`equalization_v2_loss`.

    Returns:
        Two tensors ``(c + 1,)``, summed over the rows; objectness last.
    """
    prob = torch.sigmoid(upcast(pred)[0])
    label = background_last(target, pred.shape[-1] - 1)
    column = label.unsqueeze(-1)
    missing = 1 - prob.gather(-1, column).squeeze(-1)
    others = prob.scatter_(-1, column, 0)
    weight = torch.ones_like(missing) if weight is None else weight.to(prob.dtype)
    hits = prob.new_zeros(pred.shape[-1]).scatter_add_(0, label, missing * weight)
    negative_weight, positive_weight = equalization_v2_weight(ratio, mu=mu, alpha=alpha, gamma=gamma)
    return hits * positive_weight, torch.mv(others.t(), weight) * negative_weight


def equalized_focal_loss(
    pred: Tensor,
    target: Tensor,
    *,
    ratio: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    scale_factor: float = 8.0,
) -> Tensor:
    """Equalized focal loss, see :class:`~mmdet_losses.EqualizedFocalLoss`.

    Args:
        pred: Logits, ``(n, c)`` or ``(*, c)``.
        target: Labels, one axis less than ``pred``, or one-hot in the shape of ``pred``.
        ratio: Accumulated gradient of positives over that of negatives per class, from 0 to 1, ``(c,)``.
        gamma: Power of the modulating factor of a balanced class.
        alpha: Weight of the positive class; negatives have ``1 - alpha``.
        scale_factor: What is added to the power of a class of ratio 0.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    power, error, loss, factor = equalized_focal_parts(pred, target, ratio, gamma, alpha, scale_factor)
    # With a power below 1 the gradient at 0 would be infinite.
    error = error.clamp(min=torch.finfo(error.dtype).tiny) if gamma < 1 else error
    return factor * error**power * loss


def equalized_focal_parts(
    pred: Tensor, target: Tensor, ratio: Tensor, gamma: float, alpha: float, scale_factor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Power per class, error ``1 - p_t``, binary cross-entropy, and the weight that multiplies the loss."""
    pred, target = upcast(pred, dense_target(pred, target))
    power = gamma + scale_factor * (1 - ratio.to(pred.dtype))
    error = torch.sigmoid(-pred) * target + torch.sigmoid(pred) * (1 - target)
    loss = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    return power, error, loss, power / gamma * (alpha * target + (1 - alpha) * (1 - target))


def equalized_focal_gradient(
    pred: Tensor,
    target: Tensor,
    *,
    ratio: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    scale_factor: float = 8.0,
) -> Tensor:
    """Absolute gradient of :func:`equalized_focal_loss` per logit, for a one-hot target.

    With ``e`` the error and ``g`` the power, ``e**g (g (1 - e) BCE + e)`` times the weight of the loss.
    """
    power, error, loss, factor = equalized_focal_parts(pred, target, ratio, gamma, alpha, scale_factor)
    return factor * (error**power * (power * (1 - error) * loss + error))
