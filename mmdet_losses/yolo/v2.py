"""YOLOv2's objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..modules.base import published
from ..modules.declared import at_least, none_or, one_of, option
from .anchors import AnchorLoss, Anchors
from .base import summed
from .decode import Predictions, aligned_iou, boxes_of, centre_and_size, encode_offsets, small_object_scale
from .encode import DenseTarget

__all__ = ["YOLOv2Loss"]

COCO_ANCHORS = (
    (
        (18.32736, 21.67632),
        (59.98272, 66.00096),
        (106.82976, 175.17888),
        (252.25024, 112.88896),
        (312.65664, 293.38496),
    ),
)
"""darknet's yolov2.cfg, in pixels."""
UNITS = ("offset", "image", "grid")
CLASS_LOSSES = ("squared", "cross_entropy")


@published()
class YOLOv2Loss(AnchorLoss):
    """YOLOv2's objective: squared errors of coordinates and objectness, and a softmax over the classes of each box.

    ``lambda_coord sum_obj (2 - W H) |b - B|**2 + lambda_obj sum_obj (IoU - o)**2 + lambda_noobj sum_noobj o**2
    + lambda_class sum_obj class``, with ``o = sigma(t_o)`` and ``W, H`` the object's size relative to the image. In the
    cell that holds an object's centre, the best of all anchors by shape IoU (that of width and height alone) is
    responsible for it. A prediction without an object whose box overlaps one by more than ``ignore_thr`` is ignored.

    Shapes and units: ``pred`` is a map ``(B, A * (5 + C), H, W)`` of raw outputs, or a list with one for each level.
    ``target`` is ``(B, M, 5)`` in pixels, or a dense target. ``'none'`` gives ``(B,)``. Terms: ``loss_coord``,
    ``loss_obj``, ``loss_noobj``, ``loss_cls``, and ``loss_prior`` with ``lambda_prior``. Range: [0, inf).

    Paper: https://arxiv.org/abs/1612.08242. mmdet has none. The paper prints no formula, so ``flavor='darknet'`` is
    the default: halves of the squares and cross-entropy, whose gradient is darknet's. ``'paper'`` has whole squares,
    also of the softmax. More in docs/yolo/v2.md.

    Args:
        anchors: Width and height in pixels of the anchors of each level; darknet's for COCO.
        strides: Side of a cell of each level in pixels.
        lambda_coord: Weight of the coordinates, as in darknet.
        lambda_obj: Weight of the objectness of objects, as in darknet.
        lambda_noobj: Weight of the objectness of negatives, as in darknet.
        lambda_class: Weight of the classes, as in darknet.
        lambda_prior: Weight of pulling predictions without an object to their anchor. darknet has 0.01 for its first
            12800 images; set it to 0 afterwards.
        ignore_thr: 0.6 as in darknet's cfg; None for none.
        rescore: Whether the target of objectness is the IoU, as in darknet's cfg; else it is 1.
        units: Coordinates that are compared. ``'offset'``, as darknet: ``sigma(t_x), sigma(t_y)`` in cells and
            ``t_w, t_h``. ``'image'`` and ``'grid'``: the decoded ``x, y, w, h``, relative to the image or in cells.
        loss_class: ``'cross_entropy'`` or ``'squared'``; by default the flavor's.
        coord_scale: Whether ``2 - W H`` multiplies the coordinates.
        flavor: ``'darknet'`` or ``'paper'``.

    Example:
        >>> import torch
        >>> from mmdet_losses import YOLOv2Loss
        >>> truth = torch.tensor([[[10.0, 20, 40, 60, 1]]])
        >>> YOLOv2Loss(anchors=[[(30, 40)]])(torch.zeros(1, 7, 2, 2), truth)
        tensor(1.2199)
    """

    paper = "https://arxiv.org/abs/1612.08242"

    anchors: Anchors = COCO_ANCHORS
    strides: Sequence[float] = (32,)
    lambda_coord: float = option(default=1.0, check=at_least(0))
    lambda_obj: float = option(default=5.0, check=at_least(0))
    lambda_noobj: float = option(default=1.0, check=at_least(0))
    lambda_class: float = option(default=1.0, check=at_least(0))
    lambda_prior: float = option(default=0.0, check=at_least(0))
    ignore_thr: float | None = 0.6
    rescore: bool = True
    units: str = option(default="offset", check=one_of(UNITS))
    loss_class: str | None = option(default=None, check=none_or(one_of(CLASS_LOSSES)))
    coord_scale: bool = True
    flavor: str = "darknet"
    reduction: str = "mean"
    loss_weight: float = 1.0

    @property
    def term_names(self) -> tuple[str, ...]:
        common = ("loss_coord", "loss_obj", "loss_noobj", "loss_cls")
        return (*common, "loss_prior") if self.lambda_prior else common

    def class_scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    def encoding(self) -> dict[str, Any]:
        return {"several_classes": False}

    def coordinate_error(self, found: Predictions, target: DenseTarget) -> Tensor:
        """Squared error of the coordinates of each row, ``(B, N)``."""
        raw, rows = found.raw[..., :4], found.rows
        if self.units == "offset":
            place, size = encode_offsets(target.box, rows)
            return ((raw[..., :2].sigmoid() - place) ** 2 + (raw[..., 2:] - size) ** 2).sum(-1)
        unit = rows.image if self.units == "image" else rows.stride
        pairs = zip(centre_and_size(boxes_of(found)), centre_and_size(target.box), strict=True)
        return sum((((one - other) / unit) ** 2).sum(-1) for one, other in pairs)

    def class_error(self, logits: Tensor, classes: Tensor, half: float) -> Tensor:
        """Error of the classes of each row, ``(B, N)``."""
        form = self.loss_class or ("cross_entropy" if self.flavor == "darknet" else "squared")
        if form == "cross_entropy":
            return -(classes * logits.log_softmax(-1)).sum(-1)
        return half * ((logits.softmax(-1) - classes) ** 2).sum(-1)

    def compute_rows(self, found: Predictions, target: DenseTarget) -> dict[str, Tensor]:
        raw, half = found.raw, 0.5 if self.flavor == "darknet" else 1.0
        objects, others = target.objectness == 1, target.objectness == 0
        with torch.no_grad():
            quality = aligned_iou(boxes_of(found), target.box) if self.rescore else torch.ones_like(raw[..., 4])
        scale = small_object_scale(target.box, found.rows) if self.coord_scale else 1.0
        score = raw[..., 4].sigmoid()
        terms = {
            "loss_coord": self.lambda_coord * half * summed(scale * self.coordinate_error(found, target), objects),
            "loss_obj": self.lambda_obj * half * summed((quality - score) ** 2, objects),
            "loss_noobj": self.lambda_noobj * half * summed(score**2, others),
            "loss_cls": self.lambda_class * summed(self.class_error(raw[..., 5:], target.classes, half), objects),
        }
        if self.lambda_prior:
            pull = ((raw[..., :2].sigmoid() - 0.5) ** 2 + raw[..., 2:4] ** 2).sum(-1)
            terms["loss_prior"] = self.lambda_prior * half * summed(pull, ~objects)
        return terms
