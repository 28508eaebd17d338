"""Checks of what a loss is called with, and the forms of a weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional.reduce import match_rank
from .errors import WeightError


def check_target(target: Any) -> None:
    """Raise for a target that is no tensor."""
    if not isinstance(target, Tensor):
        raise ValueError(f"target must be a tensor, got {type(target).__name__}.")


def check_same_shape(pred: Tensor, target: Any) -> None:
    """Raise for a target that is no tensor of the prediction's shape."""
    check_target(target)
    if target.shape != pred.shape:
        raise ValueError(f"target must have the shape of pred, {tuple(pred.shape)}, got {tuple(target.shape)}.")


def check_boxes(pred: Tensor, target: Any) -> None:
    """Raise for anything but two tensors of boxes of the same shape."""
    if pred.ndim == 0 or pred.shape[-1] != 4:
        raise ValueError(
            f"pred must hold boxes (x1, y1, x2, y2) in its last axis, shape (n, 4), got {tuple(pred.shape)}."
        )
    check_same_shape(pred, target)


def check_rows(name: str, tensor: Tensor, good: Tensor, weight: Tensor | None, expected: str) -> None:
    """Raise for the first row of ``tensor`` that is not good and whose weight is not 0. Reads values back."""
    bad = ~good if weight is None else ~good & ~match_rank(weight == 0, good.ndim)
    rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    if rows.any():
        row = int(rows.nonzero()[0])
        raise ValueError(f"{name} must hold {expected}, got {tensor[row].tolist()} in row {row}.")


def check_weight(weight: Any) -> None:
    """Raise for a weight that is no tensor."""
    if not isinstance(weight, Tensor):
        raise ValueError(f"weight must be a tensor or None, got {type(weight).__name__}.")


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
    raise WeightError(f"weight must have shape {' or '.join(map(str, forms))}, got {tuple(weight.shape)}.")


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


def check_labels(name: str, label: Any, shape: torch.Size) -> None:
    """Raise for anything but integer labels of ``shape``."""
    if not isinstance(label, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(label).__name__}.")
    if label.is_floating_point():
        raise ValueError(f"{name} must hold integer labels, got {label.dtype}: convert it with .long().")
    if label.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(label.shape)}.")


def check_labels_or_dense(pred: Tensor, target: Any) -> None:
    """Raise for anything but labels, one axis less than ``pred``, or a dense target of its shape."""
    if isinstance(target, Tensor) and target.ndim == pred.ndim - 1:
        check_labels("target", target, pred.shape[:-1])
    else:
        check_same_shape(pred, target)


def either(weight: Tensor | None, label_weight: Tensor | None) -> Tensor | None:
    """The weight under whichever of its two names it was passed."""
    if weight is not None and label_weight is not None:
        raise ValueError("weight and label_weight are two names of one argument, got both: leave one out.")
    return label_weight if weight is None else weight
