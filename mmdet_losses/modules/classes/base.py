"""The bases of classification losses."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ..base import Loss
from ..inputs import as_labels_or_dense, check_rows, element_weight
from .per_class import numbers_beside

__all__ = ["ClassificationLoss"]


class ClassificationLoss(Loss):
    """Base of classification losses."""

    slot = "cls"
    use_sigmoid: bool = True
    per_class: ClassVar[tuple[str, ...]] = ()
    """Options with one number per class."""

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, *targets = inputs
        if targets and targets[0].ndim < pred.ndim:
            target = targets[0]
            last = self.last_label(pred)
            good = (target >= 0) & (target <= last)
            expected = f"labels from 0 to {last}" + (", which is background" if self.use_sigmoid else "")
            check_rows(f"{type(self).__name__}: target", target, good, weight, expected)

    def last_label(self, pred: Tensor) -> int:
        """The largest label."""
        return getattr(self, "num_classes", None) or pred.shape[-1]

    def check_per_class(self, pred: Tensor, axis: int = -1, axes: int = 2) -> None:
        """Raise for options with one number per class that do not fit an axis of the prediction."""
        for name in self.per_class:
            values = getattr(self, name)
            if values is None or isinstance(values, (int, float)):
                continue
            if pred.ndim < axes:
                raise ValueError(
                    f"pred must have an axis of classes, as {name} has one entry per class, got {tuple(pred.shape)}."
                )
            if len(values) != pred.shape[axis]:
                raise ValueError(
                    f"{name} must have {pred.shape[axis]} entries, one per class of pred, which has shape "
                    f"{tuple(pred.shape)}, got {len(values)}."
                )

    def arguments_beside(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        arguments = self.arguments()
        for name in self.per_class:
            values = arguments.get(name)
            if values is not None and not isinstance(values, (int, float)):
                arguments[name] = numbers_beside(name, values, inputs)
        return arguments


class FocalForm(ClassificationLoss):
    """Base of losses that take labels or a dense target, and weights per row, per element or flattened."""

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        target = as_labels_or_dense(pred, target)
        if isinstance(weight, Tensor) and weight.ndim == 1 and weight.numel() == pred.numel():
            weight = weight.reshape(pred.shape)
        return (pred, target), element_weight(weight, pred)
