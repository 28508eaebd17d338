"""Looks at a head's box loss where the head is built.

Stops the commonest mistake with IoU-type losses, that boxes are asked for and deltas come, and warns where a loss that
compares boxes with a length gets them in another unit.
"""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import (
    AnchorHead,
    CenterNetUpdateHead,
    CondInstBboxHead,
    FCOSHead,
    FSAFHead,
    GFLHead,
    GuidedAnchorHead,
    LDHead,
    RPNHead,
    TOODHead,
)
from mmdet.models.roi_heads.bbox_heads import BBoxHead

from .log import warn
from .mmrotate import check_rotated_head
from .modules import Loss
from .slots import check_slots

STOCK_BOX_LOSSES = ("iou_loss",)
STOCK_COORDINATE_LOSSES = ("balanced_l1_loss", "ghm_loss", "mse_loss", "smooth_l1_loss")
"""Files of mmdet's own losses, for those that have no counterpart here."""

CALLERS = tuple(kind.loss_by_feat for kind in (AnchorHead, FSAFHead, GuidedAnchorHead, RPNHead))
"""What calls ``AnchorHead.loss_by_feat_single``, where the flag is read."""


IN_STRIDES = tuple(kind.loss_by_feat_single for kind in (GFLHead, LDHead, TOODHead))
"""Loss computations that divide boxes by the stride of their level."""

IN_MIXED_UNITS = tuple(kind.loss_by_feat for kind in (FCOSHead, CondInstBboxHead, CenterNetUpdateHead))
"""Loss computations that add distances in strides to points in pixels, the first two with ``norm_on_bbox`` only."""

ANOTHER_HEAD = "use a head that passes pixels, such as ATSSHead"


def honours_flag(head: Any) -> bool:
    """Whether ``reg_decoded_bbox`` decides what reaches the head's box loss.

    It does where mmdet's own loss computation is used as it is; a head that overrides it (GFL, LD, DDOD, ATSS,
    VFNet, DII, ...) decodes, or does not, by rules of its own.
    """
    kind = type(head)
    if isinstance(head, AnchorHead):
        inherited = kind.loss_by_feat_single is AnchorHead.loss_by_feat_single
        return inherited and kind.loss_by_feat in CALLERS
    inherited = isinstance(head, BBoxHead) and kind.loss_and_target is BBoxHead.loss_and_target
    return inherited and kind.loss is BBoxHead.loss


def wants_boxes(loss: Any) -> bool | None:
    """True for a loss of boxes, False for one of coordinates, None for one that is not known."""
    if isinstance(loss, Loss):
        return {"bbox": loss.boxes, "rbox": True}.get(loss.slot)
    package, _, file = type(loss).__module__.rpartition(".")
    if package != "mmdet.models.losses" or file not in STOCK_BOX_LOSSES + STOCK_COORDINATE_LOSSES:
        return None
    return file in STOCK_BOX_LOSSES


def wrong_unit(head: Any) -> tuple[str, str]:
    """What unit, other than pixels, the boxes have that a head passes to its box loss, and how to get pixels."""
    kind = type(head)
    if getattr(kind, "loss_by_feat_single", None) in IN_STRIDES:
        return "divides them by the stride of their level", ANOTHER_HEAD
    if getattr(kind, "loss_by_feat", None) in IN_MIXED_UNITS and getattr(head, "norm_on_bbox", True):
        remedy = "set norm_on_bbox=False" if hasattr(head, "norm_on_bbox") else ANOTHER_HEAD
        return "passes points in pixels and sizes in strides", remedy
    return "", ""


def check_head(head: Any) -> None:
    """Check that a head passes its box loss what the loss is made for; anything else passes through.

    A coordinate loss on decoded boxes, a loss with a length in pixels on boxes in another unit, and a mean where the
    head expects a sum are logged as warnings.

    Raises:
        ValueError: For an IoU-type loss on a head that regresses deltas, and for a loss that returns one tensor where
            the head unpacks two.
    """
    check_slots(head)
    check_unit(head)
    check_rotated_head(head)
    if not honours_flag(head):
        return
    loss = getattr(head, "loss_bbox", None)
    boxes, decoded = wants_boxes(loss), head.reg_decoded_bbox
    names = f"loss_bbox={type(loss).__name__} of {type(head).__name__}"
    if boxes is True and not decoded:
        raise ValueError(
            f"{names} needs decoded boxes, but the head passes it deltas (reg_decoded_bbox=False). Add "
            f"reg_decoded_bbox=True to the config of {type(head).__name__}, or choose a coordinate loss such as L1Loss."
        )
    if boxes is False and decoded:
        warn(
            f"{names} is a loss of coordinates, but the head passes it decoded boxes in pixels "
            "(reg_decoded_bbox=True): its value depends on the size of the objects. Set reg_decoded_bbox=False for "
            "deltas, or choose an IoU-type loss."
        )


def check_unit(head: Any) -> None:
    """Warn where a box loss whose options hold a length in pixels gets boxes in another unit."""
    loss = getattr(head, "loss_bbox", None)
    unit = loss.unit if isinstance(loss, Loss) else ""
    found, remedy = wrong_unit(head) if unit else ("", "")
    if found:
        warn(
            f"loss_bbox={type(loss).__name__} of {type(head).__name__} compares boxes with a length in {unit}, but the "
            f"head {found}: the length means another one on every level. For another loss, choose one that is the same "
            f"in every unit, such as GIoULoss; to keep this one, {remedy}."
        )
