"""Losses inside an objective: built from their configs, summed over the rows that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..functional.reduce import may_select
from ..modules.base import CATALOGUE, Loss
from ..modules.errors import OptionError
from ..modules.named import named
from ..modules.state import Stateful
from .base import CompositeLoss
from .decode import Predictions
from .encode import DenseTarget


def build_loss(option: str, loss: Any, slots: Sequence[str]) -> Loss:
    """A loss from its config ``dict(type=...)``, its name or as a module; the objective weights and reduces it."""
    if isinstance(loss, str):
        loss = {"type": loss}
    if isinstance(loss, Mapping):
        options = dict(loss)
        kind = options.pop("type", None)
        kind = named(kind, CATALOGUE)
        if kind is not None and "reduction" in options:
            raise OptionError(f"{option} must leave out reduction, which the objective sets, got {loss!r}.")
        loss = kind(**options) if kind is not None and issubclass(kind, Loss) else loss
    if not isinstance(loss, Loss) or loss.slot not in slots:
        raise OptionError(
            f"{option} must be a loss of slot {' or '.join(map(repr, slots))}, as dict(type=...), name or module, "
            f"got {loss!r}."
        )
    return loss


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
