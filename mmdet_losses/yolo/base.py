"""The contract of an objective of several terms: maps and ground truth in, one loss or its named terms out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..functional.dtype import upcast, without_autocast
from ..functional.reduce import drop_junk, match_rank, reduce_loss
from ..modules.base import Loss, check_floating
from ..modules.declared import one_of
from ..modules.inputs import check_rows, row_weight
from .encode import DenseTarget

__all__ = ["CompositeLoss"]

FLAVOR = one_of(("paper", "darknet"))


class Detections(NamedTuple):
    """The ``N`` decoded predictions of each image.

    Attributes:
        boxes: ``(x1, y1, x2, y2)`` in pixels of the input, ``(B, N, 4)``.
        objectness: From 0 to 1, ``(B, N)``.
        scores: Of each class, given an object, from 0 to 1, ``(B, N, C)``.
    """

    boxes: Tensor
    objectness: Tensor
    scores: Tensor


class CompositeLoss(Loss):
    """Base of the objectives of grid detectors.

    ``forward(pred, target, weight=None, avg_factor=None, reduction_override=None, *, return_dict=False)``:

    * ``pred``: the raw map ``(B, channels, H, W)``, or a list with the map of each level;
    * ``target``: padded ground truth ``(B, M, 5)``, boxes ``(x1, y1, x2, y2)`` in pixels of the input and a label, -1
      for an empty entry, or a :class:`~mmdet_losses.yolo.DenseTarget`;
    * ``weight``: of each image, ``(B,)``; an image of weight 0 is masked, whatever it holds;
    * ``'none'`` gives the loss of each image, ``(B,)``, ``'sum'`` their sum, and ``'mean'`` divides it by
      ``avg_factor`` or by the number of images (a mean over elements would have no meaning here);
    * ``return_dict=True`` returns the terms by name instead of their sum, each reduced alike. Every name contains
      ``loss``, so that MMEngine's ``parse_losses`` adds all of them up.

    All targets that depend on the prediction (which box is responsible, which are ignored, an IoU) are detached, as in
    darknet.

    Args:
        reduction: ``'mean'``, ``'sum'`` or ``'none'``, as above.
        loss_weight: Multiplies the loss, and every term.
        debug: Raises for the first image with a value that is not finite.
        fused: Without effect, as there are no kernels of an objective.
    """

    fusible = False

    slot = "composite"
    best = None

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms, in the order of ``return_dict``."""
        raise NotImplementedError

    @property
    def terms(self) -> tuple[str, ...]:
        """An older name of :attr:`term_names`."""
        return self.term_names

    def compute(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> dict[str, Tensor]:
        """Each term of each image, ``(B,)``, of checked input in float32 or wider."""
        raise NotImplementedError

    def channels(self, num_classes: int) -> tuple[int, ...]:
        """Channels of the map of each level."""
        raise NotImplementedError

    def objectness_channels(self, num_classes: int) -> tuple[int, ...]:
        """Channels of a level's map that hold logits of objectness, whose bias wants a low prior."""
        return ()

    def detections(self, maps: Sequence[Tensor]) -> Detections:
        """Boxes and scores, decoded as in training."""
        raise NotImplementedError

    def check_maps(self, maps: Sequence[Tensor]) -> tuple[int, int]:
        """Raise for maps that do not fit; returns the number of rows and of classes of the prediction."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor | Sequence[Tensor],
        target: Tensor | DenseTarget,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        *,
        return_dict: bool = False,
    ) -> Tensor | dict[str, Tensor]:
        """Loss of a batch, or its named terms; see :class:`CompositeLoss`."""
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        maps = self.check_inputs(pred, target)
        weight = row_weight(weight, maps[0].shape[:1])
        if self.debug:
            self.check_values((*maps, *tensors_of(target)), weight)
        with without_autocast(maps[0].device.type):
            maps, target = usable(maps, target, weight)
            terms = self.compute(maps, target)
            per_image = torch.stack(list(terms.values()), -1)
            if weight is not None:
                per_image = per_image * weight.unsqueeze(-1).to(per_image.dtype)
            if return_dict:
                named = zip(list(terms), per_image.unbind(-1), strict=True)
                loss = {name: self.loss_weight * reduce_loss(term, reduction, avg_factor) for name, term in named}
            else:
                loss = self.loss_weight * reduce_loss(per_image.sum(-1), reduction, avg_factor)
        if self.observes_call(reduction_override):
            with torch.no_grad():
                self.observe(maps, target, weight)
        return loss

    def check_inputs(self, pred: Any, target: Any) -> list[Tensor]:
        """Raise for a prediction or target that does not fit; returns the map of each level."""
        maps = [pred] if isinstance(pred, Tensor) else list(pred) if isinstance(pred, (list, tuple)) else None
        if not maps:
            raise ValueError(f"pred must be a map or a list of maps, got {type(pred).__name__}.")
        for number, one in enumerate(maps):
            check_floating("pred" if isinstance(pred, Tensor) else f"pred[{number}]", one)
            if one.ndim != 4 or one.shape[0] != maps[0].shape[0] or one.shape[2] == 0 or one.shape[3] == 0:
                raise ValueError(
                    "pred must hold maps of shape (B, channels, H, W) of one batch, with cells, "
                    f"got {[tuple(x.shape) for x in maps if isinstance(x, Tensor)]}."
                )
        rows, classes = self.check_maps(maps)
        batch = maps[0].shape[0]
        if isinstance(target, DenseTarget):
            check_dense(target, batch, rows, classes)
        elif not isinstance(target, Tensor):
            raise ValueError(f"target must be a tensor (B, M, 5) or a DenseTarget, got {type(target).__name__}.")
        elif target.ndim != 3 or target.shape[0] != batch or target.shape[2] != 5:
            raise ValueError(
                f"target must have shape ({batch}, M, 5): x1, y1, x2, y2 and label, got {tuple(target.shape)}."
            )
        return maps

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        for tensor in inputs:
            if tensor.is_floating_point():
                check_rows(
                    type(self).__name__, tensor.flatten(1), tensor.flatten(1).isfinite(), weight, "finite values"
                )


def tensors_of(target: Tensor | DenseTarget) -> list[Tensor]:
    """The tensors that a target holds."""
    return [target] if isinstance(target, Tensor) else [tensor for tensor in target if tensor is not None]


def usable(
    maps: Sequence[Tensor], target: Tensor | DenseTarget, weight: Tensor | None
) -> tuple[list[Tensor], Tensor | DenseTarget]:
    """Maps and target in one floating dtype, images of weight 0 masked."""
    tensors = [*maps, *tensors_of(target)]
    if weight is not None:
        tensors, _ = drop_junk(tensors, weight, may_drop=False, values="elements")
    floating = iter(upcast(*(tensor for tensor in tensors if tensor.is_floating_point())))
    tensors = [next(floating) if tensor.is_floating_point() else tensor for tensor in tensors]
    maps, held = tensors[: len(maps)], tensors[len(maps) :]
    return maps, DenseTarget(*held) if isinstance(target, DenseTarget) else held[0]


def check_dense(target: DenseTarget, batch: int, rows: int, classes: int) -> None:
    """Raise for a dense target with missing tensors or wrong shapes."""
    pairs = target.pair_row.shape[-1] if target.pair_row is not None else 0
    shapes = {
        "objectness": (batch, rows),
        "box": (batch, rows, 4),
        "classes": (batch, rows, classes),
        "pair_row": (batch, pairs),
        "pair_box": (batch, pairs, 4),
        "pair_share": (batch, pairs),
    }
    given = [name for name in shapes if getattr(target, name) is not None]
    if given != list(shapes)[: len(given)] or len(given) not in (2, 3, 6):
        raise ValueError(f"target must hold objectness, box, perhaps classes, perhaps all pair_*, got {given}.")
    if len(given) == 2 and classes > 1:
        raise ValueError(f"target must hold classes of shape {shapes['classes']}, got None.")
    for name in given:
        if getattr(target, name).shape != shapes[name]:
            raise ValueError(f"target.{name} must have shape {shapes[name]}, got {tuple(getattr(target, name).shape)}.")


def summed(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of each image over the rows of a mask: ``(B, N, *)`` and ``(B, N)`` to ``(B,)``."""
    return torch.where(match_rank(mask, values.ndim), values, 0).flatten(1).sum(1)
