"""Figures of the losses in one iteration: computed where the tensors are, and read in one transfer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..functional import box_pair
from ..functional.dtype import upcast
from ..functional.rotated_overlap import rotated_iou
from ..modules import ClassificationLoss, Loss, SumLoss
from ..modules.look import count as count_no_boxes
from .positives import Measured, of_positives
from .rows import arguments, reduction_of, row_weight

BAD, WEIGHTED, NORM = "bad targets", "weighted targets", "gradient"


class Figures:
    """Sums over the calls of each loss in an iteration.

    Args:
        losses: The losses by name.
        scale: What the gradients are multiplied by, of a scaler and of accumulation.
        may_skip: Whether there is a scaler, which skips a step whose gradients overflow.
    """

    def __init__(self, losses: Mapping[str, Loss], scale: float | Tensor = 1.0, may_skip: bool = False) -> None:
        self.losses = losses
        self.scale, self.may_skip = scale, may_skip
        self.sums: dict[tuple[str, str], tuple[Any, Any]] = {}
        self.norms: dict[str, list[Tensor]] = {}
        self.values: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, name: str, loss: Loss, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> None:
        """Add a call."""
        if isinstance(value, Tensor):
            total = value.detach().sum()
            self.values[name] = self.values[name] + total if name in self.values else total
        pred, target, weight = arguments(loss, args, kwargs)
        if not isinstance(pred, Tensor) or not pred.numel():
            return
        counting = row_weight(loss, pred, weight)
        if counting is not None:
            self.count(name, "weighted", (counting.sum(), counting.numel()))
        if weight is None and reduction_of(loss, args, kwargs) == "none" and loss.boxes:
            return  # the caller may mask the result
        for figure, found in measured(loss, pred, target, counting, weight).items():
            self.count(name, figure, found)

    def count(self, name: str, figure: str, found: Measured) -> None:
        """Add to numerator and denominator of a figure."""
        before = self.sums.get((name, figure), (0, 0))
        self.sums[name, figure] = (before[0] + found[0], before[1] + found[1])

    def add_gradient(self, name: str, gradient: Tensor) -> None:
        """The hook of a prediction's gradient."""
        norm = torch.linalg.vector_norm(gradient.detach(), dtype=torch.promote_types(gradient.dtype, torch.float32))
        self.norms.setdefault(name, []).append(norm)

    @torch.no_grad()
    def read(self) -> dict[tuple[str, str], float]:
        """All figures by loss and name, and the counts of targets that are no boxes; the one transfer.

        Left out are those with nothing to tell: the IoU of no positives, the gradient of a step that a scaler skips.
        """
        pairs = dict(self.sums)
        for name, norms in self.norms.items():
            pairs[name, NORM] = (torch.linalg.vector_norm(torch.stack(norms)), self.scale)
        pairs.update(self.shares())
        tensors = [one for pair in pairs.values() for one in pair if isinstance(one, Tensor)]
        if not tensors:
            return {}
        device = tensors[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        flat = [one.detach().reshape(()).to(device, wide) for one in tensors]
        numbers = iter(torch.stack(flat).tolist())
        read = {key: tuple(next(numbers) if isinstance(x, Tensor) else x for x in pair) for key, pair in pairs.items()}
        found = {}
        for (name, figure), (above, below) in read.items():
            if figure == BAD:
                found[name, BAD], found[name, WEIGHTED] = above, below
            elif below and (figure != NORM or math.isfinite(above) or not self.may_skip):
                found[name, figure] = above / below
        return found

    def shares(self) -> dict[tuple[str, str], Measured]:
        """What each member has of a sum of losses."""
        found = {}
        for name, loss in self.losses.items():
            if isinstance(loss, SumLoss) and name in self.values:
                for number in range(len(loss.losses)):
                    member = f"{name}.losses.{number}"
                    if member in self.values:
                        found[member, "share"] = (loss.loss_weight * self.values[member], self.values[name])
        return found


def measured(
    loss: Loss, pred: Tensor, target: Any, counting: Tensor | None, weight: Tensor | None
) -> dict[str, Measured]:
    """What is measured of the positives of a call, by the kind of the loss."""
    if loss.boxes and isinstance(target, Tensor) and target.shape == pred.shape and counting is not None:
        pred, target = upcast(pred.detach(), target)
        _, weighted, bad = count_no_boxes(target, None if weight is None else counting)
        return {
            "iou": summed(box_pair(pred.reshape(-1, 4), target.reshape(-1, 4)).iou, counting),
            BAD: (bad, weighted),
        }
    if loss.slot == "rbox" and isinstance(target, Tensor) and counting is not None:
        pred, target = upcast(pred.detach(), target)
        return {"iou": summed(rotated_iou(pred.reshape(-1, 5), target.reshape(-1, 5)), counting)}
    if isinstance(loss, ClassificationLoss):
        return of_positives(loss, pred.detach(), target, counting, weight)
    return {}


def summed(values: Tensor, mask: Tensor) -> Measured:
    """Sum and number of the values that a mask names."""
    return torch.where(mask, values, 0.0).sum(), mask.sum()
