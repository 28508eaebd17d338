"""YOLOv3's objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..functional.classification import sigmoid_cross_entropy
from ..modules.base import published
from ..modules.declared import Check, at_least, option
from .anchors import SHARE_OR_NONE, AnchorLoss, Anchors, logistic_objectness
from .base import summed
from .decode import Predictions, encode_offsets, small_object_scale
from .encode import DenseTarget, Truths

__all__ = ["YOLOv3Loss"]

COCO_ANCHORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
"""darknet's yolov3.cfg and mmdet's YOLOV3Head, the coarsest level first."""
BORDER = 1e-6
IGNORE_THR = {"paper": 0.5, "darknet": 0.7}
THRESHOLD = Check(
    lambda value: (isinstance(value, str) and value == "flavor") or SHARE_OR_NONE.holds(value),
    "None, 'flavor' or from 0 to 1",
)


@published()
class YOLOv3Loss(AnchorLoss):
    """YOLOv3's objective: coordinates in t-space, objectness and classes by independent logistic terms.

    ``sum_obj (2 - W H) [lambda_xy (BCE(t_x, X) + BCE(t_y, Y)) + lambda_wh ((t_w - T_w)**2 + (t_h - T_h)**2) / 2]
    + lambda_obj sum_obj BCE(t_o, 1) + lambda_noobj sum_noobj BCE(t_o, 0) + lambda_class sum_obj sum_k BCE(t_k, P_k)``
    with ``W, H`` the object's size relative to the image. ``flavor='paper'`` has ``(t - T)**2`` for all four.
    In the cell that holds an object's centre, the best anchor of all levels by shape IoU (that of width and height
    alone) is responsible for it, however low the IoU; of two objects matched to one anchor the last gives the box, and
    both give their class.

    Shapes and units: ``pred`` is a list with the map ``(B, A * (5 + C), H, W)`` of raw outputs of each level.
    ``target`` is ``(B, M, 5)`` in pixels, or a dense target. ``'none'`` gives ``(B,)``. Terms: ``loss_xy``,
    ``loss_wh``, ``loss_obj``, ``loss_noobj``, ``loss_cls``. Range: [0, inf).

    Paper: https://arxiv.org/abs/1804.02767. ``flavor='darknet'`` is the default: the paper prints no formula, and its
    words, squared errors of t, make the target infinite for a centre on a cell's border (here clamped to logit(1e-6)).
    With ``'paper'`` a prediction without an object is ignored where its anchor, centred on the cell, overlaps one by
    more than 0.5; with ``'darknet'`` where its predicted box does by more than 0.7. Differs from mmdet's
    ``YOLOV3Head``: that has no ``2 - W H`` (``coord_scale=False``), other weights (``lambda_xy=2, lambda_wh=4``), and
    assigns by the IoU of anchors centred on their cells, several anchors to an object. More in docs/yolo/v3.md.

    Args:
        anchors: Width and height in pixels of the anchors of each level; darknet's and mmdet's for COCO.
        strides: Side of a cell of each level in pixels.
        lambda_xy: Weight of the centres, as in darknet.
        lambda_wh: Weight of the sizes, as in darknet.
        lambda_obj: Weight of the objectness of objects, as in darknet.
        lambda_noobj: Weight of the objectness of negatives, as in darknet.
        lambda_class: Weight of the classes, as in darknet.
        ignore_thr: ``'flavor'`` for the flavor's, 0.5 or 0.7; None for none.
        coord_scale: Whether ``2 - W H`` multiplies the coordinates.
        flavor: ``'darknet'`` or ``'paper'``.

    Example:
        >>> import torch
        >>> from mmdet_losses import YOLOv3Loss
        >>> truth = torch.tensor([[[10.0, 20, 40, 60, 1]]])
        >>> YOLOv3Loss(anchors=[[(30, 40)]], strides=[32])([torch.zeros(1, 7, 2, 2)], truth)
        tensor(6.5253)
    """

    paper = "https://arxiv.org/abs/1804.02767"
    term_names = ("loss_xy", "loss_wh", "loss_obj", "loss_noobj", "loss_cls")

    anchors: Anchors = COCO_ANCHORS
    strides: Sequence[float] = (32, 16, 8)
    lambda_xy: float = option(default=1.0, check=at_least(0))
    lambda_wh: float = option(default=1.0, check=at_least(0))
    lambda_obj: float = option(default=1.0, check=at_least(0))
    lambda_noobj: float = option(default=1.0, check=at_least(0))
    lambda_class: float = option(default=1.0, check=at_least(0))
    ignore_thr: float | str | None = option(default="flavor", check=THRESHOLD)
    coord_scale: bool = True
    flavor: str = "darknet"
    reduction: str = "mean"
    loss_weight: float = 1.0

    def ignoring(self) -> float | None:
        return IGNORE_THR[self.flavor] if self.ignore_thr == "flavor" else self.ignore_thr

    def encoding(self) -> dict[str, Any]:
        return {"prior_ignore_thr": self.ignoring()} if self.flavor == "paper" else {}

    def ignored(self, found: Predictions, truths: Truths, dense: DenseTarget) -> DenseTarget:
        return dense if self.flavor == "paper" else super().ignored(found, truths, dense)

    def coordinate_terms(self, found: Predictions, target: DenseTarget) -> tuple[Tensor, Tensor]:
        """Errors of centre and of size of each row, ``(B, N, 2)`` each."""
        place, size = encode_offsets(target.box, found.rows)
        size_error = (found.raw[..., 2:4] - size) ** 2
        if self.flavor == "paper":
            return (found.raw[..., :2] - place.clamp(BORDER, 1 - BORDER).logit()) ** 2, size_error
        return sigmoid_cross_entropy(found.raw[..., :2], place), size_error / 2

    def compute_rows(self, found: Predictions, target: DenseTarget) -> dict[str, Tensor]:
        objects = target.objectness == 1
        positive, negative = logistic_objectness(found.raw[..., 4], target.objectness)
        place_error, size_error = self.coordinate_terms(found, target)
        scale = small_object_scale(target.box, found.rows).unsqueeze(-1) if self.coord_scale else 1.0
        class_error = sigmoid_cross_entropy(found.raw[..., 5:], target.classes)
        return {
            "loss_xy": self.lambda_xy * summed(scale * place_error, objects),
            "loss_wh": self.lambda_wh * summed(scale * size_error, objects),
            "loss_obj": self.lambda_obj * positive,
            "loss_noobj": self.lambda_noobj * negative,
            "loss_cls": self.lambda_class * summed(class_error, objects),
        }
