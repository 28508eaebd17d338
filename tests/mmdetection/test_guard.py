"""An IoU-type loss on a head that regresses deltas stops where the head is built; nothing else does."""

import logging
from pathlib import Path

import mmdet
import pytest
import torch
from cases import REQUIRED, one_per_class
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope

from mmdet_losses import guard
from mmdet_losses.modules import RankingLoss
from mmdet_losses.registry import LOSSES, stock, stock_losses

MMDET_CONFIGS = Path(mmdet.__file__).parent / ".mim/configs"

HEADS = {
    "RetinaHead": dict(type="RetinaHead", num_classes=3, in_channels=8, stacked_convs=0),
    "RPNHead": dict(type="RPNHead", in_channels=8),
    "Shared2FCBBoxHead": dict(
        type="Shared2FCBBoxHead",
        in_channels=8,
        fc_out_channels=8,
        num_classes=3,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss"),
    ),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.boxes])
def test_box_loss_on_deltas_stops(head, name):
    with pytest.raises(ValueError, match=rf"of {head} needs decoded boxes.* reg_decoded_bbox=True to the config"):
        MODELS.build(dict(HEADS[head], loss_bbox=dict(type=name, **REQUIRED.get(name, {}))))
    loss = dict(type=name, **REQUIRED.get(name, {}))
    MODELS.build(dict(HEADS[head], reg_decoded_bbox=True, loss_bbox=loss))


def test_stock_box_loss_on_deltas_stops_too():
    with stock_losses(), pytest.raises(ValueError, match="BoundedIoULoss of RetinaHead needs decoded boxes"):
        MODELS.build(dict(HEADS["RetinaHead"], loss_bbox=dict(type="BoundedIoULoss")))


def test_it_stops_inside_a_detector():
    init_default_scope("mmdet")
    cfg = Config.fromfile(MMDET_CONFIGS / "retinanet/retinanet_r18_fpn_1x_coco.py")
    cfg.model.backbone.init_cfg = None
    cfg.model.bbox_head.loss_bbox.type = "CIoULoss"
    with pytest.raises(ValueError, match="loss_bbox=CIoULoss of RetinaHead needs decoded boxes"):
        MODELS.build(cfg.model)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["L1Loss", "SmoothL1Loss", "MSELoss", "BalancedL1Loss"])
def test_coordinate_loss_on_boxes_warns(head, name, warnings_of_guard):
    MODELS.build(dict(HEADS[head], loss_bbox=dict(type=name)))
    assert warnings_of_guard == []
    MODELS.build(dict(HEADS[head], reg_decoded_bbox=True, loss_bbox=dict(type=name)))
    (message, level), *rest = warnings_of_guard
    assert not rest
    assert level == logging.WARNING
    assert head in message
    assert name in message


ONE_ANCHOR = dict(
    type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16, 32, 64, 128]
)
GFL_OPTIONS = dict(num_classes=3, in_channels=8, stacked_convs=0, anchor_generator=ONE_ANCHOR)
STRIDE_HEADS = {
    "GFLHead": dict(type="GFLHead", **GFL_OPTIONS),
    "LDHead": dict(
        type="LDHead", loss_ld=dict(type="KnowledgeDistillationKLDivLoss", loss_weight=0.25, T=10), **GFL_OPTIONS
    ),
    "TOODHead": dict(type="TOODHead", num_classes=3, in_channels=8, stacked_convs=1, feat_channels=32),
    "FCOSHead": dict(type="FCOSHead", num_classes=3, in_channels=8, stacked_convs=0, norm_on_bbox=True),
    "CenterNetUpdateHead": dict(type="CenterNetUpdateHead", num_classes=3, in_channels=8, stacked_convs=0),
}
PIXEL_HEADS = {
    "ATSSHead": dict(type="ATSSHead", num_classes=3, in_channels=8, stacked_convs=0),
    "FCOSHead": dict(type="FCOSHead", num_classes=3, in_channels=8, stacked_convs=0),
    **{name: dict(head, reg_decoded_bbox=True) for name, head in HEADS.items()},
}
LENGTHS = ["MPDIoULoss", "NWDLoss", "WassersteinLoss", "BoundedIoULoss"]


def test_losses_with_a_length_say_its_unit():
    assert {name for name, loss in LOSSES.items() if loss.unit} == {*LENGTHS, "SDIoULoss", "SumLoss"}
    assert {LOSSES[name].unit for name in LENGTHS} == {"pixels"}


@pytest.mark.parametrize("head", STRIDE_HEADS)
@pytest.mark.parametrize("name", LENGTHS)
def test_length_in_pixels_on_boxes_in_strides_warns_once(head, name, warnings_of_guard):
    built = MODELS.build(dict(STRIDE_HEADS[head], loss_bbox=dict(type=name)))
    ((message, level),) = warnings_of_guard
    assert level == logging.WARNING
    assert f"loss_bbox={LOSSES[name].__name__} of {head} " in message
    assert "pixels" in message
    assert "GIoULoss" in message
    assert ("norm_on_bbox=False" if head == "FCOSHead" else "ATSSHead") in message
    boxes = torch.tensor([[0.0, 0, 1, 1]])
    for _ in range(2):
        built.loss_bbox(boxes, boxes)
    assert len(warnings_of_guard) == 1


@pytest.mark.parametrize("head", STRIDE_HEADS)
@pytest.mark.parametrize("name", ["GIoULoss", "WIoULoss", "ShapeIoULoss"])
def test_loss_without_a_length_on_boxes_in_strides_is_fine(head, name, warnings_of_guard):
    MODELS.build(dict(STRIDE_HEADS[head], loss_bbox=dict(type=name)))
    assert warnings_of_guard == []


@pytest.mark.parametrize("head", PIXEL_HEADS)
@pytest.mark.parametrize("name", LENGTHS)
def test_length_in_pixels_on_boxes_in_pixels_is_fine(head, name, warnings_of_guard):
    MODELS.build(dict(PIXEL_HEADS[head], loss_bbox=dict(type=name)))
    assert warnings_of_guard == []


def test_what_the_guard_knows_of_losses():
    for case in one_per_class():
        loss = case.build()
        assert guard.wants_boxes(loss) is (True if loss.slot == "rbox" else loss.boxes if loss.slot == "bbox" else None)
    for name in ("CIoULoss", "EIoULoss", "IoULoss", "BoundedIoULoss"):
        assert guard.wants_boxes(stock(name)()) is True
    for name in ("L1Loss", "SmoothL1Loss", "MSELoss", "BalancedL1Loss"):
        assert guard.wants_boxes(stock(name)()) is False
    assert guard.wants_boxes(MODELS.build(dict(type="GHMR"))) is False
    assert guard.wants_boxes(object()) is None


# ---- a loss in a slot that it is not made for ----

BASE = dict(num_classes=3, in_channels=8)
DENSE = dict(BASE, stacked_convs=0)
# DETRHead changes the default of its own constructor, so that it can be built with it but once
QUERIES = dict(num_classes=3, embed_dims=8, loss_cls=dict(type="FocalLoss", use_sigmoid=True))
NOT_BOXES = {
    "YOLACTHead": (dict(BASE), "loss_bbox", "deltas", "Add reg_decoded_bbox=True to the config of YOLACTHead"),
    "GARetinaHead": (dict(BASE, stacked_convs=0), "loss_bbox", "deltas", "Add reg_decoded_bbox=True"),
    "GARPNHead": (dict(in_channels=8), "loss_bbox", "deltas", "Add reg_decoded_bbox=True to the config of GARPNHead"),
    "StageCascadeRPNHead": (dict(in_channels=8), "loss_bbox", "deltas", "Add reg_decoded_bbox=True"),
    "FSAFHead": (DENSE, "loss_bbox", "deltas", "Add reg_decoded_bbox=True"),
    "FreeAnchorRetinaHead": (DENSE, "loss_bbox", "deltas, whatever", "another head, such as RetinaHead"),
    "PISARetinaHead": (DENSE, "loss_bbox", "deltas, whatever", "another head, such as RetinaHead"),
    "DETRHead": (QUERIES, "loss_bbox", "centres and sizes", "Put it in loss_iou"),
    "ConditionalDETRHead": (QUERIES, "loss_bbox", "centres and sizes", "Put it in loss_iou"),
    "DABDETRHead": (QUERIES, "loss_bbox", "centres and sizes", "Put it in loss_iou"),
    "DeformableDETRHead": (QUERIES, "loss_bbox", "centres and sizes", "Put it in loss_iou"),
    "DINOHead": (QUERIES, "loss_bbox", "centres and sizes", "Put it in loss_iou"),
    "FoveaHead": (DENSE, "loss_bbox", "logarithms of the distances", "coordinate loss"),
    "CenterNetHead": (dict(BASE, feat_channels=8), "loss_wh", "maps", "coordinate loss"),
    "CornerHead": (BASE, "loss_offset", "maps", "coordinate loss"),
    "CentripetalHead": (BASE, "loss_guiding_shift", "maps", "coordinate loss"),
    "YOLOV3Head": (
        dict(num_classes=3, in_channels=(8, 8, 8), out_channels=(8, 8, 8)),
        "loss_wh",
        "logarithms of sizes",
        "coordinate loss",
    ),
    "YOLOXHead": (dict(BASE, feat_channels=8), "loss_l1", "offsets from a cell", "coordinate loss"),
    "SABLRetinaHead": (DENSE, "loss_bbox_reg", "buckets", "coordinate loss"),
    "MaskIoUHead": (dict(num_classes=3), "loss_iou", "IoUs of masks", "Choose MSELoss"),
    "DDODHead": (DENSE, "loss_iou", "logits and targets", "CrossEntropyLoss"),
}


@pytest.mark.parametrize("head", NOT_BOXES)
def test_box_loss_on_what_is_no_box_stops(head, warnings_of_guard):
    options, slot, passed, remedy = NOT_BOXES[head]
    loss = dict(type="CIoULoss", reduction="sum")
    with pytest.raises(ValueError, match=rf"^{slot}=CIoULoss of {head} needs decoded boxes, but .* {passed}.*{remedy}"):
        MODELS.build(dict(options, **{"type": head, slot: loss}))
    assert warnings_of_guard == []


def test_where_the_fix_leads(warnings_of_guard):
    """What the messages above tell to do is built without a word."""
    MODELS.build(dict(QUERIES, type="DETRHead", loss_iou=dict(type="CIoULoss")))
    MODELS.build(dict(BASE, type="YOLACTHead", loss_bbox=dict(type="CIoULoss"), reg_decoded_bbox=True))
    MODELS.build(dict(in_channels=8, type="GARPNHead", loss_bbox=dict(type="CIoULoss"), reg_decoded_bbox=True))
    assert warnings_of_guard == []


MISPLACED = [
    ("RetinaHead", DENSE, "loss_bbox", "FocalLoss", "deltas", "coordinate loss such as L1Loss. The slot of the scores"),
    ("ATSSHead", DENSE, "loss_bbox", "FocalLoss", "decoded boxes", "IoU-type loss such as GIoULoss"),
    ("GFLHead", GFL_OPTIONS, "loss_bbox", "CrossEntropyLoss", "decoded boxes", "IoU-type loss such as GIoULoss"),
    ("GFLHead", GFL_OPTIONS, "loss_bbox", "DistributionFocalLoss", "decoded boxes", "loss_dfl"),
    ("GFLHead", GFL_OPTIONS, "loss_dfl", "FocalLoss", "logits of bins", "DistributionFocalLoss"),
    ("GFLHead", GFL_OPTIONS, "loss_dfl", "CIoULoss", "logits of bins", "DistributionFocalLoss"),
    ("DETRHead", QUERIES, "loss_bbox", "FocalLoss", "centres and sizes", "coordinate loss such as L1Loss"),
    ("RetinaHead", DENSE, "loss_cls", "CIoULoss", "class scores and labels", "The slot of the boxes is loss_bbox"),
    ("FCOSHead", DENSE, "loss_cls", "L1Loss", "class scores and labels", "The slot of the boxes is loss_bbox"),
    ("FCOSHead", DENSE, "loss_centerness", "GIoULoss", "logits and targets", "CrossEntropyLoss"),
    ("YOLOXHead", dict(BASE, feat_channels=8), "loss_obj", "IoULoss", "logits and targets", "CrossEntropyLoss"),
    ("FCNMaskHead", {}, "loss_mask", "CIoULoss", "masks", "CrossEntropyLoss"),
    ("RetinaHead", DENSE, "loss_bbox", "YOLOv1Loss", "deltas", "raw maps"),
]


@pytest.mark.parametrize(("head", "options", "slot", "name", "passed", "remedy"), MISPLACED)
def test_loss_in_a_slot_that_it_cannot_be_meant_for_stops(head, options, slot, name, passed, remedy):
    loss = dict(type=name, **{"use_sigmoid": True} if slot == "loss_cls" and name == "FocalLoss" else {})
    loss |= dict(stride=8) if name == "YOLOv1Loss" else {}
    with pytest.raises(ValueError, match=rf"^{slot}={name} of {head} .*passes it {passed}.*{remedy}"):
        MODELS.build(dict(options, **{"type": head, slot: loss}))


@pytest.mark.parametrize("name", ["DistributionFocalLoss", "GHMC", "GHMR", "QualityFocalLoss", "VarifocalLoss"])
def test_stock_losses_are_told_apart_too(name):
    slot = "loss_cls" if name in ("DistributionFocalLoss", "GHMR") else "loss_bbox"
    with stock_losses(), pytest.raises(ValueError, match=f"{slot}={name} of ATSSHead"):
        MODELS.build(dict(DENSE, **{"type": "ATSSHead", slot: dict(type=name)}))


def only(messages):
    ((message, level),) = messages
    assert level == logging.WARNING
    return message


@pytest.mark.parametrize("name", ["L1Loss", "SmoothL1Loss", "GHMR"])
@pytest.mark.parametrize(
    ("head", "slot"),
    [("GFLHead", "loss_bbox"), ("ATSSHead", "loss_bbox"), ("FCOSHead", "loss_bbox"), ("DETRHead", "loss_iou")],
)
def test_coordinate_loss_where_boxes_come_warns(head, slot, name, warnings_of_guard):
    options = {"GFLHead": GFL_OPTIONS, "DETRHead": QUERIES}.get(head, DENSE)
    MODELS.build(dict(options, **{"type": head, slot: dict(type=name)}))
    message = only(warnings_of_guard)
    assert message.startswith(f"{slot}={name} of {head} is a loss of coordinates")
    assert "Choose an IoU-type loss such as GIoULoss" in message


RANKING = [name for name, loss in LOSSES.items() if issubclass(loss, RankingLoss)]


@pytest.mark.parametrize("name", RANKING)
@pytest.mark.parametrize("head", ["RetinaHead", "ATSSHead", "DDODHead", "RepPointsHead", "FCOSHead", "YOLOFHead"])
def test_ranking_within_a_level_warns(head, name, warnings_of_guard):
    decodes = dict(loss_bbox=dict(type="GIoULoss")) if head in ("ATSSHead", "DDODHead", "YOLOFHead") else {}
    options = {"RepPointsHead": dict(BASE, point_feat_channels=8), "YOLOFHead": BASE}.get(head, DENSE)
    MODELS.build(dict(options, **decodes, type=head, loss_cls=dict(type=name, use_sigmoid=True)))
    if head in ("FCOSHead", "YOLOFHead"):
        assert warnings_of_guard == []
    else:
        message = only(warnings_of_guard)
        assert message.startswith(f"loss_cls={name} of {head} ranks all logits of a call")
        assert "once per level" in message
        assert "FCOSHead or VFNetHead" in message


def test_slot_that_is_never_called_warns(warnings_of_guard):
    options = dict(BASE, type="RepPointsHead", point_feat_channels=8)
    MODELS.build(dict(options))
    assert warnings_of_guard == []
    MODELS.build(dict(options, loss_bbox=dict(type="CIoULoss")))
    assert only(warnings_of_guard).startswith("loss_bbox=CIoULoss of RepPointsHead is never called")


@pytest.mark.parametrize("slot", ["loss_cls", "loss_bbox"])
def test_mean_in_fsaf_warns(slot, warnings_of_guard):
    """It adds the values of each object up itself."""
    losses = {
        "loss_cls": dict(type="FocalLoss", use_sigmoid=True, reduction="none"),
        "loss_bbox": dict(type="IoULoss", reduction="none"),
    }
    fsaf = dict(DENSE, type="FSAFHead", reg_decoded_bbox=True, **losses)
    MODELS.build(dict(fsaf))
    assert warnings_of_guard == []
    MODELS.build(dict(fsaf, **{slot: dict(losses[slot], reduction="mean")}))
    message = only(warnings_of_guard)
    assert message.startswith(f"{slot}={losses[slot]['type']} of FSAFHead returns one number")
    assert f'Add reduction="none" to the config of {slot}' in message


# ---- sigmoid or softmax ----


@pytest.mark.parametrize("head", ["RetinaHead", "FCOSHead", "ATSSHead", "RPNHead", "GARetinaHead", "SABLRetinaHead"])
@pytest.mark.parametrize("name", ["FocalLoss", "GHMC", "AsymmetricLoss", "Poly1FocalLoss"])
def test_sigmoid_that_the_config_does_not_say_stops(head, name):
    options = dict(in_channels=8) if head == "RPNHead" else DENSE
    with pytest.raises(ValueError, match=f"loss_cls={name} of {head} is a loss of sigmoids.*Add use_sigmoid=True"):
        MODELS.build(dict(options, type=head, loss_cls=dict(type=name)))
    MODELS.build(dict(options, type=head, loss_cls=dict(type=name, use_sigmoid=True)))


def test_stock_focal_loss_that_the_config_does_not_call_a_sigmoid_stops_too():
    with stock_losses(), pytest.raises(ValueError, match="Add use_sigmoid=True to the config of loss_cls"):
        MODELS.build(dict(DENSE, type="RetinaHead", loss_cls=dict(type="FocalLoss")))


def test_softmax_where_the_head_has_no_background_stops():
    with pytest.raises(ValueError, match="loss_cls=CrossEntropyLoss of YOLOXHead is a loss of a softmax"):
        MODELS.build(dict(BASE, type="YOLOXHead", feat_channels=8, loss_cls=dict(type="CrossEntropyLoss")))


def test_softmax_that_both_know_is_fine(warnings_of_guard):
    for name in ("FocalLoss", "CrossEntropyLoss"):
        MODELS.build(dict(DENSE, type="RetinaHead", loss_cls=dict(type=name, use_sigmoid=False)))
    MODELS.build(dict(DENSE, type="RetinaHead", loss_cls=dict(type="CrossEntropyLoss")))
    assert warnings_of_guard == []


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "FocalLoss", "GHMC", "AsymmetricLoss"])
def test_sigmoids_in_a_two_stage_head_warn(name, warnings_of_guard):
    head = MODELS.build(dict(HEADS["Shared2FCBBoxHead"], loss_cls=dict(type=name, use_sigmoid=True)))
    message = only(warnings_of_guard)
    assert message.startswith(f"loss_cls={name} of Shared2FCBBoxHead trains a sigmoid for each")
    softmax = name if name in ("CrossEntropyLoss", "FocalLoss") else "CrossEntropyLoss"
    assert f'type="{softmax}"' in message
    # what the message says is so
    logits = torch.full((1, head.num_classes + 1), -4.0)
    head.num_classes = 1
    assert logits[:, :2].softmax(-1).tolist() == [[0.5, 0.5]]


def test_what_the_message_tells_to_write_in_a_two_stage_head_is_fine(warnings_of_guard):
    for loss in (
        dict(type="FocalLoss", use_sigmoid=False),
        dict(type="CrossEntropyLoss"),
        dict(type="CrossEntropyCustomLoss", use_sigmoid=True, num_classes=3),
        dict(type="SeesawLoss", num_classes=3),
        dict(type="EQLV2Loss", num_classes=3),
    ):
        MODELS.build(dict(HEADS["Shared2FCBBoxHead"], loss_cls=loss))
    assert warnings_of_guard == []


# ---- heads that nobody knows ----


class Own(torch.nn.Module):
    """A head of one's own."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def build_in_a_registry_of_its_own(kind, **options):
    registry = Registry("model", parent=MODELS, scope="own")
    try:
        registry.register_module(module=kind)
        return registry.build(dict(options, type=f"own.{kind.__name__}"))
    finally:
        del MODELS.children["own"]


def build_own(**attributes):
    return build_in_a_registry_of_its_own(Own, **attributes)


def loss_of(name):
    return LOSSES[name]()


def test_own_head_that_says_it_passes_deltas_warns(warnings_of_guard):
    build_own(loss_bbox=loss_of("CIoULoss"), reg_decoded_bbox=False)
    message = only(warnings_of_guard)
    assert message.startswith("loss_bbox=CIoULoss of Own needs decoded boxes, but the head says reg_decoded_bbox=False")


@pytest.mark.parametrize(("slot", "name"), [("loss_cls", "CIoULoss"), ("loss_obj", "IoULoss"), ("loss_bbox", None)])
def test_own_head_with_what_cannot_be_meant_stops(slot, name):
    loss = LOSSES["YOLOv1Loss"](stride=8) if name is None else loss_of(name)
    with pytest.raises(ValueError, match=f"^{slot}={type(loss).__name__} of Own is "):
        build_own(**{slot: loss})


def test_own_head_with_scores_in_the_slot_of_boxes_warns(warnings_of_guard):
    build_own(loss_bbox=loss_of("FocalLoss"))
    assert only(warnings_of_guard).startswith("loss_bbox=FocalLoss of Own is a classification loss in a slot of boxes")


def test_own_head_whose_flag_disagrees_with_its_loss_warns(warnings_of_guard):
    build_own(loss_cls=loss_of("FocalLoss"), use_sigmoid_cls=False)
    assert only(warnings_of_guard).startswith("loss_cls=FocalLoss of Own is a loss of sigmoids")


def test_own_head_that_is_as_it_should_be_passes(warnings_of_guard):
    build_own(loss_bbox=loss_of("CIoULoss"))
    build_own(loss_bbox=loss_of("CIoULoss"), reg_decoded_bbox=True, loss_iou=loss_of("GIoULoss"))
    build_own(loss_bbox=loss_of("L1Loss"), reg_decoded_bbox=False)
    build_own(loss_cls=loss_of("FocalLoss"), use_sigmoid_cls=True, loss_iou=loss_of("CrossEntropyLoss"))
    assert warnings_of_guard == []


@pytest.mark.parametrize("name", ["GFLHead", "ATSSHead", "FCOSHead"])
def test_own_head_on_one_that_decodes_passes(name, warnings_of_guard):
    """GFLHead says reg_decoded_bbox=False and decodes."""
    mine = type("Mine", (MODELS.get(name),), {"loss_by_feat_single": lambda self: None, "loss_by_feat": None})
    options = dict(GFL_OPTIONS if name == "GFLHead" else DENSE, loss_cls=dict(type="FocalLoss", use_sigmoid=True))
    flag = {} if name == "FCOSHead" else dict(reg_decoded_bbox=False)
    build_in_a_registry_of_its_own(mine, **options | flag | dict(loss_bbox=dict(type="CIoULoss")))
    assert warnings_of_guard == []
