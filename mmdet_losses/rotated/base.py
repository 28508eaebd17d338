"""The contract of losses of rotated boxes."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ..functional.reduce import mean_of_columns
from ..modules.base import Loss
from ..modules.facts import Fact
from ..modules.inputs import check_same_shape, row_weight

__all__ = ["RotatedBoxLoss"]

COLUMNS = 5


def unit_of_rotated(loss: Any) -> str:
    """Pixels for a loss that scaling changes."""
    return "" if loss.scale_invariant else "pixels"


def check_rotated(pred: Tensor, target: Any) -> None:
    """Raise for anything but two tensors of rotated boxes of the same shape."""
    if pred.ndim == 0 or pred.shape[-1] != COLUMNS:
        hint = ": for boxes (x1, y1, x2, y2) choose a loss such as GIoULoss" if pred.shape[-1:] == (4,) else ""
        raise ValueError(
            "pred must hold rotated boxes (cx, cy, w, h, angle) in its last axis, shape (n, 5), got "
            f"{tuple(pred.shape)}{hint}."
        )
    check_same_shape(pred, target)


class RotatedBoxLoss(Loss):
    """Base of losses of one value per pair of rotated boxes.

    ``pred`` and ``target`` are boxes ``(cx, cy, w, h, angle)`` of shape ``(n, 5)`` (or ``(*, 5)``), decoded and not
    deltas, in any unit, the angle in radians: that of the width against the x axis, towards the y axis, which is
    clockwise in an image. Any angle will do, and any convention (le90, le135, oc): boxes that are the same cost the
    same. The weight is ``(n,)``, ``(n, 1)`` or ``(n, 5)``, whose mean over the last axis counts. A side below 0 counts
    as 0.
    """

    slot = "rbox"
    values = "rows"
    scale_invariant = True
    symmetric = True
    unit: ClassVar[str] = Fact(unit_of_rotated, unit_of_rotated)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        check_rotated(pred, target)
        weight = row_weight(weight, pred.shape[:-1], last=COLUMNS)
        if pred.ndim != 2:
            pred, target = pred.reshape(-1, COLUMNS), target.reshape(-1, COLUMNS)
        return (pred, target), weight

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss.reshape(pred.shape[:-1])

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, None if weight is None else mean_of_columns(weight))
