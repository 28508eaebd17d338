"""The quality-aware losses in MMDetection's own heads: what they are there, and that they are the formula."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

pytest.importorskip("mmdet.models")

import torch
from mmdet.models import losses as stock
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from oracle import quality_aware as oracle
from test_more_heads import BOXES, CLASSES, DEFORMABLE, META, built, config, losses, outputs
from torch import nn

import mmdet_losses as ml

NAMES = ["MatchabilityAwareLoss", "RTDETRVarifocalLoss", "IABCELoss", "PositionSupervisedLoss", "SlideLoss"]


@pytest.mark.parametrize("name", [*NAMES, "EMASlideLoss", "DEIMMalLoss"])
def test_instances_of_both(name):
    loss = MODELS.build(dict(type=name, use_sigmoid=True))
    assert isinstance(loss, stock.QualityFocalLoss)
    assert isinstance(loss, stock.VarifocalLoss)
    assert type(loss) is getattr(ml, name)


def test_varifocal_loss_is_of_its_own_alone():
    """GroundingDINOHead refuses what is a QualityFocalLoss."""
    assert isinstance(ml.VarifocalLoss(), stock.VarifocalLoss)
    assert not isinstance(ml.VarifocalLoss(), stock.QualityFocalLoss)
    assert not isinstance(ml.QualityFocalLoss(), stock.VarifocalLoss)


class Recorded(ml.MatchabilityAwareLoss):
    """Keeps what a head calls it with."""

    def forward(self, pred: Any, target: Any, *args: Any, **more: Any) -> Any:
        value = super().forward(pred, target, *args, **more)
        vars(self).setdefault("calls", []).append((pred.detach(), target, args, more, value))
        return value


def by_hand(pred: Any, target: Any, weight: Any, avg_factor: Any) -> float:
    """The sum over rows and classes by the scalar reference."""
    total = 0.0
    for row, label, quality, w in zip(pred.tolist(), *(part.tolist() for part in target), weight.tolist(), strict=True):
        entries = (oracle.matchability(z, quality if k == label else None) for k, z in enumerate(row))
        total += w * sum(entries)
    return total / float(avg_factor)


@pytest.fixture
def double():
    built("dino"), outputs("dino", "with")  # which are kept, in float32
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_in_dino_it_is_the_formula():
    """Every call of a stock DINOHead, in float64: decoder layers, encoder and denoising."""
    module = deepcopy(built("dino")).double()
    module.loss_cls = loss = Recorded()
    made = [
        [x.detach().double().requires_grad_() for x in part] if isinstance(part, list) else part.detach().double()
        for part in outputs("dino", "with")
    ]
    values = losses("dino", module, made, "with")
    assert len(loss.calls) >= 4
    for pred, target, args, more, value in loss.calls:
        assert pred.dtype == torch.float64
        weight = args[0] if args else more["weight"]
        expected = by_hand(pred, target, weight, more["avg_factor"])
        assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    of_head = sum(value.sum().item() for key, value in values.items() if key.endswith("loss_cls"))
    assert of_head == pytest.approx(sum(value.item() for *_, value in loss.calls), rel=1e-12)
    assert any((target[1] > 0).any() for _, target, *_ in loss.calls)


def ddq_head(name: str) -> torch.nn.Module:
    model = config("ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py").to_dict()
    narrow = DEFORMABLE | dict(num_pred_layer=3, as_two_stage=True, loss_cls=dict(type=name, use_sigmoid=True))
    head = model["bbox_head"] | narrow
    return MODELS.build(dict(head, train_cfg=model["train_cfg"], test_cfg=model["test_cfg"]))


@pytest.mark.parametrize("name", NAMES)
def test_in_ddq_whose_calls_mix_labels_and_tuples(name):
    """The calls of distinct queries pass labels alone, where MMDetection's own losses of this kind die."""
    module = ddq_head(name)
    module.cache_dict = dict(num_heads=8, distinct_query_mask=[torch.ones(2 * 8, 10, 10, dtype=torch.bool)] * 2)
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 2, 10, CLASSES, generator=g, requires_grad=True)
    boxes = torch.rand(2, 2, 10, 4, generator=g) * 0.4 + 0.2
    instances = [
        InstanceData(bboxes=torch.tensor(kept).reshape(-1, 4), labels=torch.arange(len(kept)) % CLASSES)
        for kept in (BOXES["with"], [])
    ]
    found = module.loss_for_distinct_queries(scores, boxes, instances, [META] * 2)
    encoded = module.loss_by_feat_single(scores[0], boxes[0], batch_gt_instances=instances, batch_img_metas=[META] * 2)
    total = sum(found.values()) + sum(encoded)
    total.backward()
    assert total.isfinite()
    assert scores.grad.isfinite().all()
    assert found["loss_cls"] > 0


def test_grounding_dino_says_which_loss_to_take():
    """Its head passes single scores, after it has refused a QualityFocalLoss with an error of its own."""
    with pytest.raises(ValueError, match=r"GroundingDINOHead.*FocalLoss"):
        ml.MatchabilityAwareLoss()(torch.zeros(7), torch.zeros(7), torch.ones(7))


@pytest.mark.parametrize("name", ["MatchabilityAwareLoss", "EMASlideLoss", "QualityFocalLoss"])
def test_grounding_dino_is_not_built_with_what_it_refuses(name):
    """MMDetection's head raises in the first iteration, and names QualityFocalLoss whatever the config has."""
    config = dict(
        type="GroundingDINOHead",
        num_classes=2,
        contrastive_cfg=dict(max_text_len=4),
        loss_cls=dict(type=name, use_sigmoid=True),
    )
    with pytest.raises(ValueError, match=f"loss_cls={name} of GroundingDINOHead .* Choose FocalLoss"):
        MODELS.build(config)
    assert isinstance(
        MODELS.build({**config, "loss_cls": dict(type="FocalLoss", use_sigmoid=True)}).loss_cls, nn.Module
    )
