"""The four heads with every loss that fits the slot: built by a one-word swap, run forward and backward."""

from functools import cache
from pathlib import Path

import pytest
import torch
from cases import CLS_CASES
from cases.draw import draw_labels_background
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmdet_losses
from mmdet_losses.registry import LOSSES

CONFIGS = Path(__file__).parents[2] / "configs"
BASES = {
    "retinanet": "retinanet/retinanet_r50_fpn_giou_8xb2-1x_coco.py",
    "fcos": "fcos/fcos_r50-caffe_fpn_gn-head_iou_8xb2-1x_coco.py",
    "atss": "atss/atss_r50_fpn_giou_8xb2-1x_coco.py",
    "gfl": "gfl/gfl_r50_fpn_giou_8xb2-1x_coco.py",
}
REQUIRED = {"SumLoss": {"losses": ["CIoULoss", "NWDLoss"]}}
BOX_LOSSES = [(name, REQUIRED.get(name, {})) for name, loss in LOSSES.items() if loss.slot == "bbox"]
LABELLED = {case.name for case in CLS_CASES if case.draw is draw_labels_background and not case.per_row}
"""Losses of labels with background."""
# a name, or a name with options, of losses that take logits and labels
LABEL_LOSSES = [
    *sorted(LABELLED - {"EqualizationLoss"}),
    ("FocalLoss", {"use_sigmoid": False}),
    ("FocalLoss", {"alpha": [0.25, 0.5, 0.75, 0.25]}),
    ("CrossEntropyLoss", {"use_sigmoid": False}),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}),
    "LabelSmoothLoss",
    ("LabelSmoothLoss", {"use_sigmoid": False}),
    "Poly1CrossEntropyLoss",
    ("Poly1CrossEntropyLoss", {"use_sigmoid": False}),
    ("GaussianFocalLoss", {"activated": False}),
    ("EqualizationLoss", {"class_frequency": [0.5, 0.001, 0.5, 0.001]}),
]
BINARY_LOSSES = ["CrossEntropyLoss", "FocalLoss", "VarifocalLoss", "AsymmetricLoss", "Poly1FocalLoss"]
SLOTS = {
    "loss_cls": {"retinanet": LABEL_LOSSES, "fcos": LABEL_LOSSES, "atss": LABEL_LOSSES, "gfl": ["QualityFocalLoss"]},
    "loss_bbox": dict.fromkeys(BASES, BOX_LOSSES),
    "loss_centerness": {"fcos": BINARY_LOSSES, "atss": BINARY_LOSSES},
    "loss_dfl": {"gfl": ["DistributionFocalLoss", ("DistributionFocalLoss", {"y_min": 0.0, "y_max": 16.0})]},
}


def with_options(entry):
    return entry if isinstance(entry, tuple) else (entry, {})


CASES = [
    pytest.param(head, slot, name, options, id="-".join([head, slot, name, *(f"{k}={v}" for k, v in options.items())]))
    for slot, heads in SLOTS.items()
    for head, entries in heads.items()
    for name, options in map(with_options, entries)
]
STRIDES = (8, 16, 32, 64, 128)
SIZE = 128


@cache
def base(head):
    return Config.fromfile(CONFIGS / BASES[head])


def build_head(head, options):
    """The head of the COCO config with narrow layers, built after ``--cfg-options`` like changes."""
    from mmdet.registry import MODELS

    cfg = base(head).copy()
    cfg.merge_from_dict({f"model.bbox_head.{key}": value for key, value in options.items()})
    narrow = dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=4)
    train_cfg, test_cfg = cfg.model.get("train_cfg"), cfg.model.test_cfg
    return MODELS.build(dict(cfg.model.bbox_head, **narrow, train_cfg=train_cfg, test_cfg=test_cfg))


def instances(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 4)


def loss_by_feat(module, boxes):
    """The head's losses on two images of random features, the second without ground truth; and the features."""
    torch.manual_seed(0)
    features = [torch.randn(2, 32, SIZE // s or 1, SIZE // s or 1, requires_grad=True) for s in STRIDES]
    metas = [dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))] * 2
    return module.loss_by_feat(*module(features), [instances(boxes), instances([])], metas), features


@pytest.mark.parametrize("ground_truth", ["with", "without", "tiny"])
@pytest.mark.parametrize(("head", "slot", "name", "loss_options"), CASES)
def test_swap_builds_runs_and_steps(head, slot, name, loss_options, ground_truth):
    options = {f"{slot}.type": name} | {f"{slot}.{key}": value for key, value in loss_options.items()}
    if head == "retinanet" and slot == "loss_bbox" and not LOSSES[name].boxes:
        options["reg_decoded_bbox"] = False
    if "num_classes" in LOSSES[name].option_names() and LOSSES[name].options()["num_classes"].default is not None:
        options[f"{slot}.num_classes"] = 4 if slot == "loss_cls" else 1
    module = build_head(head, options)
    assert type(getattr(module, slot)) is LOSSES[name]

    boxes = {
        "with": [[8.0, 8, 60, 50], [30.0, 20, 120, 127]],
        "without": [],
        "tiny": [[64.0, 64, 65, 65], [0.0, 0, 128, 128]],
    }[ground_truth]
    losses, features = loss_by_feat(module, boxes)

    values = {key: sum(v) if isinstance(v, list) else v for key, v in losses.items()}
    assert slot in values
    values.pop("acc_classes", None)
    assert all(value.isfinite() for value in values.values()), values
    # Positives cost something in every slot; without ground truth only the classification does.
    if ground_truth == "with" or slot == "loss_cls":
        assert values[slot] > 0
    sum(values.values()).backward()
    for parameter in module.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert all(feature.grad is None or feature.grad.isfinite().all() for feature in features)
    assert any(feature.grad is not None for feature in features)


@pytest.mark.parametrize("head", ["retinanet", "fcos", "atss"])
@pytest.mark.parametrize("use_sigmoid", [True, False])
def test_softmax_has_a_channel_for_background(head, use_sigmoid):
    module = build_head(head, {"loss_cls.use_sigmoid": use_sigmoid})
    assert type(module.loss_cls).__name__ == "FocalLoss"
    assert module.cls_out_channels == (4 if use_sigmoid else 5)
    assert module.loss_cls.use_sigmoid is use_sigmoid


@pytest.mark.parametrize("head", ["retinanet", "fcos", "atss"])
@pytest.mark.parametrize("name", ["QualityFocalLoss", "VarifocalLoss"])
def test_a_loss_that_does_not_fit_says_so(head, name):
    module = build_head(head, {"loss_cls.type": name})
    with pytest.raises(ValueError, match=r"target must .* FocalLoss"):
        loss_by_feat(module, [[8.0, 8, 60, 50]])


def test_config_of_mmdet_for_ghm_builds_and_steps():
    """Both losses with a momentum, on five levels, of which the last have no positives."""
    from mmdet.registry import MODELS
    from mmengine.hub import get_config

    model = get_config("mmdet::ghm/retinanet_r50_fpn_ghm-1x_coco.py").model
    narrow = dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=4)
    module = MODELS.build(dict(model.bbox_head, **narrow, train_cfg=model.train_cfg, test_cfg=model.test_cfg))
    assert (type(module.loss_cls), type(module.loss_bbox)) == (LOSSES["GHMC"], LOSSES["GHMR"])
    module.init_weights()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.005)
    totals = []
    for _ in range(8):
        losses, _ = loss_by_feat(module, [[8.0, 8, 60, 50], [30.0, 20, 120, 127]])
        total = sum(map(sum, losses.values()))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 35)  # as the config says
        optimizer.step()
        mmdet_losses.commit_statistics(module)
        totals.append(total.item())
    # the first one harmonizes each level for itself, the others all levels together
    assert all(total < 2 * totals[0] for total in totals)
    assert totals[-1] < totals[1]
    # at most every anchor and class of both images, over the five calls
    assert 0 < module.loss_cls.acc_sum.sum() <= 2 * 4 * 9 * (256 + 64 + 16 + 4 + 1) / 5
    assert module.loss_bbox.acc_sum.any()
