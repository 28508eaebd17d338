"""The objective of grid-cell detectors: is there an object in the cell, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..modules.base import Loss, published
from ..modules.building import build_loss
from ..modules.classes.cross_entropy import CrossEntropyLoss
from ..modules.declared import at_least, more_than, one_of, option, whole
from ..modules.errors import OptionError
from .base import Detections, summed
from .decode import Predictions, boxes_of, encode_offsets
from .encode import DenseTarget, encode, read_truths
from .layout import Level, Rows, cell_level, num_rows, rows_of, table
from .parts import BoxObjective, is_stateful, summed_loss

__all__ = ["GridObjectnessLoss"]

AVERAGES = ("cells", "objects", "sum")


def box_loss(loss: Mapping | str | nn.Module) -> Loss:
    """A loss of boxes or coordinates from its config, name or module."""
    return build_loss("loss_box", loss, ["bbox"])


def distance_loss(loss: Mapping | str | nn.Module | None) -> Loss | None:
    """A loss of distances from its config, name or module."""
    return None if loss is None else build_loss("loss_dfl", loss, ["dfl"])


def binary_loss(loss: Mapping | str | nn.Module | None) -> Loss:
    """A loss of objectness from its config, name or module; None is binary cross-entropy."""
    if loss is None:
        return CrossEntropyLoss(use_sigmoid=True)
    loss = build_loss("loss_obj", loss, ["cls"])
    if not binary_of_elements(loss):
        raise OptionError(
            "loss_obj must be a binary loss of each logit alone, such as FocalLoss or "
            f"CrossEntropyLoss(use_sigmoid=True), got {loss!r}."
        )
    return loss


def binary_of_elements(loss: Loss) -> bool:
    """Whether a loss takes logits with dense targets, treats each element alone, and falls as they agree.

    A loss that ranks or counts the elements of a batch has no loss of one image, and one with running statistics would
    gather those of parts of a batch.
    """
    logit = torch.tensor([[-4.0, 4.0], [4.0, -4.0], [-1.0, 0.5]])
    target = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    try:
        with torch.no_grad():
            value = loss(logit, target, reduction_override="none")
            alone = [
                loss(*pair, reduction_override="none") for pair in zip(logit.split(1), target.split(1), strict=True)
            ]
    except (RuntimeError, TypeError, ValueError):
        return False
    if value.shape != logit.shape or is_stateful(loss):
        return False
    return bool(torch.allclose(value, torch.cat(alone)) and (value >= 0).all() and (value[0] < value[1]).all())


@published()
class GridObjectnessLoss(BoxObjective):
    """The multi-task objective of grid detectors: ``L = L_object + lambda_box * L_box``.

    ``L_object`` is a binary loss of every cell's objectness, 1 where an object's centre lies in the cell. ``L_box``
    is the mean of a box loss over these cells alone. With ``loss_dfl`` the box is predicted as a distribution of the
    distance to each side, and ``L_dfl``, its mean over the object cells and the four sides, is added.

    Shapes and units: ``pred`` is a map ``(B, 4 + C, H, W)``: ``t_x, t_y, t_w, t_h``, then the logit of an object, or
    of an object of each of ``C`` classes. The centre is at ``sigma(t_x), sigma(t_y)`` in the cell, the size
    ``stride * exp(t)``. With ``loss_dfl`` it is ``(B, 4 * (reg_max + 1) + C, H, W)``: logits of the distances left,
    top, right and bottom in strides, from the far side of the cell, so that none is negative. ``target`` is
    ``(B, M, 5)`` in pixels, or a dense target of ``H * W`` cells. ``'none'`` gives ``(B,)``. Terms: ``loss_obj``,
    ``loss_noobj`` (cells without an object), ``loss_bbox``, and ``loss_dfl``. Range: [0, inf).

    There is no paper; mmdet has none. More in docs/yolo/grid.md.

    Args:
        stride: Side of a cell in pixels.
        lambda_box: Weight of the boxes.
        loss_box: Loss of boxes, in pixels, or of coordinates: of ``(sigma(t_x), sigma(t_y), t_w, t_h)``, with
            ``loss_dfl`` of the four distances. Its config, name or module; several values per row are summed.
        loss_obj: Binary loss of the logits, for example ``dict(type='FocalLoss')``; by default binary cross-entropy.
        negative_weight: Weight of cells without an object.
        average: Divisor of an image's ``L_object``: the number of its ``'cells'``, of its ``'objects'`` (at least 1,
            as is usual with the focal loss), or none, ``'sum'``.
        loss_dfl: ``dict(type='DistributionFocalLoss', loss_weight=0.25)``, or None for boxes without distributions.
        reg_max: Longest distance in strides; read with ``loss_dfl`` alone.

    Example:
        >>> import torch
        >>> from mmdet_losses import GridObjectnessLoss
        >>> truth = torch.tensor([[[0.0, 0, 32, 32, 0]]])
        >>> GridObjectnessLoss(stride=32, loss_box="SmoothL1Loss")(torch.zeros(1, 5, 2, 2), truth)
        tensor(0.6931)
    """

    stride: float = option(default=32, check=more_than(0))
    lambda_box: float = option(default=1.0, check=at_least(0))
    loss_box: Mapping | str | nn.Module = option(default="CIoULoss", convert=box_loss)
    loss_obj: Mapping | str | nn.Module | None = option(default=None, convert=binary_loss)
    negative_weight: float = option(default=1.0, check=at_least(0))
    average: str = option(default="cells", check=one_of(AVERAGES))
    loss_dfl: Mapping | str | nn.Module | None = option(default=None, convert=distance_loss)
    reg_max: int = option(default=16, check=whole(1))
    reduction: str = "mean"
    loss_weight: float = 1.0

    @property
    def term_names(self) -> tuple[str, ...]:
        common = ("loss_obj", "loss_noobj", "loss_bbox")
        return common if self.loss_dfl is None else (*common, "loss_dfl")

    @property
    def box_channels(self) -> int:
        """Channels of a box."""
        return 4 if self.loss_dfl is None else 4 * (self.reg_max + 1)

    def level(self, maps: Sequence[Tensor]) -> Level:
        """The grid of the map."""
        return cell_level(maps[0].shape[2], maps[0].shape[3], self.stride)

    def check_maps(self, maps: Sequence[Tensor]) -> tuple[int, int]:
        classes = maps[0].shape[1] - self.box_channels
        if len(maps) != 1 or classes < 1:
            raise ValueError(
                f"pred must be one map with {self.box_channels} channels for the box and 1 or more for objectness, "
                f"got {', '.join(str(one.shape[1]) for one in maps)} channels."
            )
        return num_rows(self.level(maps)), classes

    def channels(self, num_classes: int) -> tuple[int, ...]:
        return (self.box_channels + num_classes,)

    def objectness_channels(self, num_classes: int) -> tuple[int, ...]:
        return tuple(range(self.box_channels, self.box_channels + num_classes))

    def detections(self, maps: Sequence[Tensor]) -> Detections:
        found = self.predictions(maps)
        boxes, scores = self.predicted_boxes(found), found.raw[..., self.box_channels :].sigmoid()
        return Detections(boxes, torch.ones_like(scores[..., 0]), scores)

    def predictions(self, maps: Sequence[Tensor]) -> Predictions:
        """The map, by rows."""
        level = self.level(maps)
        raw = table(maps, [level], maps[0].shape[1])
        return Predictions(raw, rows_of([level], raw))

    def prepare(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Predictions, DenseTarget]:
        found = self.predictions(maps)
        if not isinstance(target, DenseTarget):
            classes = found.raw.shape[-1] - self.box_channels
            with torch.no_grad():
                target = encode(read_truths(target), found.rows, classes, several_classes=True, first=True)
        return found, target

    def coordinates(self, found: Predictions, box: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted coordinates and their targets, not decoded: ``(B, N, 4)`` each."""
        if self.loss_dfl is not None:
            return self.distances(found.raw), self.true_distances(found.rows, box)
        place = found.raw[..., :2].sigmoid()
        return torch.cat([place, found.raw[..., 2:4]], -1), torch.cat(encode_offsets(box, found.rows), -1)

    def distributions(self, raw: Tensor) -> Tensor:
        """Logits of the distance to each side, ``(B, N, 4, reg_max + 1)``."""
        return raw[..., : self.box_channels].unflatten(-1, (4, self.reg_max + 1))

    def distances(self, raw: Tensor) -> Tensor:
        """Expected distance to each side in strides, ``(B, N, 4)``."""
        share = self.distributions(raw).softmax(-1)
        return (share * torch.arange(self.reg_max + 1, device=raw.device).to(raw.dtype)).sum(-1)

    @staticmethod
    def true_distances(rows: Rows, box: Tensor) -> Tensor:
        """Distance of each side of boxes ``(B, N, 4)`` from the far side of the cell, in strides."""
        box = box / rows.stride.unsqueeze(0)
        return torch.cat([rows.cell + 1 - box[..., :2], box[..., 2:] - rows.cell], -1)

    def predicted_boxes(self, found: Predictions) -> Tensor:
        """Predicted boxes in pixels, ``(B, N, 4)``."""
        if self.loss_dfl is None:
            return boxes_of(found)
        rows, distance = found.rows, self.distances(found.raw)
        return torch.cat([rows.cell + 1 - distance[..., :2], rows.cell + distance[..., 2:]], -1) * rows.stride

    def pairs(self, found: Predictions, target: DenseTarget) -> tuple[Tensor, Tensor, Tensor]:
        decoded = self.loss_box.boxes
        pair = (self.predicted_boxes(found), target.box) if decoded else self.coordinates(found, target.box)
        return (*pair, object_share(target, found.raw))

    def compute(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> dict[str, Tensor]:
        found, target = self.prepare(maps, target)
        terms = self.objectness_terms(found.raw[..., self.box_channels :], target)
        pred, true, share = self.pairs(found, target)
        terms["loss_bbox"] = self.lambda_box * summed_loss(self.loss_box, pred, true, share)
        if self.loss_dfl is not None:
            sides = self.distributions(found.raw).flatten(1, 2)
            true = self.true_distances(found.rows, target.box).flatten(1)
            terms["loss_dfl"] = summed_loss(self.loss_dfl, sides, true, share.repeat_interleave(4, 1) / 4)
        return terms

    def objectness_terms(self, logits: Tensor, target: DenseTarget) -> dict[str, Tensor]:
        """Loss of objectness of cells with and without an object; with several classes, one logit for each."""
        objects, counted = target.objectness == 1, target.objectness >= 0
        several = logits.shape[-1] > 1
        wanted = (target.classes if several else objects.unsqueeze(-1)).to(logits.dtype)
        # an ignored cell is no object, whatever its classes say
        wanted = torch.where(objects.unsqueeze(-1), wanted, 0)
        error = self.loss_obj(logits.flatten(0, 1), wanted.flatten(0, 1), reduction_override="none")
        error = error.reshape(logits.shape)
        divisor = 1.0
        if self.average != "sum":
            divisor = (counted if self.average == "cells" else objects).sum(-1).clamp(min=1)
        positive = torch.where(wanted > 0, error, 0)
        return {
            "loss_obj": summed(positive, counted) / divisor,
            "loss_noobj": self.negative_weight * summed(error - positive, counted) / divisor,
        }


def object_share(target: DenseTarget, like: Tensor) -> Tensor:
    """1 over the number of an image's object cells in each of these, else 0: ``(B, N)``."""
    objects = (target.objectness == 1).to(like.dtype)
    return objects / objects.sum(-1, keepdim=True).clamp(min=1)
