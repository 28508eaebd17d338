"""Heads of mmdet's own configs beyond the bundled four, with every loss of the registry that fits the slot.

A head is built once from mmdet's config, with narrow layers; a loss is then put into its slot as mmdet would build it
there, from the slot's config with another ``type``. What a head computes before its losses does not depend on them, so
its outputs are made once, and gradients are looked at there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import mmdet
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_losses.modules import RankingLoss
from mmdet_losses.registry import LOSSES

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
SIZE, CLASSES, WIDTH = 128, 4, 32
META = dict(img_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))
BOXES = {"with": [[8.0, 8, 60, 50], [30.0, 20, 120, 127]], "without": []}
KEPT = ("loss_weight", "use_sigmoid", "reduction", "activated")
"""Options of a slot that stay when its loss is changed; the others, its gamma say, go as ``_delete_=True`` has it."""


def models():
    from mmdet.registry import MODELS

    return MODELS


@cache
def config(path: str) -> Config:
    return Config.fromfile(CONFIGS / path).model


def slot_config(slot: dict, name: str) -> dict:
    """What a user's config has in the slot for another loss."""
    options = LOSSES[name].option_names()
    # logits, where a loss takes probabilities by default
    needed = dict(num_classes=CLASSES, activated=False, losses=["CIoULoss", "GIoULoss"])
    held = {key: value for key, value in needed.items() if key in options}
    return dict(type=name, **held | {key: slot[key] for key in KEPT if key in slot and key in options})


Fit = Callable[[dict], list[str]]

# ---- which loss fits what a slot passes ----


def accepts(name: str, slot: dict, pred: Tensor, target: Any, result: tuple[int, ...], **call: Any) -> bool:
    """Whether the loss takes such input, without a word, and gives a result of that shape."""
    try:
        loss = models().build(slot_config(slot, name))
        value = loss(pred, target, **call)
    except (ValueError, TypeError):
        return False
    custom = getattr(loss, "custom_cls_channels", False)  # the head would predict other channels
    return isinstance(value, Tensor) and value.shape == result and not custom


def box_losses(slot: dict) -> list[str]:
    return [name for name, loss in LOSSES.items() if loss.slot == "bbox" and loss.boxes]


def row_box_losses(slot: dict) -> list[str]:
    """With one value per box, and none below 0: AutoAssign takes ``exp(-loss)`` as a confidence, PAA adds it up."""
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3)
    none = dict(weight=torch.ones(3, 4), reduction_override="none")
    fit = [name for name in box_losses(slot) if accepts(name, slot, boxes, boxes + 3, (3,), **none)]
    return [name for name in fit if LOSSES[name].bounds[0] >= 0]


def coordinate_losses(slot: dict) -> list[str]:
    return [name for name, loss in LOSSES.items() if loss.slot == "bbox" and not loss.boxes]


def cls_losses(slot: dict, pred: Tensor, target: Any, result: tuple[int, ...] = (), **call: Any) -> list[str]:
    names = [name for name, loss in LOSSES.items() if loss.slot == "cls"]
    return [name for name in names if accepts(name, slot, pred, target, result, **call)]


def label_losses(slot: dict) -> list[str]:
    """Labels, of which the number of classes is background, with one logit per class."""
    call = dict(weight=torch.ones(6), avg_factor=2.0)
    return cls_losses(slot, torch.full((6, CLASSES), 0.3), torch.arange(6) % (CLASSES + 1), **call)


def flat_weight_losses(slot: dict) -> list[str]:
    """FSAF: labels, with one weight per logit in one axis, unreduced."""
    pred, target = torch.zeros(6, CLASSES), torch.arange(6) % (CLASSES + 1)
    return cls_losses(slot, pred, target, (6, CLASSES), weight=torch.ones(6 * CLASSES), avg_factor=2.0)


def label_and_row_losses(slot: dict) -> list[str]:
    """PAA also sums the unreduced loss over the classes, and parts the sums of the candidates by a mixture of two.

    Not those of GHMC, in which a candidate alone in its bin counts many times: a component of one large float32 has a
    variance below 0 by rounding, and scikit-learn refuses it.
    """
    none = dict(weight=torch.ones(6), reduction_override="none")
    return [
        name
        for name in label_losses(slot)
        if name != "GHMC" and accepts(name, slot, torch.zeros(6, CLASSES), torch.arange(6) % 4, (6, CLASSES), **none)
    ]


def background_losses(slot: dict) -> list[str]:
    """Labels with a logit for background too."""
    return cls_losses(slot, torch.zeros(6, CLASSES + 1), torch.arange(6) % 5, weight=torch.ones(6), avg_factor=2.0)


def query_losses(slot: dict) -> list[str]:
    """The DETR family passes labels, and qualities as well to what is an instance of mmdet's quality focal loss.

    The quality-aware losses are such instances, and take labels too.
    """
    return [*label_losses(slot), "QualityFocalLoss"]


def quality_losses(slot: dict) -> list[str]:
    target = (torch.arange(6) % (CLASSES + 1), torch.full((6,), 0.7))
    return cls_losses(slot, torch.full((6, CLASSES), 0.3), target, weight=torch.ones(6), avg_factor=1.0)


def dense_losses(
    *shape: int, weight: tuple[int, ...] | None = None, ranks: bool = False
) -> Callable[[dict], list[str]]:
    """Targets from 0 to 1 in the shape of the prediction; a ranking is of classes only."""

    def fit(slot: dict) -> list[str]:
        call = {} if weight is None else dict(weight=torch.ones(weight))
        if slot.get("reduction") != "sum":
            call["avg_factor"] = 2.0
        names = cls_losses(slot, torch.zeros(shape), torch.full(shape, 0.5), **call)
        return [name for name in names if ranks or not issubclass(LOSSES[name], RankingLoss)]

    return fit


# ---- the heads ----


@dataclass(frozen=True)
class Head:
    """A head of a config.

    Attributes:
        path: The config, in mmdet's wheel.
        slots: Which losses fit each loss of the head.
        narrow: Changed options of the head.
        keys: Under which name the value of a slot comes back, where it is not the slot's.
        kind: How it is built and called.
    """

    path: str
    slots: dict[str, Fit]
    narrow: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    kind: str = "dense"


def pyramid(*strides: int) -> list[Tensor]:
    return [torch.randn(2, WIDTH, SIZE // s, SIZE // s, requires_grad=True) for s in strides]


NARROW = dict(in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=1, num_classes=CLASSES)
QUERY = dict(embed_dims=WIDTH, num_classes=CLASSES)
DEFORMABLE = QUERY | dict(num_pred_layer=2)
RCNN = dict(in_channels=WIDTH, fc_out_channels=WIDTH, num_classes=CLASSES)
QUERY_SLOTS = dict(loss_cls=query_losses, loss_bbox=coordinate_losses, loss_iou=box_losses)

HEADS = {
    "yolov3": Head(
        "yolo/yolov3_d53_8xb8-ms-608-273e_coco.py",
        dict(
            loss_cls=dense_losses(2, 6, CLASSES, weight=(2, 6, 1), ranks=True),
            loss_conf=dense_losses(2, 6, weight=(2, 6)),
            loss_xy=dense_losses(2, 6, 2, weight=(2, 6, 1)),
            loss_wh=coordinate_losses,
        ),
        dict(in_channels=[WIDTH] * 3, out_channels=[WIDTH] * 3, num_classes=CLASSES),
    ),
    "vfnet": Head(
        "vfnet/vfnet_r50_fpn_1x_coco.py",
        dict(loss_cls=dense_losses(6, CLASSES, ranks=True), loss_bbox=box_losses, loss_bbox_refine=box_losses),
        NARROW,
        dict(loss_bbox_refine="loss_bbox_rf"),
    ),
    "vfnet-labels": Head(
        "vfnet/vfnet_r50_fpn_1x_coco.py",
        dict(loss_cls_fl=label_losses),
        NARROW | dict(use_vfl=False, loss_cls_fl=dict(type="FocalLoss", use_sigmoid=True, loss_weight=1.0)),
        dict(loss_cls_fl="loss_cls"),
    ),
    "tood": Head(
        "tood/tood_r50_fpn_1x_coco.py",
        dict(loss_cls=quality_losses, loss_bbox=box_losses),
        NARROW | dict(stacked_convs=2),
    ),
    "tood-initial": Head(
        "tood/tood_r50_fpn_1x_coco.py",
        dict(initial_loss_cls=label_losses),
        NARROW | dict(stacked_convs=2),
        dict(initial_loss_cls="loss_cls"),
    ),
    "paa": Head(
        "paa/paa_r50_fpn_1x_coco.py",
        dict(loss_cls=label_and_row_losses, loss_bbox=row_box_losses, loss_centerness=dense_losses(6, 1)),
        NARROW,
        dict(loss_centerness="loss_iou"),
    ),
    "ddod": Head(
        "ddod/ddod_r50_fpn_1x_coco.py",
        dict(loss_cls=label_losses, loss_bbox=box_losses, loss_iou=dense_losses(6, weight=(6,))),
        # a deformable convolution takes no map smaller than its kernel, so the two smallest are left out
        NARROW
        | dict(
            anchor_generator=dict(
                type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16, 32]
            )
        ),
    ),
    "autoassign": Head(
        "autoassign/autoassign_r50-caffe_fpn_1x_coco.py",
        dict(loss_bbox=row_box_losses),
        NARROW,
        dict(loss_bbox="loss_pos"),
    ),
    "fsaf": Head("fsaf/fsaf_r50_fpn_1x_coco.py", dict(loss_cls=flat_weight_losses, loss_bbox=box_losses), NARROW),
    "rpn": Head(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        dict(loss_bbox=coordinate_losses),
        dict(in_channels=WIDTH, feat_channels=WIDTH),
        dict(loss_bbox="loss_rpn_bbox"),
        "rpn",
    ),
    "rpn-decoded": Head(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        dict(loss_bbox=box_losses),
        dict(in_channels=WIDTH, feat_channels=WIDTH, reg_decoded_bbox=True),
        dict(loss_bbox="loss_rpn_bbox"),
        "rpn",
    ),
    "detr": Head("detr/detr_r50_8xb2-150e_coco.py", dict(loss_cls=background_losses), QUERY, kind="detr"),
    "detr-sigmoid": Head(
        "detr/detr_r50_8xb2-150e_coco.py",
        QUERY_SLOTS,
        QUERY | dict(loss_cls=dict(type="FocalLoss", use_sigmoid=True, loss_weight=1.0)),
        kind="detr",
    ),
    "conditional-detr": Head(
        "conditional_detr/conditional-detr_r50_8xb2-50e_coco.py", QUERY_SLOTS, QUERY, kind="conditional"
    ),
    "dab-detr": Head("dab_detr/dab-detr_r50_8xb2-50e_coco.py", QUERY_SLOTS, QUERY, kind="dab"),
    "deformable-detr": Head(
        "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py", QUERY_SLOTS, DEFORMABLE, kind="deformable"
    ),
    "dino": Head(
        "dino/dino-4scale_r50_8xb2-12e_coco.py",
        QUERY_SLOTS,
        DEFORMABLE | dict(num_pred_layer=3, as_two_stage=True),
        kind="dino",
    ),
    "faster-rcnn": Head(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        dict(loss_cls=background_losses, loss_bbox=coordinate_losses),
        RCNN,
        kind="rcnn",
    ),
    "faster-rcnn-decoded": Head(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        dict(loss_bbox=box_losses),
        RCNN | dict(reg_decoded_bbox=True, reg_class_agnostic=True),
        kind="rcnn",
    ),
    "cascade-rcnn": Head(
        "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
        dict(loss_cls=background_losses, loss_bbox=coordinate_losses),
        RCNN,
        kind="rcnn",
    ),
    "cascade-rcnn-decoded": Head(
        "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
        dict(loss_bbox=box_losses),
        RCNN | dict(reg_decoded_bbox=True),
        kind="rcnn",
    ),
    "dynamic-rcnn": Head(
        "dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py",
        dict(loss_cls=background_losses, loss_bbox=lambda slot: ["SmoothL1Loss"]),
        RCNN,
        kind="rcnn",
    ),
    "sparse-rcnn": Head(
        "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py",
        dict(loss_cls=label_losses, loss_bbox=coordinate_losses, loss_iou=box_losses),
        dict(in_channels=WIDTH, num_classes=CLASSES, feedforward_channels=WIDTH, num_cls_fcs=1, num_reg_fcs=1),
        kind="rcnn",
    ),
}


def head_configs(head: Head, model: dict) -> list[dict]:
    """The configs that hold the loss slots: one, or one for each stage of a cascade."""
    if head.kind == "rcnn":
        found = model["roi_head"]["bbox_head"]
        return found if isinstance(found, list) else [found]
    return [model["rpn_head" if head.kind == "rpn" else "bbox_head"]]


def plain_model(head: Head) -> dict:
    """The config of the model with narrow layers, as plain dicts."""
    model = config(head.path).to_dict()
    for part in head_configs(head, model):
        part.update(head.narrow)
        if part["type"] == "DIIHead":
            part["num_heads"] = 2
            part["dynamic_conv_cfg"].update(in_channels=WIDTH, out_channels=WIDTH, feat_channels=8)
        if head.narrow.get("reg_decoded_bbox"):
            part["loss_bbox"] = dict(type="GIoULoss", loss_weight=part["loss_bbox"]["loss_weight"])
    return model


def build(head: Head, model: dict) -> torch.nn.Module:
    """The head, or the region head around it."""
    train_cfg, test_cfg = model.get("train_cfg"), model.get("test_cfg")
    if head.kind != "rcnn":
        if head.kind == "rpn":
            train_cfg, test_cfg = train_cfg["rpn"], test_cfg["rpn"]
        return models().build(dict(*head_configs(head, model), train_cfg=train_cfg, test_cfg=test_cfg))
    roi_head, train_cfg = model["roi_head"], train_cfg["rcnn"]
    extractors = roi_head["bbox_roi_extractor"]
    for extractor in extractors if isinstance(extractors, list) else [extractors]:
        extractor["out_channels"] = WIDTH
    for stage in train_cfg if isinstance(train_cfg, list) else [train_cfg]:
        if "num" in stage["sampler"]:
            stage["sampler"]["num"] = 32
    if roi_head["type"] == "SparseRoIHead":
        roi_head.update(proposal_feature_channel=WIDTH, num_stages=2, stage_loss_weights=[1, 1])
        roi_head["bbox_head"], train_cfg = roi_head["bbox_head"][:2], train_cfg[:2]
    return models().build(ConfigDict(roi_head, train_cfg=train_cfg, test_cfg=test_cfg["rcnn"]))


@cache
def built(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(HEADS[name], plain_model(HEADS[name]))


def parts(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules with the loss slots."""
    inner = getattr(module, "bbox_head", module)
    return list(inner) if isinstance(inner, torch.nn.ModuleList) else [inner]


def attribute(slot: str) -> str:
    """Where the head keeps the loss of a slot."""
    return slot.removesuffix("_fl")  # VFNet has two configs for one loss


def leaves(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, tuple | list) else []


def detached(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.detach().requires_grad_()
    return [detached(branch) for branch in tree] if isinstance(tree, tuple | list) else tree


LAYERS, QUERIES, GROUPS = 2, 12, 2


def forward(name: str, module: torch.nn.Module, ground_truth: str) -> Any:
    """What the head makes of random features, as its loss takes it."""
    head = HEADS[name]
    torch.manual_seed(1)
    if head.kind == "rcnn":
        return pyramid(4, 8, 16, 32)
    if head.kind in ("dense", "rpn"):
        first = 4 if head.kind == "rpn" else 8
        features = pyramid(*(first * 2**level for level in range(len(module.prior_generator.strides))))
        return module(features[::-1] if name == "yolov3" else features)
    count = QUERIES + (GROUPS * 2 * len(BOXES[ground_truth]) if head.kind == "dino" else 0)
    hidden, references = torch.randn(LAYERS, 2, count, WIDTH), torch.rand(LAYERS, 2, count, 4)
    encoder = [None, None]
    if head.kind == "detr":
        return module(hidden)
    if head.kind == "conditional":
        return module(hidden, references[0, ..., :2])
    if head.kind == "dab":
        return module(hidden, references)
    if head.kind == "dino":
        encoder = [torch.randn(2, 20, CLASSES), torch.rand(2, 20, 4)]
    return [*module(hidden, list(references[..., : 4 if head.kind == "dino" else 2])), *encoder]


@cache
def outputs(name: str, ground_truth: str) -> Any:
    """The same, as leaves of the graph."""
    with torch.no_grad():
        return detached(forward(name, built(name), ground_truth))


def losses(name: str, module: torch.nn.Module, made: Any, ground_truth: str) -> dict[str, Tensor]:
    """The losses of two images, the second without ground truth."""
    head = HEADS[name]
    classes = 1 if head.kind == "rpn" else CLASSES
    instances = [
        InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)) % classes)
        for boxes in (BOXES[ground_truth], [])
    ]
    torch.manual_seed(2)  # samplers draw
    MessageHub.get_current_instance().update_info("epoch", 0 if name.endswith("initial") else 99)  # TOOD reads it
    if head.kind == "rcnn":
        values = region_losses(module, made, instances)
    else:
        made = [list(x) if isinstance(x, list) else x for x in made]  # FSAF changes the list
        drawn = GROUPS * 2 * len(BOXES[ground_truth])
        noise = [dict(num_denoising_queries=drawn, num_denoising_groups=GROUPS)] if head.kind == "dino" else []
        values = module.loss_by_feat(*made, instances, [META] * 2, *noise)
    return {key: sum(value) if isinstance(value, list) else value for key, value in values.items() if "loss" in key}


def region_losses(module: torch.nn.Module, features: list[Tensor], instances: list[InstanceData]) -> dict[str, Any]:
    samples = [DetDataSample(gt_instances=x, metainfo=META) for x in instances]
    moved = torch.tensor([3.0, -4, 5, 2])
    proposals = []
    for x in instances:
        center, size = torch.rand(20, 2) * SIZE, torch.rand(20, 2) * 60 + 4
        drawn = torch.cat([center - size / 2, center + size / 2], 1).clamp(0, SIZE)
        proposals.append(InstanceData(bboxes=torch.cat([x.bboxes + moved, drawn])[:20], scores=torch.ones(20)))
    if type(module).__name__ == "SparseRoIHead":
        for x in proposals:
            x.update(
                InstanceData(
                    bboxes=x.bboxes, features=torch.randn(20, WIDTH), imgs_whwh=torch.full((20, 4), float(SIZE))
                )
            )
    return module.loss(features, proposals, samples)


def cases() -> list:
    found = []
    for name, head in HEADS.items():
        for slot, fit in head.slots.items():
            held = head_configs(head, plain_model(head))[0][slot]
            found += [pytest.param(name, slot, loss, id=f"{name}-{slot}-{loss}") for loss in fit(held)]
    return found


@pytest.mark.parametrize(("name", "slot", "loss"), cases())
def test_loss_in_its_slot(name, slot, loss):
    """Finite values and gradients, with and without ground truth; what has positives costs something."""
    head, targets = HEADS[name], parts(built(name))
    held = head_configs(head, plain_model(head))[0][slot]
    before = [getattr(part, attribute(slot)) for part in targets]
    try:
        for part in targets:
            setattr(part, attribute(slot), models().build(slot_config(held, loss)))
            assert type(getattr(part, attribute(slot))) is LOSSES[loss]
        for ground_truth in BOXES:
            made = outputs(name, ground_truth)
            values = losses(name, built(name), made, ground_truth)
            assert all(value.isfinite().all() for value in values.values()), values
            own = [value for key, value in values.items() if key.rpartition(".")[2] == head.keys.get(slot, slot)]
            assert own
            assert sum(own) > 0 or ground_truth == "without"
            wanted = [leaf for leaf in leaves(made) if leaf.requires_grad]
            grads = torch.autograd.grad(sum(values.values()).sum(), wanted, allow_unused=True)
            assert any(grad is not None for grad in grads)
            assert all(grad is None or grad.isfinite().all() for grad in grads)
    finally:
        for part, loss_module in zip(targets, before, strict=True):
            setattr(part, attribute(slot), loss_module)


@pytest.mark.parametrize("name", HEADS)
def test_swap_in_the_config_builds_and_steps(name):
    """Every slot at once with the last loss that fits it, built from the config; five steps lower the total."""
    head = HEADS[name]
    model = plain_model(head)
    chosen = {slot: fit(head_configs(head, model)[0][slot])[-1] for slot, fit in head.slots.items()}
    for part in head_configs(head, model):
        part.update({slot: slot_config(part[slot], loss) for slot, loss in chosen.items()})
    torch.manual_seed(0)
    module = build(head, model)
    for part in parts(module):
        assert {slot: type(getattr(part, attribute(slot))) for slot in chosen} == {
            s: LOSSES[loss] for s, loss in chosen.items()
        }
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3)
    totals = []
    for _ in range(6):
        values = losses(name, module, forward(name, module, "with"), "with")
        totals.append(sum(values.values()).sum())
        optimizer.zero_grad()
        totals[-1].backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimizer.step()
    assert totals[-1] < totals[0], totals


LEAST = {
    ("yolov3", "loss_cls"): {"CrossEntropyLoss", "FocalLoss", "VarifocalLoss", "QualityFocalLoss"},
    ("yolov3", "loss_conf"): {"CrossEntropyLoss", "FocalLoss", "VarifocalLoss"},
    ("yolov3", "loss_wh"): {"L1Loss", "MSELoss", "SmoothL1Loss", "BalancedL1Loss"},
    ("vfnet", "loss_cls"): {"VarifocalLoss", "RankSortLoss", "APLoss", "QualityFocalLoss"},
    ("vfnet-labels", "loss_cls_fl"): {"FocalLoss", "CrossEntropyLoss", "APLoss"},
    ("vfnet", "loss_bbox"): {"IoULoss", "CIoULoss", "AlphaIoULoss"},
    ("tood", "loss_cls"): {"QualityFocalLoss"},
    ("tood-initial", "initial_loss_cls"): {"FocalLoss"},
    ("paa", "loss_cls"): {"FocalLoss", "CrossEntropyLoss"},
    ("paa", "loss_bbox"): {"IoULoss", "GIoULoss", "FocalEIoULoss"},
    ("autoassign", "loss_bbox"): {"IoULoss", "GIoULoss", "FocalEIoULoss"},
    ("fsaf", "loss_cls"): {"FocalLoss"},
    ("dino", "loss_cls"): {"FocalLoss", "QualityFocalLoss", "CrossEntropyLoss"},
    ("detr", "loss_cls"): {"CrossEntropyLoss"},
    ("faster-rcnn", "loss_cls"): {"CrossEntropyLoss"},
}


@pytest.mark.parametrize(("name", "slot"), LEAST)
def test_what_is_known_to_fit_is_tried(name, slot):
    """What fits is found by trying, so a loss that breaks must not drop out of the tests above unseen."""
    head = HEADS[name]
    assert set(head.slots[slot](head_configs(head, plain_model(head))[0][slot])) >= LEAST[name, slot]


def test_dynamic_rcnn_sets_the_beta_of_this_packages_loss():
    head = HEADS["dynamic-rcnn"]
    model = plain_model(head)
    model["train_cfg"]["rcnn"]["dynamic_rcnn"].update(update_iter_interval=1, beta_topk=2)
    torch.manual_seed(0)
    module = build(head, model)
    assert type(module.bbox_head.loss_bbox) is LOSSES["SmoothL1Loss"]
    losses("dynamic-rcnn", module, forward("dynamic-rcnn", module, "with"), "with")
    assert 0 < module.bbox_head.loss_bbox.beta < 1


def test_detr_writes_its_background_weight_into_the_loss():
    weight = built("detr").loss_cls.class_weight
    assert torch.as_tensor(weight).tolist() == pytest.approx([1.0] * CLASSES + [0.1])
