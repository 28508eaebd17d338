"""The bases of classification losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..base import Loss
from ..inputs import as_labels_or_dense, check_rows, element_weight
from ..options import check_option

__all__ = ["ClassificationLoss"]


class ClassificationLoss(Loss):
    """Base of classification losses."""

    slot = "cls"
    use_sigmoid: bool = True

    def check_sigmoid(self, use_sigmoid: bool) -> None:
        """Raise for a softmax form that does not exist."""
        check_option("use_sigmoid", use_sigmoid, use_sigmoid is True, f"True for {type(self).__name__}")

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

    def keep_per_class(self, values: Sequence[float] | Tensor | None) -> None:
        """Keep an option with one value per class in the buffer ``per_class``.

        It stands beside the option, so that a GPU need not be waited for in each call, and is no state.
        """
        per_class = None if values is None else torch.as_tensor(values, dtype=torch.float32)
        self.register_buffer("per_class", per_class, persistent=False)

    def check_per_class(self, name: str, pred: Tensor) -> None:
        """Raise for an option with one value per class that does not fit the prediction."""
        if self.per_class is not None and (pred.ndim < 2 or pred.shape[-1] != len(self.per_class)):
            raise ValueError(
                f"{name} has {len(self.per_class)} entries, so pred must have shape (*, {len(self.per_class)}), "
                f"got {tuple(pred.shape)}."
            )


class FocalForm(ClassificationLoss):
    """Base of losses that take labels or a dense target, and weights per row, per element or flattened."""

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        target = as_labels_or_dense(pred, target)
        if isinstance(weight, Tensor) and weight.ndim == 1 and weight.numel() == pred.numel():
            weight = weight.reshape(pred.shape)
        return (pred, target), element_weight(weight, pred)
