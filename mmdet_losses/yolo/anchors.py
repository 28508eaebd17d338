"""What the objectives with anchors share: levels, assignment, ignored predictions, logistic objectness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from ..functional.classification import sigmoid_cross_entropy
from ..modules.declared import Check, Option, are_numbers, between, keep_options, none_or
from ..modules.options import Shared, check_option
from .base import FLAVOR, CompositeLoss, Detections, summed
from .decode import Predictions, boxes_of
from .encode import DenseTarget, Truths, encode, ignore_overlapping, read_truths, with_objectness
from .layout import Level, num_rows, rows_of, table

__all__ = ["AnchorLoss"]

Anchors = Sequence[Sequence[tuple[float, float]]]

SIZE = Check(lambda size: are_numbers(size) and len(size) == 2 and min(size) > 0, "(width, height), both more than 0")
ANCHORS = Check(
    lambda levels: len(levels) > 0 and all(len(level) > 0 and all(map(SIZE.holds, level)) for level in levels),
    "a list per level of (width, height) in pixels, more than 0",
)
STRIDES = Check(lambda value: are_numbers(value) and min(value) > 0, "numbers above 0, one for each level of anchors")
SHARE_OR_NONE = none_or(between(0, 1))


def numbered(anchors: Anchors) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The anchors as floats."""
    return tuple(tuple((float(w), float(h)) for w, h in level) for level in anchors)


class AnchorLoss(CompositeLoss):
    """Base of the objectives of YOLOv2 to v4.

    ``pred`` holds, for each level, a map ``(B, A * (5 + C), H, W)`` of the raw ``t_x, t_y, t_w, t_h``, objectness and
    classes of each of ``A`` anchors, as mmdet's ``YOLOV3Head`` emits them.

    Args:
        anchors: Width and height in pixels of the anchors of each level, mmdet's ``base_sizes``.
        strides: Side of a cell of each level in pixels, mmdet's ``strides``.
        flavor: ``'paper'`` or ``'darknet'``; its meaning depends on the class.
        ignore_thr: Predictions without an object are ignored where their box or anchor, depending on the class,
            overlaps one by more; None for none.
    """

    rules: ClassVar = {
        "anchors": Option(check=ANCHORS, convert=numbered),
        "strides": Option(check=STRIDES, convert=lambda value: tuple(map(float, value))),
        "flavor": Option(check=FLAVOR),
        "ignore_thr": Option(check=SHARE_OR_NONE),
    }

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
        keep_options(self, {"anchors": anchors, "strides": strides, "flavor": flavor, "ignore_thr": ignore_thr})
        AnchorLoss.check_options(self)

    def check_options(self) -> None:
        super().check_options()
        levels = len(self.anchors)
        check_option(
            "strides",
            self.strides,
            len(self.strides) == levels,
            f"{levels} numbers above 0, one for each level of anchors",
        )

    def ignoring(self) -> float | None:
        """The overlap above which a prediction without an object is ignored."""
        return self.ignore_thr

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
        """Options of the assignment, see :func:`~mmdet_losses.yolo.encode_anchors`."""
        return {}

    def ignored(self, found: Predictions, truths: Truths, dense: DenseTarget) -> DenseTarget:
        """The target, predictions without an object ignored where they overlap one by more than ``ignore_thr``."""
        threshold = self.ignoring()
        if threshold is None:
            return dense
        objectness = ignore_overlapping(dense.objectness, boxes_of(found), truths, threshold)
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
        """The maps, by rows."""
        levels = self.levels(maps)
        raw = table(maps, levels, maps[0].shape[1] // len(levels[0].anchors))
        return Predictions(raw, rows_of(levels, raw), self.offset_scale(levels, raw))

    def prepare(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> tuple[Predictions, DenseTarget]:
        """Predictions and their targets."""
        found = self.predictions(maps)
        classes = found.raw.shape[-1] - 5
        if isinstance(target, DenseTarget):
            if target.classes is None:
                raise ValueError(f"target.classes must have shape {(*found.raw.shape[:2], classes)}, got None.")
            return found, target
        with torch.no_grad():
            truths = read_truths(target)
            dense = encode(truths, found.rows, classes, **self.encoding())
            detached = Predictions(found.raw.detach(), found.rows, found.scale_x_y)
            return found, self.ignored(detached, truths, dense)

    def compute(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> dict[str, Tensor]:
        return self.compute_rows(*self.prepare(maps, target))

    def compute_rows(self, found: Predictions, target: DenseTarget) -> dict[str, Tensor]:
        """Each term of each image, ``(B,)``."""
        raise NotImplementedError


def logistic_objectness(score: Tensor, objectness: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of objectness logits, summed over objects and over all that is none and not ignored."""
    positive = sigmoid_cross_entropy(score, torch.ones_like(score))
    negative = sigmoid_cross_entropy(score, torch.zeros_like(score))
    return summed(positive, objectness == 1), summed(negative, objectness == 0)
