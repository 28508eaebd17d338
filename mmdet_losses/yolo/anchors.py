"""What the objectives with anchors share: levels, assignment, ignored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import Unpack

from ..modules.options import Shared, check_option
from .base import CompositeLoss, Detections, check_flavor
from .decode import decode
from .encode import DenseTarget, encode, ignore_overlapping, read_truths, with_objectness
from .layout import Level, Rows, num_rows, rows_of, table

Anchors = Sequence[Sequence[tuple[float, float]]]


class Predictions(NamedTuple):
    """Raw predictions of a batch and what is known of them.

    Attributes:
        raw: ``(t_x, t_y, t_w, t_h, objectness, classes)``, ``(B, N, 5 + C)``.
        rows: Cell, stride and anchor of each.
        scale_x_y: Scale of the logistic offset, a number or ``(N, 1)``.
    """

    raw: Tensor
    rows: Rows
    scale_x_y: float | Tensor


def boxes_of(found: Predictions) -> Tensor:
    """Predicted boxes in pixels, ``(B, N, 4)``."""
    return decode(found.raw[..., :4], found.rows, found.scale_x_y)


class AnchorLoss(CompositeLoss):
    """Base of the objectives of YOLOv2 to v4.

    ``pred`` holds, for each level, a map ``(B, A * (5 + C), H, W)`` of the raw ``t_x, t_y, t_w, t_h``, objectness and
    classes of each of ``A`` anchors, as mmdet's ``YOLOV3Head`` emits them.

    Args:
        anchors: Width and height in pixels of the anchors of each level, mmdet's ``base_sizes``.
        strides: Side of a cell of each level in pixels, mmdet's ``strides``.
        flavor: ``'paper'`` or ``'darknet'``; what it changes is the class's to say.
        ignore_thr: Predictions without an object are ignored where a box overlaps an object by more; None for none.
            Which box is the class's to say.
        reduction: See :class:`~mmdet_losses.yolo.CompositeLoss`.
        loss_weight: Multiplies the loss, and every term.
        debug: Names the first image with a value that is not finite.
    """

    def __init__(
        self,
        anchors: Anchors,
        strides: Sequence[float],
        flavor: str,
        ignore_thr: float | None,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        check_flavor(flavor)
        sizes = [size for level in anchors for size in level]
        fit = sizes and all(len(size) == 2 and min(size) > 0 for size in sizes) and all(len(level) for level in anchors)
        check_option("anchors", anchors, bool(fit), "a list per level of (width, height) in pixels, more than 0")
        matched = len(strides) == len(anchors) and all(stride > 0 for stride in strides)
        check_option("strides", strides, matched, f"{len(anchors)} numbers above 0, one for each level of anchors")
        in_range = ignore_thr is None or 0 <= ignore_thr <= 1
        check_option("ignore_thr", ignore_thr, in_range, "None or from 0 to 1")
        self.anchors = tuple(tuple((float(w), float(h)) for w, h in level) for level in anchors)
        self.strides = tuple(map(float, strides))
        self.flavor = flavor
        self.ignore_thr = ignore_thr

    def levels(self, maps: Sequence[Tensor]) -> list[Level]:
        """The grids of the maps."""
        return [
            Level(one.shape[2], one.shape[3], stride, anchors)
            for one, stride, anchors in zip(maps, self.strides, self.anchors, strict=True)
        ]

    def check_maps(self, maps: Sequence[Tensor]) -> tuple[int, int]:
        if len(maps) != len(self.strides):
            raise ValueError(f"pred must hold {len(self.strides)} maps, one for each of the strides, got {len(maps)}.")
        entries = {
            one.shape[1] // len(anchors) if one.shape[1] % len(anchors) == 0 else 0
            for one, anchors in zip(maps, self.anchors, strict=True)
        }
        if len(entries) > 1 or min(entries) < 6:
            raise ValueError(
                "pred must have A * (5 + C) channels for A anchors "
                f"({', '.join(str(len(anchors)) for anchors in self.anchors)}) and C classes, 1 or more, got "
                f"{', '.join(str(one.shape[1]) for one in maps)}."
            )
        return sum(num_rows(level) for level in self.levels(maps)), entries.pop() - 5

    def offset_scale(self, levels: Sequence[Level], like: Tensor) -> float | Tensor:
        """Scale of the logistic offset."""
        return 1.0

    def encoding(self) -> dict[str, Any]:
        """Options of :func:`~mmdet_losses.yolo.encode_anchors`."""
        return {}

    def ignored(self, found: Predictions, target: Tensor, dense: DenseTarget) -> DenseTarget:
        """The target with predictions of no object ignored that overlap one by more than ``ignore_thr``."""
        if self.ignore_thr is None:
            return dense
        objectness = ignore_overlapping(dense.objectness, boxes_of(found), read_truths(target), self.ignore_thr)
        return with_objectness(dense, objectness)

    def channels(self, num_classes: int) -> tuple[int, ...]:
        return tuple(len(anchors) * (5 + num_classes) for anchors in self.anchors)

    def objectness_channels(self, num_classes: int) -> tuple[int, ...]:
        return tuple(anchor * (5 + num_classes) + 4 for anchor in range(len(self.anchors[0])))

    def class_scores(self, logits: Tensor) -> Tensor:
        """Probability of each class, given an object."""
        return logits.sigmoid()

    def detections(self, maps: Sequence[Tensor]) -> Detections:
        found = self.predictions(maps)
        return Detections(boxes_of(found), found.raw[..., 4].sigmoid(), self.class_scores(found.raw[..., 5:]))

    def predictions(self, maps: Sequence[Tensor]) -> Predictions:
        """The maps as rows."""
        levels = self.levels(maps)
        raw = table(maps, levels, maps[0].shape[1] // len(levels[0].anchors))
        return Predictions(raw, rows_of(levels, raw), self.offset_scale(levels, raw))

    def prepare(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Predictions, DenseTarget]:
        """Predictions and what they should be."""
        found = self.predictions(maps)
        classes = found.raw.shape[-1] - 5
        if isinstance(target, DenseTarget):
            if target.classes is None:
                raise ValueError(f"target.classes must have shape {(*found.raw.shape[:2], classes)}, got None.")
            return found, target
        with torch.no_grad():
            dense = encode(target, self.levels(maps), classes, **self.encoding())
            detached = Predictions(found.raw.detach(), found.rows, found.scale_x_y)
            return found, self.ignored(detached, target, dense)

    def compute(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> dict[str, Tensor]:
        return self.compute_rows(*self.prepare(maps, target))

    def compute_rows(self, found: Predictions, target: DenseTarget) -> dict[str, Tensor]:
        """Each term of each image, of predictions and targets in rows."""
        raise NotImplementedError
