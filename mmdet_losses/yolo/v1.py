"""YOLOv1's objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional.classification import one_hot
from ..modules.base import published
from ..modules.declared import at_least, more_than, one_of, option, whole
from .base import FLAVOR, CompositeLoss, Detections, summed
from .decode import aligned_iou, centre_and_size, corners, encode_offsets
from .encode import DenseTarget, encode, read_truths
from .layout import Level, Rows, cell_level, num_rows, rows_of, table

__all__ = ["YOLOv1Loss"]

ACTIVATIONS = ("linear", "logistic")
LEAST_SIZE = 1e-6


@published()
class YOLOv1Loss(CompositeLoss):
    """YOLOv1's objective: squared errors of centres, square roots of sizes, confidences and class scores.

    ``lambda_coord sum_obj [(x - X)**2 + (y - Y)**2 + (sqrt w - sqrt W)**2 + (sqrt h - sqrt H)**2]
    + lambda_obj sum_obj (c - IoU)**2 + lambda_noobj sum_noobj c**2 + lambda_class sum_cells sum_k (p_k - P_k)**2``.
    In a cell that holds an object's centre the box with the highest IoU is responsible for it (the nearest one, where
    none overlaps); all other boxes are negatives. Of two objects in a cell the first counts.

    Shapes and units: ``pred`` is a map ``(B, 5 * boxes + C, H, W)``: ``x, y, w, h, c`` of each box, then the classes;
    ``x, y`` from the cell's corner in cells, ``w, h`` relative to the image. ``target`` is ``(B, M, 5)`` in pixels,
    or a dense target of ``H * W`` cells. ``'none'`` gives ``(B,)``. Terms: ``loss_coord``, ``loss_obj``,
    ``loss_noobj``, ``loss_cls``. Range: [0, inf), 0 at a perfect match.

    Paper: https://arxiv.org/abs/1506.02640. mmdet has none. ``flavor='paper'``, the default since the paper prints the
    formula, is the sum above; ``'darknet'`` is half of it, whose gradient is that of darknet's layer. More in
    docs/yolo/v1.md.

    Args:
        stride: Side of a cell in pixels; 64 as in the paper (448 / 7).
        boxes: Boxes per cell; 2 as in the paper, 3 in darknet's yolov1.cfg.
        lambda_coord: Weight of the coordinates, as in the paper.
        lambda_obj: Weight of the confidence of responsible boxes, as in the paper.
        lambda_noobj: Weight of the confidence of all others, as in the paper.
        lambda_class: Weight of the classes, as in the paper.
        activation: ``'linear'``, as paper and darknet: raw outputs. ``'logistic'``: a sigmoid of coordinates and
            confidence, a softmax of the classes.
        predict_sqrt: Whether the outputs are the square roots of ``w, h``, as in paper and darknet. Otherwise the loss
            takes the root; linear outputs are clamped to 1e-6, with no gradient below.
        rescore: Whether the target of the confidence is the IoU, as in the paper and darknet's cfg; else it is 1.
        flavor: ``'paper'`` or ``'darknet'``.

    Example:
        >>> import torch
        >>> from mmdet_losses import YOLOv1Loss
        >>> truth = torch.tensor([[[10.0, 20, 40, 60, 1]]])
        >>> YOLOv1Loss(stride=32)(torch.full((1, 12, 2, 2), 0.5), truth)
        tensor(2.7769)
    """

    paper = "https://arxiv.org/abs/1506.02640"
    term_names = ("loss_coord", "loss_obj", "loss_noobj", "loss_cls")

    stride: float = option(default=64, check=more_than(0))
    boxes_per_cell: int = option(default=2, check=whole(1), alias="boxes")
    lambda_coord: float = option(default=5.0, check=at_least(0))
    lambda_obj: float = option(default=1.0, check=at_least(0))
    lambda_noobj: float = option(default=0.5, check=at_least(0))
    lambda_class: float = option(default=1.0, check=at_least(0))
    activation: str = option(default="linear", check=one_of(ACTIVATIONS))
    predict_sqrt: bool = True
    rescore: bool = True
    flavor: str = option(default="paper", check=FLAVOR)
    reduction: str = "mean"
    loss_weight: float = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "boxes":
            raise AttributeError(f"boxes of YOLOv1Loss is kept as boxes_per_cell: set that to {value!r}.")
        super().__setattr__(name, value)

    def level(self, maps: Sequence[Tensor]) -> Level:
        """The grid of the map."""
        return cell_level(maps[0].shape[2], maps[0].shape[3], self.stride)

    def check_maps(self, maps: Sequence[Tensor]) -> tuple[int, int]:
        classes = maps[0].shape[1] - 5 * self.boxes_per_cell
        if len(maps) != 1 or classes < 1:
            raise ValueError(
                f"pred must be one map with 5 * {self.boxes_per_cell} channels for boxes and 1 or more for classes, "
                f"got {', '.join(str(one.shape[1]) for one in maps)} channels."
            )
        return num_rows(self.level(maps)), classes

    def activate(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets, square roots of sizes and confidences of raw boxes ``(B, N, boxes, 5)``."""
        place, size, confidence = raw[..., :2], raw[..., 2:4], raw[..., 4]
        if self.activation == "linear":
            return place, size if self.predict_sqrt else size.clamp(min=LEAST_SIZE).sqrt(), confidence
        # the root of a sigmoid by its logarithm, so that the gradient stays finite as it underflows
        root = size.sigmoid() if self.predict_sqrt else (torch.nn.functional.logsigmoid(size) / 2).exp()
        return place.sigmoid(), root, confidence.sigmoid()

    def channels(self, num_classes: int) -> tuple[int, ...]:
        return (5 * self.boxes_per_cell + num_classes,)

    def read(self, maps: Sequence[Tensor]) -> tuple[Rows, Tensor, Tensor, Tensor, Tensor]:
        """Rows; offsets, square roots of sizes, confidences, ``(B, N, boxes, *)``; class scores, ``(B, N, C)``."""
        level, count = self.level(maps), self.boxes_per_cell
        raw = table(maps, [level], maps[0].shape[1])
        place, root, confidence = self.activate(raw[..., : 5 * count].unflatten(-1, (count, 5)))
        score = raw[..., 5 * count :]
        return rows_of([level], raw), place, root, confidence, self.activate_classes(score)

    def detections(self, maps: Sequence[Tensor]) -> Detections:
        rows, place, root, confidence, score = self.read(maps)
        boxes = self.decode(place, root, rows).flatten(1, 2)
        score = score.clamp(0, 1).repeat_interleave(self.boxes_per_cell, 1)
        return Detections(boxes, confidence.clamp(0, 1).flatten(1, 2), score)

    def compute(self, maps: Sequence[Tensor], target: Tensor | DenseTarget) -> dict[str, Tensor]:
        rows, place, root, confidence, score = self.read(maps)
        with torch.no_grad():
            if not isinstance(target, DenseTarget):
                target = encode(read_truths(target), rows, score.shape[-1], several_classes=False, first=True)
            responsible, iou = self.responsible(place, root, rows, target)
            quality = iou if self.rescore else torch.ones_like(iou)
        classes = target.classes if target.classes is not None else torch.ones_like(score)
        object_cell, counted = target.objectness == 1, target.objectness >= 0
        true_place = encode_offsets(target.box, rows)[0].unsqueeze(-2)
        true_root = (centre_and_size(target.box)[1] / rows.image).clamp(min=0).sqrt().unsqueeze(-2)

        coord = ((place - true_place) ** 2 + (root - true_root) ** 2).sum(-1)
        half = 0.5 if self.flavor == "darknet" else 1.0
        other = counted.unsqueeze(-1) & ~responsible
        return {
            "loss_coord": self.lambda_coord * half * summed(torch.where(responsible, coord, 0), object_cell),
            "loss_obj": self.lambda_obj * half * summed((confidence - quality) ** 2, responsible),
            "loss_noobj": self.lambda_noobj * half * summed(confidence**2, other),
            "loss_cls": self.lambda_class * half * summed((score - classes) ** 2, object_cell),
        }

    def activate_classes(self, raw: Tensor) -> Tensor:
        """Class scores of raw outputs."""
        return raw.softmax(-1) if self.activation == "logistic" else raw

    @staticmethod
    def decode(place: Tensor, root: Tensor, rows: Rows) -> Tensor:
        """Boxes in pixels, ``(B, N, boxes, 4)``, of offsets in the cell and square roots of sizes."""
        cell, stride, image = (x.unsqueeze(-2) for x in (rows.cell, rows.stride, rows.image))
        return corners((cell + place) * stride, root**2 * image)

    @classmethod
    def responsible(cls, place: Tensor, root: Tensor, rows: Rows, target: DenseTarget) -> tuple[Tensor, Tensor]:
        """Which box of each cell is responsible for its object, and the IoU of every box with it: ``(B, N, boxes)``."""
        found, box = cls.decode(place, root, rows), target.box.unsqueeze(-2)
        iou = aligned_iou(found, box.expand_as(found))
        image = rows.image.unsqueeze(-2)
        (centre, size), (true_centre, true_size) = centre_and_size(found), centre_and_size(box)
        distance = (((centre - true_centre) / image) ** 2 + ((size - true_size) / image) ** 2).sum(-1)
        best = torch.where((iou > 0).any(-1), iou.argmax(-1), distance.argmin(-1))
        return one_hot(best, place.shape[-2]) & (target.objectness == 1).unsqueeze(-1), iou
