"""Checks of what a loss is called with, and the forms of a weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional.reduce import match_rank


def kind_of(value: Any) -> str:
    """What came in the place of a tensor, with what to pass instead where it holds one, as MMDetection's boxes do."""
    held = isinstance(getattr(value, "tensor", None), Tensor)
    return type(value).__name__ + (": pass its .tensor" if held else "")


def check_target(target: Any) -> None:
    """Raise for a target that is no real tensor."""
    if not isinstance(target, Tensor):
        raise ValueError(f"target must be a tensor, got {kind_of(target)}.")
    if target.is_complex():
        raise ValueError(f"target must be a tensor of real numbers, got {target.dtype}.")


def check_same_shape(pred: Tensor, target: Any) -> None:
    """Raise for a target that is no tensor of the prediction's shape."""
    check_target(target)
    if target.shape != pred.shape:
        raise ValueError(
            f"target must have the shape of pred, {tuple(pred.shape)}, got {tuple(target.shape)}"
            f"{another_purpose(pred, target)}."
        )


def another_purpose(pred: Tensor, target: Tensor) -> str:
    """What a target of another shape was probably meant for."""
    if target.ndim == pred.ndim - 1 and not target.is_floating_point():
        return (
            f" of {target.dtype}, as labels have: in the slot of a classification, loss_cls, write a classification "
            "loss such as FocalLoss or CrossEntropyLoss"
        )
    if target.ndim == pred.ndim and target.shape[1:] == pred.shape[1:]:
        return ": losses take matched pairs, row i of pred with row i of target, and not all pairs"
    return ""


def check_boxes(pred: Tensor, target: Any) -> None:
    """Raise for anything but two tensors of boxes of the same shape."""
    if pred.ndim == 0 or pred.shape[-1] != 4:
        hint = another_purpose(pred, target) if isinstance(target, Tensor) and target.shape != pred.shape else ""
        raise ValueError(
            f"pred must hold boxes (x1, y1, x2, y2) in its last axis, shape (n, 4), got {tuple(pred.shape)}"
            f"{hint and f', and target {tuple(target.shape)}{hint}'}."
        )
    check_same_shape(pred, target)


def first_row(bad: Tensor, weight: Tensor | None) -> int | None:
    """The first row that holds something bad and whose weight is not 0; None where there is none. Reads values back."""
    bad = bad if weight is None else bad & ~match_rank(weight == 0, bad.ndim)
    rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    return int(rows.nonzero()[0]) if rows.any() else None


def check_rows(name: str, tensor: Tensor, good: Tensor, weight: Tensor | None, expected: str) -> None:
    """Raise for the first row of ``tensor`` that is not good and whose weight is not 0. Reads values back."""
    row = first_row(~good, weight)
    if row is not None:
        raise ValueError(f"{name} must hold {expected}, got {tensor[row].tolist()} in row {row}.")


def check_corners(name: str, boxes: Tensor, weight: Tensor | None) -> None:
    """Raise for the first box that ends before it begins and whose weight is not 0. Reads values back."""
    inverted = boxes[:, 2:] < boxes[:, :2]
    row = first_row(inverted, weight)
    if row is not None:
        side = "x2 < x1" if inverted[row, 0] else "y2 < y1"
        raise ValueError(
            f"{name} must hold boxes (x1, y1, x2, y2), got {side} in row {row}: boxes are (x1, y1, x2, y2), and "
            f"{boxes[row].tolist()} is none. Boxes (x, y, w, h) and centres with sizes are converted first."
        )


def check_weight(weight: Any) -> None:
    """Raise for a weight that is no tensor."""
    if not isinstance(weight, Tensor):
        raise ValueError(f"weight must be a tensor or None, got {kind_of(weight)}.")


def row_weight(weight: Tensor | None, shape: torch.Size, last: int | None = None) -> Tensor | None:
    """Weight of each row: of ``shape``, or with a last axis of 1 or, for boxes, ``last``, whose mean counts.

    Returns:
        Tensor of one axis, or of two where the last one is still to be averaged.
    """
    if weight is None:
        return None
    check_weight(weight)
    if weight.shape == shape:
        return weight if weight.ndim == 1 else weight.reshape(-1)
    if weight.shape[:-1] == shape and weight.ndim and weight.shape[-1] in (1, last):
        return weight.reshape(-1) if weight.shape[-1] == 1 else weight.reshape(-1, last)
    forms = [tuple(shape), (*shape, 1)] + ([(*shape, last)] if last else [])
    raise ValueError(f"weight must have shape {' or '.join(map(str, forms))}, got {tuple(weight.shape)}.")


def element_weight(weight: Tensor | None, pred: Tensor) -> Tensor | None:
    """Weight of each element: ``(n,)`` for rows, or with pred's rank and each axis equal to pred's or 1.

    Returns:
        Tensor of pred's rank.
    """
    if weight is None:
        return None
    check_weight(weight)
    if weight.shape == pred.shape:
        return weight
    if weight.ndim == 1 and pred.ndim > 1 and weight.shape[0] == pred.shape[0]:
        return weight.reshape(-1, *(1,) * (pred.ndim - 1))
    fits = all(size in (1, full) for size, full in zip(weight.shape, pred.shape, strict=False))
    if weight.ndim != pred.ndim or not fits:
        raise ValueError(
            f"weight must have shape {(pred.shape[0],) if pred.ndim else ()}, or as many axes as pred with each "
            f"equal to pred's or 1; pred has shape {tuple(pred.shape)}, got {tuple(weight.shape)}."
        )
    return weight


def as_labels(name: str, label: Any, shape: torch.Size) -> Tensor:
    """Labels of ``shape`` as int64, in which any number of classes can be counted.

    Raises:
        ValueError: For anything but integer labels of that shape.
    """
    if not isinstance(label, Tensor):
        raise ValueError(f"{name} must be a tensor, got {kind_of(label)}.")
    wide = label.dtype is torch.int64
    if not wide and (label.is_floating_point() or label.is_complex()):
        raise ValueError(f"{name} must hold integer labels, got {label.dtype}: convert it with .long().")
    if label.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(label.shape)}.")
    return label if wide else label.long()


def as_labels_or_dense(pred: Tensor, target: Any) -> Tensor:
    """Labels, one axis less than ``pred``, as int64; or a dense target of its shape as it is.

    Raises:
        ValueError: For anything else.
    """
    if not isinstance(target, Tensor) or target.ndim != pred.ndim - 1:
        check_same_shape(pred, target)
        return target
    check_not_labels(pred, target)
    return as_labels("target", target, pred.shape[:-1])


def check_not_labels(pred: Tensor, target: Tensor) -> None:
    """Raise for a target of floats with an axis less than the prediction, which holds labels or masks."""
    if target.is_floating_point() and target.ndim == pred.ndim - 1:
        raise ValueError(
            f"target must hold integer labels, with an axis less than pred, or one value for each of pred's, "
            f"{tuple(pred.shape)}, got {target.dtype} of shape {tuple(target.shape)}: {float_remedy(pred)}."
        )


def float_remedy(pred: Tensor) -> str:
    """What to do about a target of floats with an axis less than the prediction."""
    if pred.ndim > 2:
        return "masks, with the class of each as third argument, are what CrossEntropyLoss(use_mask=True) takes"
    if pred.shape[-1] == 1:
        return "a value for the one channel is target.unsqueeze(-1), and labels are converted with .long()"
    return "labels are converted with .long()"


def either(weight: Tensor | None, label_weight: Tensor | None) -> Tensor | None:
    """The weight under whichever of its two names it was passed."""
    if weight is not None and label_weight is not None:
        raise ValueError("weight and label_weight are two names of one argument, got both: leave one out.")
    return label_weight if weight is None else weight
