"""Classification losses: one value per class (sigmoids: focal, varifocal, ...) or per row (quality focal, softmax)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .arguments import check_choice
from .compiling import is_compiling
from .dtype import upcast
from .logistic import logistic

__all__ = [
    "asymmetric_loss",
    "dense_target",
    "gaussian_focal_loss",
    "one_hot",
    "quality_focal_loss",
    "quality_focal_terms",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "softmax_focal_loss",
    "varifocal_loss",
]


def one_hot(label: Tensor, num_classes: int) -> Tensor:
    """Boolean ``(..., num_classes)`` of integer labels ``(...)``.

    A label outside ``[0, num_classes)``, as MMDetection's background label ``num_classes`` is, gives an
    all-False row.
    """
    return label.unsqueeze(-1) == torch.arange(num_classes, device=label.device)


def placed(value: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """``(..., num_classes)`` with ``value`` ``(...)`` at the class of ``label`` ``(...)`` and 0 elsewhere.

    As in :func:`one_hot`, a label of no class gives a row of zeros.
    """
    if is_compiling() or num_classes == 0:
        # Not one_hot * value: a NaN would reach the other classes of its row.
        return torch.where(one_hot(label, num_classes), value.unsqueeze(-1), 0)
    label = label.long()  # an 8 bit label compared with 300 is compared with 44
    known = (label >= 0) & (label < num_classes)
    index, value = (torch.where(known, tensor, 0).unsqueeze(-1) for tensor in (label, value))
    return value.new_zeros(*label.shape, num_classes).scatter(-1, index, value)


def dense_target(pred: Tensor, target: Tensor) -> Tensor:
    """``target`` in the shape of ``pred``: labels become one-hot float32, a dense target is returned unchanged."""
    if target.ndim == pred.ndim:
        return target
    return placed(torch.ones_like(target, dtype=torch.float32), target, pred.shape[-1])


def binary_parts(pred: Tensor, activated: bool, floor: float | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``p``, ``1 - p`` and the logarithms of both, all with finite gradients.

    Args:
        pred: Logits, or probabilities where ``activated``.
        activated: Whether ``pred`` holds probabilities.
        floor: Probabilities are clamped to this before the logarithm; the smallest normal number by default.
    """
    if not activated:
        return torch.sigmoid(pred), torch.sigmoid(-pred), F.logsigmoid(pred), F.logsigmoid(-pred)
    floor = torch.finfo(pred.dtype).tiny if floor is None else floor
    rest = 1 - pred
    return pred, rest, *(torch.threshold(prob, floor, floor).log() for prob in (pred, rest))


def binary_cross_entropy_of_probability(prob: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of probabilities, with finite value and gradient for probabilities 0 and 1."""
    _, _, log_prob, log_rest = binary_parts(prob, activated=True)
    return -(target * log_prob + (1 - target) * log_rest)


def modulate(error: Tensor, power: float) -> Tensor:
    """``error**power``, with gradient 0, and not infinity or NaN, where ``error`` is 0 and ``power`` below 1."""
    return error.clamp(min=torch.finfo(error.dtype).tiny) ** power if power < 1 else error**power


def modulate_distance(difference: Tensor, power: float) -> Tensor:
    """``modulate(|difference|, power)``."""
    return difference.square() if power == 2 else modulate(difference.abs(), power)


def softmax_cross_entropy(
    pred: Tensor,
    target: Tensor,
    *,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy, see :class:`~mmdet_losses.CrossEntropyLoss`.

    Args:
        pred: Logits, ``(n, c)`` or ``(n, c, *)``.
        target: Labels, ``(n,)`` or ``(n, *)``, or probabilities in the shape of ``pred``.
        class_weight: ``(c,)``.
        ignore_index: Label of rows that are ignored.
        label_smoothing: Share of the target spread evenly over the classes.

    Returns:
        Tensor of the shape of the labels, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.cpp: softmax
    # also written in kernels/cpp/cuda/rows.h: Softmax
    (pred,) = upcast(pred)
    if target.is_floating_point():
        target = target.to(pred.dtype)
        if label_smoothing:
            # smoothed here as torch would; inside F.cross_entropy, torch 2.4 compiles for one number of rows
            target = target * (1 - label_smoothing) + label_smoothing / max(pred.shape[1], 1)
            label_smoothing = 0.0
    elif target.dtype is not torch.int64:
        target = target.long()
    class_weight = None if class_weight is None else class_weight.to(pred)
    return F.cross_entropy(
        pred,
        target,
        class_weight,
        reduction="none",
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )


def sigmoid_cross_entropy(
    pred: Tensor,
    target: Tensor,
    *,
    class_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    smoothing_mode: str = "binary",
) -> Tensor:
    """Binary cross-entropy of logits, see :class:`~mmdet_losses.CrossEntropyLoss`.

    Args:
        pred: Logits, ``(n, c)`` or any shape.
        target: Labels, one axis less than ``pred``, or dense in the shape of ``pred``.
        class_weight: Weight of the positive term of each class, ``(c,)``, as in MMDetection.
        label_smoothing: ``e`` of the smoothed target.
        smoothing_mode: ``'binary'`` makes the target ``(1 - e) y + e / 2``, ``'uniform'`` ``(1 - e) y + e / c``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.h: CrossEntropy
    pred, target = upcast(pred, dense_target(pred, target))
    if label_smoothing:
        check_choice("sigmoid_cross_entropy", "smoothing_mode", smoothing_mode, ("binary", "uniform"))
        floor = label_smoothing / (2 if smoothing_mode == "binary" else max(pred.shape[-1], 1))
        target = (1 - label_smoothing) * target + floor
    if class_weight is None and is_compiling():
        return logistic(pred, target)[2]
    class_weight = None if class_weight is None else class_weight.to(pred)
    return F.binary_cross_entropy_with_logits(pred, target, pos_weight=class_weight, reduction="none")


def sigmoid_focal_loss(
    pred: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | Tensor | None = 0.25,
    activated: bool = False,
    epsilon: float = 0.0,
    weigh_poly: bool = False,
) -> Tensor:
    """Focal loss of independent sigmoids, see :class:`~mmdet_losses.FocalLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)`` or any shape.
        target: Labels, one axis less than ``pred``, or one-hot in the shape of ``pred``.
        gamma: Power of the modulating factor.
        alpha: Weight of the positives, with ``1 - alpha`` for the negatives; ``(c,)`` for one per class.
        activated: Whether ``pred`` holds probabilities.
        epsilon: Coefficient of the poly-1 term, see :class:`~mmdet_losses.Poly1FocalLoss`.
        weigh_poly: Whether ``alpha`` weights that term too.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.h: HardFocal, SoftFocal
    pred, target = upcast(pred, dense_target(pred, target))
    if activated:
        error = (1 - pred) * target + pred * (1 - target)
        loss = binary_cross_entropy_of_probability(pred, target)
    else:
        prob, rest, loss = logistic(pred, target, rest=True)
        error = torch.lerp(prob, rest, target)
    if isinstance(alpha, Tensor):
        alpha = alpha.to(pred)
    weight = 1.0 if alpha is None else (1 - alpha) + (2 * alpha - 1) * target
    loss = weight * modulate(error, gamma) * loss
    if epsilon:
        loss = loss + epsilon * (weight if weigh_poly else 1.0) * modulate(error, gamma + 1)
    return loss


def softmax_focal_loss(
    pred: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | Tensor | None = 0.25,
    activated: bool = False,
    epsilon: float = 0.0,
    weigh_poly: bool = False,
) -> Tensor:
    """Focal loss of a softmax over the classes, see :class:`~mmdet_losses.FocalLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(*, c)``.
        target: Labels ``(*,)`` from 0 to ``c - 1``, or probabilities in the shape of ``pred``.
        gamma: Power of the modulating factor.
        alpha: Weight of every row, or ``(c,)`` for one per class.
        activated: Whether ``pred`` holds probabilities.
        epsilon: Coefficient of the poly-1 term, see :class:`~mmdet_losses.Poly1FocalLoss`.
        weigh_poly: Whether ``alpha`` weights that term too.

    Returns:
        Tensor ``(*,)``, float32 (float64 where an input is).
    """
    share: float | Tensor = 1.0
    weight: float | Tensor = 1.0 if alpha is None else alpha
    label = target.unsqueeze(-1).long() if target.ndim < pred.ndim else None
    if label is None:
        pred, share = upcast(pred, target)
    else:
        (pred,) = upcast(pred)
        weight = weight[label] if isinstance(weight, Tensor) else weight
    scores = pred if activated else pred.log_softmax(-1)
    if label is not None:
        scores = scores.gather(-1, label)
    log_prob = scores.clamp(min=torch.finfo(pred.dtype).tiny).log() if activated else scores
    error = 1 - scores if activated else -scores.expm1()
    if isinstance(weight, Tensor):
        weight = weight.to(pred)
    loss = share * weight * modulate(error, gamma) * -log_prob
    if epsilon:
        loss = loss + epsilon * share * (weight if weigh_poly else 1.0) * modulate(error, gamma + 1)
    return loss.sum(-1)


def quality_focal_loss(
    pred: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    score: Tensor | None = None,
    *,
    beta: float = 2.0,
    activated: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Quality focal loss, see :class:`~mmdet_losses.QualityFocalLoss`: :func:`quality_focal_terms` summed per row."""
    return quality_focal_terms(pred, target, score, beta=beta, activated=activated, class_weight=class_weight).sum(-1)


def quality_focal_terms(
    pred: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    score: Tensor | None = None,
    *,
    beta: float = 2.0,
    activated: bool = False,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Quality focal loss per class, before the sum over the classes.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)``.
        target: ``(label, score)``, both ``(n,)``, or dense qualities in the shape of ``pred``.
        score: The score, where ``target`` is the label alone.
        beta: Power of the modulating factor.
        activated: Whether ``pred`` holds probabilities.
        class_weight: ``(c,)``.

    Returns:
        Tensor ``(n, c)``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.h: Quality
    if isinstance(target, tuple):
        target, score = target
    if score is not None:
        target = placed(score, target, pred.shape[-1])
    pred, target = upcast(pred, target)
    if activated:
        prob, loss = pred, binary_cross_entropy_of_probability(pred, target)
    else:
        prob, _, loss = logistic(pred, target)
    loss = modulate_distance(target - prob, beta) * loss
    return loss if class_weight is None else class_weight.to(loss) * loss


def varifocal_loss(
    pred: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.75,
    gamma: float = 2.0,
    iou_weighted: bool = True,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Varifocal loss, see :class:`~mmdet_losses.VarifocalLoss`.

    Args:
        pred: Logits, ``(n, c)`` or any shape.
        target: Qualities in the shape of ``pred``, 0 for negatives.
        alpha: Weight of negatives.
        gamma: Power of the modulating factor of negatives.
        iou_weighted: Whether positives are weighted by their quality.
        class_weight: ``(c,)``.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    # also written in kernels/cpp/logits.h: Varifocal
    pred, target = upcast(pred, target)
    prob, _, loss = logistic(pred, target)
    positive = target if iou_weighted else torch.ones_like(target)
    negative = alpha * modulate_distance(prob - target, gamma)
    loss = torch.where(target > 0, positive, negative) * loss
    return loss if class_weight is None else class_weight.to(loss) * loss


def gaussian_focal_loss(
    pred: Tensor,
    target: Tensor,
    positive: Tensor | None = None,
    *,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
    activated: bool = True,
) -> Tensor:
    """Focal loss of a Gaussian heat map, see :class:`~mmdet_losses.GaussianFocalLoss`.

    Args:
        pred: Probabilities, or logits unless ``activated``, any shape.
        target: Heat map in the shape of ``pred``, or labels, one axis less.
        positive: Number of positives per place, in the shape of ``pred``; by default 1 where ``target`` is exactly 1.
        alpha: Power of the error.
        gamma: Power of the distance of the target from 1, for negatives.
        pos_weight: Weight of the positives.
        neg_weight: Weight of the negatives.
        activated: Whether ``pred`` holds probabilities.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, dense_target(pred, target))
    positive = (target == 1 if positive is None else positive).to(pred.dtype)
    prob, rest, log_prob, log_rest = binary_parts(pred, activated, floor=1e-12)
    if pos_weight != 1:
        positive = pos_weight * positive
    negative = modulate(1 - target, gamma)
    if neg_weight != 1:
        negative = neg_weight * negative
    hits = positive * modulate(rest, alpha) * log_prob
    return -(hits + negative * modulate(prob, alpha) * log_rest)


def asymmetric_loss(
    pred: Tensor,
    target: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    activated: bool = False,
    detach_focus: bool = False,
) -> Tensor:
    """Asymmetric loss, see :class:`~mmdet_losses.AsymmetricLoss`.

    Args:
        pred: Logits, or probabilities where ``activated``, ``(n, c)`` or any shape.
        target: Labels, one axis less than ``pred``, or dense in the shape of ``pred``.
        gamma_neg: Power of the modulating factor of negatives.
        gamma_pos: Power of the modulating factor of positives.
        clip: Margin subtracted from the probability of negatives.
        activated: Whether ``pred`` holds probabilities.
        detach_focus: Whether the modulating factors are detached.

    Returns:
        Tensor of the shape of ``pred``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, dense_target(pred, target))
    prob, rest, log_prob, log_rest = binary_parts(pred, activated)
    if clip:
        prob, log_rest = (prob - clip).clamp(min=0), (rest + clip).clamp(max=1).log()
    positive, negative = modulate(rest, gamma_pos), modulate(prob, gamma_neg)
    if detach_focus:
        positive, negative = positive.detach(), negative.detach()
    return -(target * positive * log_prob + (1 - target) * negative * log_rest)
