"""A weighted sum of losses of boxes, in one slot of a head."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import Unpack

from ...functional.dtype import upcast
from ..base import Loss, published
from ..building import build_loss
from ..declared import Check, Option, keep_options
from ..errors import OptionError
from ..facts import Fact, fact
from ..options import Shared

__all__ = ["SumLoss"]


LISTED = Check(
    lambda losses: not isinstance(losses, (str, Mapping)) and isinstance(losses, Iterable) and len(losses) > 0,
    "a list of one loss or more, losses=[dict(type=...), ...]",
)


def build_members(losses: Iterable[Mapping[str, Any] | str | Loss]) -> nn.ModuleList:
    """The members of a sum from their configs.

    Raises:
        ValueError: For what is no loss of boxes or coordinates, and for a mixture of the two.
    """
    members = [build_loss("losses", loss, ("bbox",)) for loss in losses]
    if len({loss.boxes for loss in members}) > 1:
        boxes, coordinates = (
            ", ".join(type(loss).__name__ for loss in members if loss.boxes is kind) for kind in (True, False)
        )
        raise OptionError(
            "losses must all be of decoded boxes or all of coordinates, since they get the same input, got "
            f"{boxes} of boxes and {coordinates} of coordinates."
        )
    return nn.ModuleList(members)


@published()
class SumLoss(Loss):
    """Weighted sum of losses of boxes, ``sum_k w_k L_k``: one tensor for a slot that takes one loss.

    Every member gets the same arguments and has its own ``loss_weight``; their reduction is that of the sum. All have
    to want the same: decoded boxes (IoU-type losses, NWD, ...) or coordinates (L1, ...). A member keeps its statistics,
    its kernels and its name: a hook on ``losses[k]`` sees its share.

    Shapes and units: those of the members; with ``'none'`` they have to give the same shape, which the losses of one
    value per box, ``(n,)``, and those with one per coordinate, ``(n, 4)``, do not.

    mmdet does not have it. Sums of CIoU and NWD are used for small objects (``iou_ratio`` of YOLO collections).

    Args:
        losses: The members, as configs ``dict(type=..., loss_weight=...)``, names or modules.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the sum.
        debug: Names the first row with a value that is not finite, in each member.

    Example:
        >>> import torch
        >>> from mmdet_losses import SumLoss
        >>> loss = SumLoss([dict(type="CIoULoss", loss_weight=0.5), dict(type="NWDLoss", loss_weight=0.5)])
        >>> loss(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(0.6964)
    """

    fusible = False
    slot = "bbox"
    boxes = fact(True, lambda loss: any(part.boxes for part in loss.members()))
    bounds = fact((0.0, math.inf), lambda loss: loss.summed_bounds())
    best = fact(0.0, lambda loss: loss.summed_best())
    scale_invariant = fact(False, lambda loss: all(part.scale_invariant for part in loss.losses))
    symmetric = fact(True, lambda loss: all(part.symmetric for part in loss.losses))
    unit = Fact(lambda cls: "pixels", lambda loss: next((part.unit for part in loss.losses if part.unit), ""))

    rules: ClassVar = {"losses": Option(check=LISTED, convert=build_members)}

    def __init__(
        self,
        losses: Sequence[Mapping[str, Any] | str | Loss] = (),
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight)
        keep_options(self, {"losses": losses, **shared})

    def members(self) -> Iterable[Loss]:
        """The losses, none while the sum is built."""
        return self._modules.get("losses", ())

    @property
    def fused(self) -> bool:
        """Whether all members that have kernels use them; setting it sets theirs."""
        return all(loss.fused for loss in self.members() if loss.fusible)

    @fused.setter
    def fused(self, value: bool) -> None:
        for loss in self.members():
            if loss.fusible or not value:
                loss.fused = value

    @property
    def debug(self) -> bool:
        """Whether all members check values; setting it sets theirs."""
        return all(loss.debug for loss in self.members())

    @debug.setter
    def debug(self, value: bool) -> None:
        for loss in self.members():
            loss.debug = value

    def forward(
        self,
        pred: Tensor,
        target: Any,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`."""
        self.resolve_reduction(reduction_override, avg_factor)
        if all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in (pred, target)):
            # Once for all members, whose gradients would else be added in half precision.
            pred, target = upcast(pred, target)
        parts = []
        for loss in self.losses:
            own = None if loss.reduction == self.reduction else self.reduction
            parts.append(loss(pred, target, weight, avg_factor, reduction_override or own))
        if any(part.shape != parts[0].shape for part in parts):
            shapes = ", ".join(
                f"{type(loss).__name__} {tuple(part.shape)}" for loss, part in zip(self.losses, parts, strict=True)
            )
            raise ValueError(
                f"reduction must be 'mean' or 'sum' where unreduced losses differ in shape, got 'none' with {shapes}."
            )
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total if self.loss_weight == 1 else self.loss_weight * total

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        for loss in self.losses:
            if loss.observes:
                loss.observe(pred, target, weight)

    def summed_bounds(self) -> tuple[float, float]:
        """The sum of the members' bounds."""
        low, high = zip(*(loss.bounds for loss in self.losses), strict=True)
        weights = [loss.loss_weight for loss in self.losses]
        return tuple(sum(w * bound for w, bound in zip(weights, side, strict=True)) for side in (low, high))

    def summed_best(self) -> float | None:
        """The sum of what a perfect match costs; None where the target decides."""
        best = [loss.best for loss in self.losses]
        return None if None in best else sum(w.loss_weight * b for w, b in zip(self.losses, best, strict=True))
