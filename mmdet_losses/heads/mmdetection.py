"""What each head of MMDetection passes to each of its losses, as read in MMDetection 3.3.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import passed
from .kinds import BOXES
from .passed import Passed

COMPUTE = ("loss_by_feat", "loss_by_feat_single", "loss_and_target")
"""Methods of a head, one of which calls the losses."""

Slots = Mapping[str, Passed]

CENTERNESS: Slots = {"loss_centerness": passed.QUALITIES}
BY_LEVEL: Slots = {"loss_cls": passed.LABELS_BY_LEVEL}
AT_ONCE: Slots = {"loss_cls": passed.LABELS}
BY_FLAG: Slots = {**BY_LEVEL, "loss_bbox": passed.DELTAS}
ATSS: Slots = {**BY_LEVEL, **CENTERNESS, "loss_bbox": passed.PIXELS}
FCOS: Slots = {**AT_ONCE, **CENTERNESS, "loss_bbox": passed.MIXED_BY_FLAG}
GFL: Slots = {
    "loss_cls": passed.QUALITIES_BY_LEVEL,
    "loss_bbox": passed.STRIDES,
    "loss_dfl": passed.DISTRIBUTION,
}
RTMDET: Slots = {
    "loss_cls": passed.QUALITIES_BY_LEVEL,
    "loss_bbox": passed.PIXELS,
    "loss_centerness": passed.UNUSED,
}
DETR: Slots = {**AT_ONCE, "loss_bbox": passed.CENTRES, "loss_iou": passed.PIXELS}
GUIDED: Slots = {**BY_FLAG, "loss_shape": passed.PIXELS, "loss_loc": passed.LABELS_BY_LEVEL}
TWO_STAGE: Slots = {**AT_ONCE, "loss_bbox": passed.DELTAS}
BUCKETS: Slots = {"loss_bbox_cls": passed.QUALITIES, "loss_bbox_reg": passed.BUCKETS}
MASK: Slots = {"loss_mask": passed.MASKS}
MASK_QUERIES: Slots = {**AT_ONCE, **MASK, "loss_dice": passed.MASKS}
SEMANTIC: Slots = {"loss_seg": passed.MASKS}
CORNERS: Slots = {"loss_heatmap": passed.HEAT_MAP, "loss_offset": passed.MAPS}


class Entry(NamedTuple):
    """A head of MMDetection."""

    slots: Slots
    decisive: tuple[str, ...] = COMPUTE
    """Methods that a subclass must not override for this to hold of it, too."""
    reduces: str = "mean"
    """Reduction that it needs of its losses where the defaults of its constructor do not tell."""


SINGLE = ("loss_by_feat_single",)
"""Of heads that call their losses in this method whatever calls it."""

TABLE: Mapping[str, Entry] = {
    "AnchorHead": Entry(BY_FLAG),
    "ATSSHead": Entry(ATSS, SINGLE),
    "ATSSVLFusionHead": Entry({**ATSS, "loss_cls": passed.DENSE_BY_LEVEL}, SINGLE),
    "AutoAssignHead": Entry(
        {"loss_cls": passed.UNUSED, "loss_centerness": passed.UNUSED, "loss_bbox": passed.PIXELS},
    ),
    "BBoxHead": Entry(TWO_STAGE, (*COMPUTE, "loss")),
    "BaseSemanticHead": Entry(SEMANTIC, (*COMPUTE, "loss")),
    "CenterNetHead": Entry(
        {"loss_center_heatmap": passed.HEAT_MAP, "loss_wh": passed.MAPS, "loss_offset": passed.MAPS}
    ),
    "CenterNetUpdateHead": Entry({"loss_cls": passed.HEAT_MAP, "loss_bbox": passed.MIXED}),
    "CentripetalHead": Entry({**CORNERS, "loss_guiding_shift": passed.MAPS, "loss_centripetal_shift": passed.MAPS}),
    "CondInstBboxHead": Entry(FCOS),
    "CondInstMaskHead": Entry(MASK),
    "BoxInstMaskHead": Entry(MASK),
    "CornerHead": Entry(CORNERS),
    "DDODHead": Entry({**BY_LEVEL, "loss_bbox": passed.PIXELS, "loss_iou": passed.QUALITIES}),
    "DDQDETRHead": Entry(DETR),
    "DETRHead": Entry(DETR, SINGLE),
    "DIIHead": Entry({**AT_ONCE, "loss_bbox": passed.PARTS, "loss_iou": passed.PIXELS}),
    "DINOHead": Entry(DETR, SINGLE),
    "DecoupledSOLOHead": Entry({**AT_ONCE, **MASK}),
    "DeformableDETRHead": Entry(DETR, SINGLE),
    "DynamicMaskHead": Entry(MASK),
    "FCNMaskHead": Entry(MASK),
    "FCOSHead": Entry(FCOS),
    "FSAFHead": Entry(BY_FLAG, reduces="none"),
    "FoveaHead": Entry({**AT_ONCE, "loss_bbox": passed.SIDES}),
    "FreeAnchorRetinaHead": Entry({"loss_cls": passed.UNUSED, "loss_bbox": passed.ALWAYS_DELTAS}),
    "FusedSemanticHead": Entry(SEMANTIC, (*COMPUTE, "loss")),
    "GARPNHead": Entry(GUIDED),
    "GFLHead": Entry(GFL, SINGLE),
    "GridHead": Entry({"loss_grid": passed.MASKS}, (*COMPUTE, "loss")),
    "GroundingDINOHead": Entry({**DETR, "loss_cls": passed.DENSE}, SINGLE),
    "GuidedAnchorHead": Entry(GUIDED),
    "LADHead": Entry({**AT_ONCE, **CENTERNESS, "loss_bbox": passed.PIXELS}),
    "LDHead": Entry({**GFL, "loss_ld": passed.DISTILLED}, SINGLE),
    "LinearReIDHead": Entry(AT_ONCE),
    "Mask2FormerHead": Entry(MASK_QUERIES),
    "Mask2FormerTrackHead": Entry(MASK_QUERIES),
    "MaskFormerHead": Entry(MASK_QUERIES),
    "MaskIoUHead": Entry({"loss_iou": passed.QUALITIES_OF_MASKS}),
    "MaskPointHead": Entry({"loss_point": passed.MASKS}),
    "MultiInstanceBBoxHead": Entry({**AT_ONCE, "loss_bbox": passed.ALWAYS_DELTAS}, (*COMPUTE, "loss"), reduces="none"),
    "PAAHead": Entry({**AT_ONCE, **CENTERNESS, "loss_bbox": passed.PIXELS}),
    "PISARetinaHead": Entry({**AT_ONCE, "loss_bbox": passed.ALWAYS_DELTAS}),
    "PanopticFPNHead": Entry(SEMANTIC, (*COMPUTE, "loss")),
    "RPNHead": Entry(BY_FLAG),
    "RTMDetHead": Entry(RTMDET, SINGLE),
    "RTMDetInsHead": Entry({**RTMDET, **MASK}, SINGLE),
    "RepPointsHead": Entry(
        {
            **BY_LEVEL,
            "loss_bbox": passed.UNUSED,
            "loss_bbox_init": passed.POINTS,
            "loss_bbox_refine": passed.POINTS,
        },
        SINGLE,
    ),
    "RoIEmbedHead": Entry({"loss_match": passed.LABELS}),
    "SABLHead": Entry({**AT_ONCE, **BUCKETS}, (*COMPUTE, "loss")),
    "SABLRetinaHead": Entry({**BY_LEVEL, **BUCKETS}, SINGLE),
    "SOLOHead": Entry({**AT_ONCE, **MASK}),
    "SOLOV2Head": Entry({**AT_ONCE, **MASK}),
    "StageCascadeRPNHead": Entry(BY_FLAG),
    "TOODHead": Entry(
        {
            "initial_loss_cls": passed.LABELS_BY_LEVEL,
            "loss_cls": passed.QUALITIES_BY_LEVEL,
            "loss_bbox": passed.STRIDES,
            "loss_centerness": passed.UNUSED,
        },
        SINGLE,
    ),
    "VFNetHead": Entry({"loss_cls": passed.DENSE, "loss_bbox": passed.PIXELS, "loss_bbox_refine": passed.PIXELS}),
    "YOLACTHead": Entry({"loss_cls": passed.LABELS_BY_IMAGE, "loss_bbox": passed.DELTAS}),
    "YOLACTProtonet": Entry({"loss_segm": passed.MASKS}),
    "YOLOFHead": Entry({**AT_ONCE, "loss_bbox": passed.PIXELS}),
    "YOLOV3Head": Entry(
        {
            "loss_cls": passed.DENSE_BY_LEVEL,
            "loss_conf": passed.QUALITIES,
            "loss_xy": passed.PLACES,
            "loss_wh": passed.SIZES,
        },
        SINGLE,
    ),
    "YOLOXHead": Entry(
        {
            "loss_cls": passed.DENSE,
            "loss_obj": passed.QUALITIES,
            "loss_bbox": passed.PIXELS,
            "loss_l1": passed.OFFSETS,
        }
    ),
}
"""Heads that compute their losses, by name; a subclass that overrides nothing decisive passes the same."""


def is_stock(kind: type) -> bool:
    """Whether a class is one of MMDetection's models."""
    return kind.__module__.startswith("mmdet.models.")


def nearest(kind: type) -> tuple[type | None, Entry | None]:
    """The class of MMDetection in a head's line that has an entry, and the entry."""
    owner = next((base for base in kind.__mro__ if base.__name__ in TABLE and is_stock(base)), None)
    return owner, None if owner is None else TABLE[owner.__name__]


def known(kind: type) -> Entry | None:
    """The entry of a head that computes its losses as MMDetection does; None for any other module."""
    owner, entry = nearest(kind)
    if entry is None or any(getattr(kind, name, None) is not getattr(owner, name, None) for name in entry.decisive):
        return None
    return entry


def decodes(kind: type) -> bool:
    """Whether a head derives from one that passes boxes whatever its flags are."""
    _, entry = nearest(kind)
    return entry is not None and BOXES in entry.slots.get("loss_bbox", passed.DELTAS).fits


def passed_to(head: Any, slot: str) -> Passed | None:
    """What a head passes to a slot; None where that is not known."""
    entry = known(type(head))
    found = None if entry is None else entry.slots.get(slot)
    if found is passed.DELTAS and getattr(head, "reg_decoded_bbox", False):
        return passed.DECODED
    if found is passed.MIXED_BY_FLAG and not getattr(head, "norm_on_bbox", False):
        return passed.PIXELS
    return found
