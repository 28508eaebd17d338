"""YOLOv4's objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.classification import sigmoid_cross_entropy
from ..modules.base import Loss, published
from ..modules.building import build_loss
from ..modules.declared import at_least, between, none_or, option
from ..modules.errors import OptionError
from ..modules.options import check_option
from .anchors import SHARE_OR_NONE, AnchorLoss, Anchors, logistic_objectness
from .base import summed
from .decode import Predictions, boxes_of
from .encode import DenseTarget, Truths, ignore_overlapping, with_objectness
from .layout import Level, num_rows
from .parts import BoxObjective, summed_loss

__all__ = ["YOLOv4Loss"]

COCO_ANCHORS = (
    ((142, 110), (192, 243), (459, 401)),
    ((36, 75), (76, 55), (72, 146)),
    ((12, 16), (19, 36), (40, 28)),
)
"""darknet's yolov4.cfg, the coarsest level first."""
LAMBDA_BOX = {"paper": 1.0, "darknet": 0.07}
LIKELY_CLASS = 0.25


def decoded_loss(loss: Mapping | str | nn.Module) -> Loss:
    """A loss of decoded boxes from its config, name or module."""
    loss = build_loss("loss_box", loss, ["bbox"])
    if not loss.boxes:
        raise OptionError(
            f"loss_box must be a loss of boxes, got {type(loss).__name__}, which is one of coordinates: "
            "YOLOv3Loss regresses those."
        )
    return loss


@published()
class YOLOv4Loss(AnchorLoss, BoxObjective):
    """YOLOv4's objective: a loss of decoded boxes, and logistic terms for objectness and classes.

    ``lambda_box sum_obj box(b, B) + lambda_obj sum_obj BCE(t_o, 1) + lambda_noobj sum_noobj BCE(t_o, 0)
    + lambda_class sum_obj sum_k BCE(t_k, P_k (1 - e) + e / 2)`` with ``e`` the label smoothing. In the cell that holds
    an object's centre, the best of all anchors by shape IoU (that of width and height alone) is responsible for it, and
    so is every other one above ``iou_thr``.

    Shapes and units: ``pred`` is a list with the map ``(B, A * (5 + C), H, W)`` of raw outputs of each level; the box
    loss gets boxes in pixels. ``target`` is ``(B, M, 5)`` in pixels, or a dense target. ``'none'`` gives ``(B,)``.
    Terms: ``loss_bbox``, ``loss_obj``, ``loss_noobj``, ``loss_cls``. Range: [0, inf).

    Paper: https://arxiv.org/abs/2004.10934. mmdet has none. The paper prints no formula, so ``flavor='darknet'`` is
    the default: ``lambda_box`` is 0.07; where objects share a prediction, the box losses of all are added, divided by
    the number of their classes; a prediction without an object is ignored where its box overlaps one by more than
    ``ignore_thr`` and some class has a probability above 0.25. With ``'paper'`` ``lambda_box`` is 1, the last object of
    a prediction counts, and what is ignored does not depend on classes. The gradient is that of the box loss, not
    darknet's approximation, and is not clipped. More in docs/yolo/v4.md.

    Args:
        anchors: Width and height in pixels of the anchors of each level; darknet's for COCO.
        strides: Side of a cell of each level in pixels.
        loss_box: Loss of boxes: its config, name or module.
        lambda_box: Weight of the boxes, darknet's ``iou_normalizer``; by default the flavor's, 0.07 or 1.
        lambda_obj: Weight of the objectness of objects, as in darknet.
        lambda_noobj: Weight of the objectness of negatives, as in darknet.
        lambda_class: Weight of the classes, as in darknet.
        iou_thr: Shape IoU above which other anchors are responsible for an object too; 0.213 as in darknet's cfg, None
            for the best alone.
        scale_x_y: ``s`` of the offset ``s sigma(t) - (s - 1) / 2``, one per level or one for all; as in darknet's cfg.
        label_smoothing: ``e`` above, darknet's ``label_smooth_eps``.
        ignore_thr: As in darknet's cfg; None for none.
        flavor: ``'darknet'`` or ``'paper'``.

    Example:
        >>> import torch
        >>> from mmdet_losses import YOLOv4Loss
        >>> truth = torch.tensor([[[10.0, 20, 40, 60, 1]]])
        >>> loss = YOLOv4Loss(anchors=[[(30, 40)]], strides=[32], scale_x_y=1.05, loss_box="GIoULoss")
        >>> loss([torch.zeros(1, 7, 2, 2)], truth, return_dict=True)["loss_cls"]
        tensor(1.3863)
    """

    paper = "https://arxiv.org/abs/2004.10934"
    term_names = ("loss_bbox", "loss_obj", "loss_noobj", "loss_cls")

    anchors: Anchors = COCO_ANCHORS
    strides: Sequence[float] = (32, 16, 8)
    loss_box: Mapping | str | nn.Module = option(default="CIoULoss", convert=decoded_loss)
    lambda_box: float | None = option(default=None, check=none_or(at_least(0)))
    lambda_obj: float = option(default=1.0, check=at_least(0))
    lambda_noobj: float = option(default=1.0, check=at_least(0))
    lambda_class: float = option(default=1.0, check=at_least(0))
    iou_thr: float | None = option(default=0.213, check=SHARE_OR_NONE)
    scale_x_y: float | Sequence[float] = (1.05, 1.1, 1.2)
    label_smoothing: float = option(default=0.0, check=between(0, 1))
    ignore_thr: float | None = 0.7
    flavor: str = "darknet"
    reduction: str = "mean"
    loss_weight: float = 1.0

    def check_options(self) -> None:
        super().check_options()
        levels = len(self.strides)
        fits = len(self.scales) == levels and all(map(at_least(1).holds, self.scales))
        check_option("scale_x_y", self.scale_x_y, fits, f"a number of 1 or more, or {levels}, one for each level")

    @property
    def scales(self) -> Sequence[float]:
        """``scale_x_y`` of each level."""
        one = not isinstance(self.scale_x_y, (list, tuple))
        return (self.scale_x_y,) * len(self.strides) if one else self.scale_x_y

    def encoding(self) -> dict[str, Any]:
        return {"iou_thr": self.iou_thr, "several_boxes": self.flavor == "darknet"}

    def offset_scale(self, levels: Sequence[Level], like: Tensor) -> Tensor:
        scales = [like.new_full((num_rows(level), 1), s) for level, s in zip(levels, self.scales, strict=True)]
        return torch.cat(scales)

    def ignored(self, found: Predictions, truths: Truths, dense: DenseTarget) -> DenseTarget:
        if self.flavor == "paper" or self.ignore_thr is None:
            return super().ignored(found, truths, dense)
        likely = (found.raw[..., 5:].sigmoid() > LIKELY_CLASS).any(-1)
        objectness = ignore_overlapping(dense.objectness, boxes_of(found), truths, self.ignore_thr, where=likely)
        return with_objectness(dense, objectness)

    def pairs(self, found: Predictions, target: DenseTarget) -> tuple[Tensor, Tensor, Tensor]:
        boxes = boxes_of(found)
        if target.pair_row is None:
            return boxes, target.box, (target.objectness == 1).to(boxes.dtype)
        boxes = boxes.gather(1, target.pair_row.unsqueeze(-1).expand(-1, -1, 4))
        return boxes, target.pair_box.to(boxes.dtype), target.pair_share.to(boxes.dtype)

    def compute_rows(self, found: Predictions, target: DenseTarget) -> dict[str, Tensor]:
        positive, negative = logistic_objectness(found.raw[..., 4], target.objectness)
        smoothing = self.label_smoothing
        lambda_box = LAMBDA_BOX[self.flavor] if self.lambda_box is None else self.lambda_box
        classes = target.classes * (1 - smoothing) + smoothing / 2
        class_error = sigmoid_cross_entropy(found.raw[..., 5:], classes)
        return {
            "loss_bbox": lambda_box * summed_loss(self.loss_box, *self.pairs(found, target)),
            "loss_obj": self.lambda_obj * positive,
            "loss_noobj": self.lambda_noobj * negative,
            "loss_cls": self.lambda_class * summed(class_error, target.objectness == 1),
        }
