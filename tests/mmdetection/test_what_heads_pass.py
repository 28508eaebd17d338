"""The table of what MMDetection's heads pass to their losses: it is whole, and it is what reaches them."""

import inspect
import warnings

import pytest
import test_more_heads as more
import torch
from mmdet.registry import MODELS
from test_more_heads import NARROW, WIDTH, Head

from mmdet_losses import CIoULoss, GIoULoss
from mmdet_losses.heads import passed
from mmdet_losses.heads.kinds import BOXES
from mmdet_losses.heads.mmdetection import TABLE, known, passed_to
from mmdet_losses.modules.look import CALLS

NO_SLOTS_OF_LOSSES = {
    "GlobalContextHead",  # a weight
    "BasePanopticFusionHead",
    "HeuristicFusionHead",
    "MaskFormerFusionHead",  # no loss at all
    "PISASSDHead",
    "SSDHead",  # built in
    "QuasiDenseEmbedHead",  # losses of embeddings, which nothing here is
    "AnchorFreeHead",  # abstract
}
NOT_LOSSES = {"loss_weight", "loss_mask_weight", "loss_cls_fl", "loss_embedding", "loss_triplet"}
NEVER_BUILT = {
    "MaskFormerHead": {"loss_bbox"},
    "Mask2FormerHead": {"loss_bbox"},
    "Mask2FormerTrackHead": {"loss_bbox"},
    "SABLHead": {"loss_bbox"},
    "VFNetHead": {"loss_centerness"},
}
"""Slots that the constructors of bases name."""


def slots_in_constructors(kind):
    for base in kind.__mro__:
        if inspect.isfunction(init := vars(base).get("__init__")):
            yield from (
                name for name in inspect.signature(init).parameters if name.startswith(("loss", "initial_loss"))
            )


def heads_of_mmdet():
    for name, kind in sorted(MODELS.module_dict.items()):
        if kind.__module__.startswith("mmdet.models.") and ".losses." not in kind.__module__:
            slots = set(slots_in_constructors(kind)) - NOT_LOSSES - NEVER_BUILT.get(name, set())
            if slots and name.endswith("Head"):
                yield name, kind, slots


def test_every_head_and_slot_of_mmdet_is_in_the_table():
    found = {name: (kind, slots) for name, kind, slots in heads_of_mmdet() if name not in NO_SLOTS_OF_LOSSES}
    assert len(found) > 65
    missing = {
        name: slots - set(entry.slots) if (entry := known(kind)) else slots for name, (kind, slots) in found.items()
    }
    assert {name: slots for name, slots in missing.items() if slots} == {}
    assert set(TABLE) <= {*found, "YOLACTProtonet"}


def test_a_head_that_computes_its_losses_in_its_own_way_is_not_known():
    base = MODELS.get("RetinaHead")
    assert known(type("Mine", (base,), {})) is known(base)
    for method in ("loss_by_feat", "loss_by_feat_single"):
        assert known(type("Mine", (base,), {method: lambda self: None})) is None
    gfl = MODELS.get("GFLHead")  # its losses are called in one place, whatever calls that
    assert known(type("Mine", (gfl,), {"loss_by_feat": lambda self: None})) is known(gfl)
    assert known(type("Mine", (gfl,), {"loss_by_feat_single": lambda self: None})) is None
    assert known(torch.nn.Linear) is None
    assert known(type("RetinaHead", (torch.nn.Module,), {})) is None


FEW = dict(NARROW, stacked_convs=1)
MORE = {
    "retinanet": Head("retinanet/retinanet_r18_fpn_1x_coco.py", {}, FEW),
    "fcos": Head("fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", {}, FEW),
    "atss": Head("atss/atss_r50_fpn_1x_coco.py", {}, FEW),
    "gfl": Head("gfl/gfl_r50_fpn_1x_coco.py", {}, FEW),
    "fovea": Head("foveabox/fovea_r50_fpn_4xb4-1x_coco.py", {}, FEW),
    "free-anchor": Head("free_anchor/freeanchor_r50_fpn_1x_coco.py", {}, FEW),
    "pisa": Head("pisa/retinanet-r50_fpn_pisa_1x_coco.py", {}, FEW),
    "yolact": Head("yolact/yolact_r50_1xb8-55e_coco.py", {}, dict(in_channels=WIDTH, num_classes=4)),
    "yolox": Head("yolox/yolox_s_8xb8-300e_coco.py", {}, dict(NARROW, stacked_convs=1, use_depthwise=False)),
    "rtmdet": Head("rtmdet/rtmdet_s_8xb32-300e_coco.py", {}, dict(NARROW, stacked_convs=1, norm_cfg=dict(type="BN"))),
    "center-net": Head("centernet/centernet-update_r50_fpn_8xb8-amp-lsj-200e_coco.py", {}, FEW),
}
GT = torch.tensor(more.BOXES["with"])


def to_centres(boxes):
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def among(rows, boxes):
    """Whether each row is one of the boxes."""
    return (torch.cdist(rows, boxes).amin(1) < 1e-2 * boxes.abs().max()).all()


def is_as_said(what, target, strides):
    """Whether weighted targets are what the table says of them, told from the ground truth alone."""
    if what in (passed.PIXELS, passed.DECODED):
        return among(target, GT)
    if what in (passed.STRIDES, passed.POINTS):
        return any(among(target, GT / stride) for stride in strides)
    if what is passed.MIXED:
        return bool((target[:, 2:] > target[:, :2]).all()) and not among(target, GT)
    if what is passed.CENTRES:
        return among(target, to_centres(GT) / more.SIZE)
    if what is passed.PARTS:
        return among(target, GT / more.SIZE)
    if what is passed.OFFSETS:
        return not among(target, GT)
    return not among(target, GT) and bool((target[:, 2:] < target[:, :2]).any())


@pytest.fixture
def record(monkeypatch):
    """What the losses of a head are called with, by slot."""

    def run(name):
        monkeypatch.setitem(more.HEADS, name, {**more.HEADS, **MORE}[name])
        module, calls = more.built(name), {}
        for part in more.parts(module):
            for slot, loss in part.named_children():
                if "loss" in slot and passed_to(part, slot) is not None:
                    monkeypatch.setattr(loss, "forward", spied(loss, calls.setdefault(slot, [])), raising=False)
        for part in more.parts(module):
            if hasattr(part, "use_l1"):
                monkeypatch.setattr(part, "use_l1", True)
        more.losses(name, module, more.forward(name, module, "with"), "with")
        return module, calls

    return run


def spied(loss, calls):
    forward = loss.forward

    def spy(pred, target, weight=None, *args, **keywords):
        calls.append((target, weight))
        return forward(pred, target, weight, *args, **keywords)

    return spy


@pytest.mark.parametrize("name", sorted({*more.HEADS, *MORE}))
def test_what_reaches_the_losses_is_what_the_table_says(name, record):
    module, calls = record(name)
    part = more.parts(module)[0]
    assert {slot for slot in calls if calls[slot]} | {"loss_cls", "initial_loss_cls"} >= {
        slot for slot in calls if passed_to(part, slot) is not passed.UNUSED
    }
    levels = len(getattr(getattr(part, "prior_generator", None), "strides", "1"))
    strides = [s[0] for s in part.prior_generator.strides] if levels > 1 else []
    for slot, found in calls.items():
        what = passed_to(part, slot)
        if what is passed.UNUSED:
            assert not found
        elif slot.endswith("loss_cls") and found:
            by_level = levels > 1 and len(found) % levels == 0
            assert what.calls == ("level" if by_level else "image" if name == "yolact" else "")
        elif slot in ("loss_bbox", "loss_bbox_refine", "loss_iou", "loss_l1") and what.fits[:1] != ("scores",):
            rows = [weighted(target, weight) for target, weight in found]
            assert sum(map(len, rows))
            assert all(is_as_said(what, target, strides) for target in rows if len(target))
            if BOXES in what.fits:
                assert all((target[:, 2:] >= target[:, :2]).all() for target in rows)


def weighted(target, weight):
    target = target.detach().reshape(-1, 4)
    return target if weight is None else target[weight.reshape(len(target), -1).bool().any(1)]


def put(monkeypatch, name, slot, loss):
    """A loss given to a head after it was built, which nobody checks."""
    monkeypatch.setitem(more.HEADS, name, {**more.HEADS, **MORE}[name])
    for part in more.parts(more.built(name)):
        monkeypatch.setitem(part._modules, slot, loss)


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("yolact", "loss_bbox"),
        ("retinanet", "loss_bbox"),
        ("rpn", "loss_bbox"),
        ("faster-rcnn", "loss_bbox"),
        ("detr-sigmoid", "loss_bbox"),
        ("dino", "loss_bbox"),
        ("fovea", "loss_bbox"),
    ],
)
def test_a_box_loss_given_later_to_what_passes_no_boxes_says_so(name, slot, monkeypatch):
    put(monkeypatch, name, slot, CIoULoss())
    if name in ("detr-sigmoid", "dino"):
        # of an object that is larger than its distance from the corner, centre and size look like a box
        monkeypatch.setitem(more.BOXES, "with", [[70.0, 66, 100, 90], [80.0, 90, 120, 127]])
    with pytest.warns(UserWarning, match="CIoULoss takes boxes .* have no area"):
        for _ in range(CALLS):
            more.losses(name, more.built(name), more.forward(name, more.built(name), "with"), "with")


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        *(
            (name, "loss_bbox")
            for name in ("rpn-decoded", "faster-rcnn-decoded", "cascade-rcnn-decoded", "sparse-rcnn")
        ),
        *((name, "loss_bbox") for name in ("fcos", "atss", "gfl", "tood", "vfnet", "ddod", "paa", "autoassign")),
        *((name, "loss_bbox") for name in ("fsaf", "yolox", "rtmdet", "center-net")),
        *((name, "loss_iou") for name in ("detr-sigmoid", "conditional-detr", "dab-detr", "dino", "sparse-rcnn")),
    ],
)
def test_a_box_loss_on_boxes_is_not_spoken_of(name, slot, monkeypatch):
    loss = GIoULoss(reduction="none" if name == "fsaf" else "mean")
    put(monkeypatch, name, slot, loss)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*takes boxes")
        for _ in range(CALLS):
            more.losses(name, more.built(name), more.forward(name, more.built(name), "with"), "with")
    assert not loss._forward_pre_hooks
