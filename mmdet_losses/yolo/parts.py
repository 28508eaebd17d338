"""Losses inside an objective: summed over the rows that count."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..functional.reduce import may_select
from ..modules.base import Loss
from ..modules.state import Stateful
from .base import CompositeLoss
from .decode import Predictions
from .encode import DenseTarget


def is_stateful(module: nn.Module) -> bool:
    """Whether a loss, or a module inside it, keeps statistics."""
    return any(isinstance(part, Stateful) for part in module.modules())


def summed_loss(loss: Loss, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of a loss over the rows of each image: ``(B, N, *)`` and ``(B, N)`` to ``(B,)``.

    Nearly all rows have weight 0. On a CPU the others are selected; elsewhere, where that would synchronise, the loss
    masks them.
    """
    if may_select(pred):
        image, row = (weight != 0).nonzero(as_tuple=True)
        values = row_values(loss, pred[image, row], target[image, row], weight[image, row])
        return values.new_zeros(len(weight)).index_add(0, image, values)
    values = row_values(loss, pred.flatten(0, 1), target.flatten(0, 1), weight.flatten())
    return values.reshape(weight.shape).sum(1)


def row_values(loss: Loss, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted loss of each row, ``(n,)``, summed where a row has several values."""
    values = loss(pred, target, weight, reduction_override="none")
    return values.flatten(1).sum(1) if values.ndim > 1 else values


class BoxObjective(CompositeLoss):
    """Base of the objectives that hold a loss of boxes, and gather its statistics if it keeps any."""

    loss_box: Loss

    def prepare(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Predictions, DenseTarget]:
        """Predictions and their targets."""
        raise NotImplementedError

    def pairs(self, found: Predictions, target: DenseTarget) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the box loss: predictions, targets and weights, ``(B, K, 4)`` twice and ``(B, K)``."""
        raise NotImplementedError

    def box_pairs(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Tensor, Tensor, Tensor]:
        """The :meth:`pairs` of a batch."""
        return self.pairs(*self.prepare(maps, target))

    @property
    def observes(self) -> bool:
        return is_stateful(self.loss_box)

    def observe(self, pred: Sequence[Tensor], target: Tensor | DenseTarget, weight: Tensor | None) -> None:
        boxes, truths, share = self.box_pairs(pred, target)
        if weight is not None:
            share = share * weight.unsqueeze(-1).to(share.dtype)
        self.loss_box.observe(boxes.flatten(0, 1), truths.flatten(0, 1), share.flatten())
