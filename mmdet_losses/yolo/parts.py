"""Losses inside an objective: built from their configs, summed over the rows that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..functional.reduce import blank, may_select
from ..modules.base import CATALOGUE, Loss
from ..modules.errors import OptionError
from ..modules.state import Stateful
from .base import CompositeLoss
from .encode import DenseTarget


def build_loss(option: str, loss: Any, slots: Sequence[str]) -> Loss:
    """A loss from its config ``dict(type=...)``, its name or as a module; the objective weighs and reduces it."""
    if isinstance(loss, str):
        loss = {"type": loss}
    if isinstance(loss, Mapping):
        options = dict(loss)
        kind = options.pop("type", None)
        kind = CATALOGUE.get(kind.rpartition(".")[2]) if isinstance(kind, str) else kind
        if kind is not None and "reduction" in options:
            raise OptionError(f"{option} must leave out reduction, which the objective sets, got {loss!r}.")
        loss = kind(**options) if isinstance(kind, type) and issubclass(kind, Loss) else loss
    if not isinstance(loss, Loss) or loss.slot not in slots:
        raise OptionError(
            f"{option} must be a loss of slot {' or '.join(map(repr, slots))}, as dict(type=...), name or module, "
            f"got {loss!r}."
        )
    return loss


def is_stateful(module: nn.Module) -> bool:
    """Whether a loss keeps statistics, itself or in what it holds."""
    return any(isinstance(part, Stateful) for part in module.modules())


def summed_loss(loss: Loss, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of a loss over the rows of each image: ``(B, N, *)`` and ``(B, N)`` to ``(B,)``.

    On a CPU the rows of a weight other than 0 are picked, since nearly all have weight 0; elsewhere the loss deletes
    them without waiting for the device.
    """
    if may_select(pred):
        image, row = (weight != 0).nonzero(as_tuple=True)
        values = loss(pred[image, row], target[image, row], weight[image, row], reduction_override="none")
        values = values.flatten(1).sum(1) if values.ndim > 1 else values
        return values.new_zeros(len(weight)).index_add(0, image, values)
    values = loss(pred.flatten(0, 1), target.flatten(0, 1), weight.flatten(), reduction_override="none")
    values = values.flatten(1).sum(1) if values.ndim > 1 else values
    return values.reshape(weight.shape).sum(1)


class BoxObjective(CompositeLoss):
    """Base of the objectives with a loss of boxes, whose statistics, if it keeps any, are gathered."""

    loss_box: Loss

    def box_pairs(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Tensor, Tensor, Tensor]:
        """What the box loss gets: predictions, targets and weights, ``(B, K, 4)`` twice and ``(B, K)``."""
        raise NotImplementedError

    @property
    def observes(self) -> bool:
        return is_stateful(self.loss_box)

    def observe(self, pred: Sequence[Tensor], target: Tensor | DenseTarget, weight: Tensor | None) -> None:
        maps, parts = self.split_inputs(pred, target)
        inputs = [*maps, *parts]
        if weight is not None:
            inputs = [blank(tensor, weight == 0) for tensor in inputs]
        boxes, truths, share = self.box_pairs(*self.join_inputs(inputs, len(maps), isinstance(target, DenseTarget)))
        if weight is not None:
            share = share * weight.unsqueeze(-1).to(share.dtype)
        self.loss_box.observe(boxes.flatten(0, 1), truths.flatten(0, 1), share.flatten())
