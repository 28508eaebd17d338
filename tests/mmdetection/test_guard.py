"""An IoU-type loss on a head that regresses deltas stops where the head is built; nothing else does."""

import copy
import logging
import re
from pathlib import Path

import mmdet
import pytest
import torch
from cases import one_per_class
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_losses import guard
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
        MODELS.build(dict(HEADS[head], loss_bbox=dict(type=name)))
    MODELS.build(dict(HEADS[head], reg_decoded_bbox=True, loss_bbox=dict(type=name)))


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
    assert {name for name, loss in LOSSES.items() if loss.unit} == set(LENGTHS)
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


def heads_in(node):
    """Configs of everything that ends in Head, outermost first."""
    if isinstance(node, dict):
        if str(node.get("type", "")).endswith("Head"):
            yield node
        for value in node.values():
            yield from heads_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from heads_in(value)


def shipped_heads():
    """Every different head with a loss in mmdet's configs, with one config that has it."""
    heads = {}
    for path in sorted(MMDET_CONFIGS.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            model = Config.fromfile(path, import_custom_modules=False).get("model", {})
        except (ImportError, FileNotFoundError):
            # Configs of mmpretrain's models, and two whose bases the wheel does not carry.
            continue
        for head in heads_in(model):
            if "reg_decoded_bbox" in head or any(key.startswith("loss") for key in head):
                heads.setdefault(repr(head), (head, path))
    return list(heads.values())


# What cannot be built on its own here, for reasons that have nothing to do with losses.
UNBUILDABLE = (
    "transformers is not installed|install mmpretrain first|Default process group|"
    "unexpected keyword argument 'sampling'|Cannot find None in registry"
)


def test_no_false_alarm_on_any_head_that_mmdet_ships(warnings_of_guard):
    built = 0
    for head, path in shipped_heads():
        try:
            MODELS.build(copy.deepcopy(head))
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            assert re.search(UNBUILDABLE, str(error)), f"{path}: {error}"
        else:
            built += 1
        assert warnings_of_guard == [], path
    assert built > 200, built
