"""What a head wants of the loss in a slot, and what is said where the loss gives something else."""

import logging
from functools import partial

import pytest
import torch
from cases import REQUIRED
from mmdet.models.losses import IoULoss as MMDetIoULoss
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

import mmdet_losses
from mmdet_losses import guard, slots
from mmdet_losses.registry import LOSSES, stock_losses

YOLOX = dict(type="YOLOXHead", num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1)
YOLOX_LOSSES = {
    "loss_cls": dict(type="CrossEntropyLoss", use_sigmoid=True),
    "loss_bbox": dict(type="CIoULoss"),
    "loss_obj": dict(type="CrossEntropyLoss", use_sigmoid=True),
    "loss_l1": dict(type="L1Loss"),
}


# Stand-ins for heads of MMYOLO 0.6.0. Each has the constructor of the real one as far as its losses go, and uses them
# as its `loss_by_feat` does: YOLOv5 unpacks the box loss and takes the mean of all three; YOLOv7 inherits the
# constructor and unpacks in a `loss_by_feat` of its own; YOLOv8 divides the sum of the box loss and reduces the class
# loss itself; YOLOv6 divides the sum of the class loss.
V5_BOX = dict(type="IoULoss", iou_mode="ciou", bbox_format="xywh", eps=1e-7, reduction="mean", return_iou=True)
V5_CLS = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=0.5)
V8_BOX = dict(type="IoULoss", iou_mode="ciou", bbox_format="xyxy", reduction="sum", loss_weight=7.5, return_iou=False)
V8_CLS = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="none", loss_weight=0.5)
V8_DFL = dict(type="mmdet.DistributionFocalLoss", reduction="mean", loss_weight=1.5 / 4)
V6_BOX = dict(type="IoULoss", iou_mode="giou", bbox_format="xyxy", reduction="mean", loss_weight=2.5, return_iou=False)
V6_CLS = dict(type="mmdet.VarifocalLoss", use_sigmoid=True, reduction="sum", loss_weight=1.0)


class YOLOv5Head(nn.Module):
    def __init__(self, loss_cls=V5_CLS, loss_bbox=V5_BOX, loss_obj=V5_CLS, init_cfg=None):
        super().__init__()
        self.loss_cls, self.loss_bbox, self.loss_obj = loss_cls, loss_bbox, loss_obj

    def loss_by_feat(self, pred, target):
        loss, iou = self.loss_bbox(pred, target)
        return loss, iou


class YOLOv7Head(YOLOv5Head):
    def __init__(self, *args, simota_candidate_topk=20, **kwargs):
        super().__init__(*args, **kwargs)

    def loss_by_feat(self, pred, target):
        loss, iou = self.loss_bbox(pred, target)
        return loss, iou


class YOLOv8Head(YOLOv5Head):
    def __init__(self, loss_cls=V8_CLS, loss_bbox=V8_BOX, loss_dfl=V8_DFL, init_cfg=None):
        super().__init__(loss_cls, loss_bbox, None, init_cfg)
        self.loss_dfl = loss_dfl

    def loss_by_feat(self, pred, target):
        return self.loss_bbox(pred, target) / len(pred)


class YOLOv6Head(YOLOv5Head):
    def __init__(self, loss_cls=V6_CLS, loss_bbox=V6_BOX, init_cfg=None):
        super().__init__(loss_cls, loss_bbox, None, init_cfg)

    def loss_by_feat(self, pred, target):
        return self.loss_bbox(pred, target, avg_factor=len(pred))


class ReturnsIoU(nn.Module):
    """MMYOLO's ``IoULoss``: ``(loss, iou)`` with ``return_iou``, its default."""

    def __init__(self, return_iou=True, reduction="mean"):
        super().__init__()
        self.return_iou, self.reduction = return_iou, reduction

    def forward(self, pred, target, weight=None, avg_factor=None, reduction_override=None):
        iou = 1 - mmdet_losses.CIoULoss(reduction="none")(pred, target)
        loss = (1 - iou).sum() if self.reduction == "sum" else (1 - iou).mean()
        return (loss, iou) if self.return_iou else loss


MEAN_OF_CLASSES = mmdet_losses.CrossEntropyLoss(use_sigmoid=True)
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 8, 8], [2, 2, 9, 9]])


@pytest.mark.parametrize("kind", [YOLOv5Head, YOLOv7Head])
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.boxes])
def test_head_that_unpacks_loss_and_iou_stops(kind, name):
    head = kind(MEAN_OF_CLASSES, LOSSES[name](**REQUIRED.get(name, {})), MEAN_OF_CLASSES)
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):  # what it would come to
        head.loss_by_feat(BOXES, BOXES + 1)
    with pytest.raises(ValueError, match=rf"loss_bbox={LOSSES[name].__name__} of {kind.__name__} .*\(loss, iou\)") as e:
        guard.check_head(head)
    assert "(cx, cy, w, h)" in str(e.value)
    assert 'type="IoULoss", return_iou=True' in str(e.value)
    assert "YOLOv8Head" in str(e.value)


def test_other_losses_that_return_one_tensor_stop_too():
    for loss in (MMDetIoULoss(), ReturnsIoU(return_iou=False)):
        with pytest.raises(ValueError, match=rf"loss_bbox={type(loss).__name__} of YOLOv5Head .*\(loss, iou\)"):
            guard.check_head(YOLOv5Head(MEAN_OF_CLASSES, loss, MEAN_OF_CLASSES))


class OwnLossWithIoU(mmdet_losses.CIoULoss):
    """One of one's own on top of this package's, with what such a head wants."""

    def forward(self, *args, **kwargs):
        loss = super().forward(*args, **kwargs)
        return loss, 1 - loss.detach()


@pytest.mark.parametrize("loss", [ReturnsIoU(), OwnLossWithIoU()], ids=lambda loss: type(loss).__name__)
def test_loss_that_returns_both_is_fine(loss, warnings_of_guard):
    head = YOLOv5Head(MEAN_OF_CLASSES, loss, MEAN_OF_CLASSES)
    assert len(head.loss_by_feat(BOXES, BOXES + 1)) == 2
    guard.check_head(head)
    assert warnings_of_guard == []


def test_subclass_that_computes_its_loss_in_its_own_way_is_warned_alone(warnings_of_guard):
    class Mine(YOLOv5Head):
        def loss_by_feat(self, pred, target):
            return self.loss_bbox(pred, target)

    Mine.loss_by_feat.__module__ = "my_package.heads"
    head = Mine(MEAN_OF_CLASSES, mmdet_losses.CIoULoss(), MEAN_OF_CLASSES)
    guard.check_head(head)
    ((message, level),) = warnings_of_guard
    assert level == logging.WARNING
    assert "loss_bbox=CIoULoss of Mine" in message


@pytest.mark.parametrize(
    ("kind", "slot", "loss", "expected"),
    [
        (YOLOv8Head, "loss_cls", mmdet_losses.CrossEntropyLoss, "none"),
        (YOLOv8Head, "loss_bbox", mmdet_losses.CIoULoss, "sum"),
        (YOLOv8Head, "loss_bbox", partial(ReturnsIoU, False), "sum"),
        (YOLOv6Head, "loss_cls", mmdet_losses.VarifocalLoss, "sum"),
    ],
)
def test_mean_where_the_head_reduces_warns_once(kind, slot, loss, expected, warnings_of_guard):
    held = dict(loss_cls=None, loss_bbox=None)
    guard.check_head(kind(**{**held, slot: loss(reduction=expected)}))
    assert warnings_of_guard == []
    built = loss(reduction="mean")
    guard.check_head(kind(**{**held, slot: built}))
    ((message, level),) = warnings_of_guard
    assert level == logging.WARNING
    assert message.startswith(f"{slot}={type(built).__name__} of {kind.__name__} ")
    assert f'Add reduction="{expected}" to the config of {slot}' in message


def test_mean_where_the_head_passes_avg_factor_is_fine(warnings_of_guard):
    guard.check_head(YOLOv6Head(mmdet_losses.VarifocalLoss(reduction="sum"), mmdet_losses.GIoULoss()))
    guard.check_head(YOLOv8Head(None, ReturnsIoU(False, "sum"), mmdet_losses.DistributionFocalLoss()))
    assert warnings_of_guard == []


@pytest.mark.parametrize("slot", YOLOX_LOSSES)
def test_yolox_of_mmdetection_warns_of_every_slot(slot, warnings_of_guard):
    MODELS.build(dict(YOLOX, **{slot: YOLOX_LOSSES[slot]}))
    ((message, level),) = warnings_of_guard
    assert level == logging.WARNING
    assert message.startswith(f"{slot}={YOLOX_LOSSES[slot]['type']} of YOLOXHead ")
    assert 'reduction="sum"' in message
    assert f"config of {slot}" in message


def test_yolox_with_sums_or_as_it_comes_is_fine(warnings_of_guard):
    MODELS.build(dict(YOLOX))
    MODELS.build(dict(YOLOX, **{slot: dict(loss, reduction="sum") for slot, loss in YOLOX_LOSSES.items()}))
    assert warnings_of_guard == []


def test_stock_mean_in_yolox_warns_too(warnings_of_guard):
    with stock_losses():
        MODELS.build(dict(YOLOX, loss_bbox=dict(type="IoULoss")))
    assert [message.split(" takes")[0] for message, _ in warnings_of_guard] == ["loss_bbox=IoULoss of YOLOXHead"]


def test_what_a_mean_in_yolox_costs():
    """What the warning says is so: the box loss counts as little as there are positives."""
    assigner = dict(type="SimOTAAssigner", center_radius=2.5)
    train_cfg = dict(assigner=assigner)
    meta = dict(img_shape=(64, 64), scale_factor=1)
    truth = InstanceData(bboxes=torch.tensor([[4.0, 4, 40, 44], [20, 10, 60, 60]]), labels=torch.tensor([0, 2]))
    values, rows = {}, []
    for reduction in ("sum", "mean"):
        torch.manual_seed(0)
        loss = dict(YOLOX_LOSSES["loss_bbox"], reduction=reduction)
        head = MODELS.build(dict(YOLOX, loss_bbox=loss, train_cfg=train_cfg))
        head.loss_bbox.register_forward_hook(lambda loss, inputs, output: rows.append(len(inputs[0])))
        feats = [torch.rand(1, 8, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
        values[reduction] = head.loss_by_feat(*head(feats), [truth], [meta])["loss_bbox"].item()
    assert rows[0] == rows[1] > 1
    assert values["sum"] == pytest.approx(rows[0] * values["mean"], rel=1e-5)


def test_where_a_default_is_looked_for():
    assert slots.slot_default(YOLOv7Head, "loss_bbox")[0] is YOLOv5Head
    assert slots.slot_default(YOLOv8Head, "loss_obj")[0] is YOLOv5Head
    assert slots.slot_default(YOLOv8Head, "loss_bbox") == (YOLOv8Head, V8_BOX)
    assert slots.slot_default(YOLOv5Head, "init_cfg") == (YOLOv5Head, {})
    assert slots.slot_default(YOLOv5Head, "loss_iou") == (None, {})
    assert slots.slot_default(nn.Identity, "loss_bbox") == (None, {})


def test_what_is_no_head_passes(warnings_of_guard):
    for thing in (None, 3, "CIoULoss", nn.Identity(), mmdet_losses.CIoULoss(), lambda: None):
        guard.check_head(thing)
    assert warnings_of_guard == []
