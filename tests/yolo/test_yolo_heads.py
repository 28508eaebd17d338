"""Heads that train with an objective as a whole, and read their maps as it does."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

import mmdet_losses  # noqa: F401

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "yolo").glob("*.py"))
NAME = re.compile(
    r"(?P<detector>yolov3|grid)_(?P<backbone>d53|r18)(_fpn)?_(?P<objective>yolov[1-4]|grid|four-losses)"
    r"_\dxb(?P<batch>\d)-(ms-608-273e|12e|4e)_(?P<data>coco|bccd|shapes)"
)
HEADS = {"yolov3": "YOLOObjectiveHead", "grid": "GridCellHead"}
TYPES = {"grid": "GridObjectnessLoss", **{f"yolov{version}": f"YOLOv{version}Loss" for version in range(1, 5)}}
OBJECTIVES = [file for file in CONFIGS if file.stem.endswith("_bccd") and "four-losses" not in file.stem]
SIZE = 128
BOXES = [[10.0, 12, 58, 60], [70.0, 66, 120, 121], [20.0, 90, 42, 110]]
META = dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))


def build(file: Path) -> torch.nn.Module:
    model = deepcopy(Config.fromfile(file).model)
    return MODELS.build(
        ConfigDict({**model.bbox_head, "test_cfg": model.test_cfg, "train_cfg": None, "_scope_": "mmdet"})
    )


def instances(boxes: list[list[float]]) -> InstanceData:
    return InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)) % 3)


def strides(head: torch.nn.Module) -> tuple[float, ...]:
    return getattr(head.objective, "strides", None) or (head.objective.stride,)


@pytest.mark.parametrize("file", OBJECTIVES, ids=lambda file: file.stem)
def test_detections_of_maps_that_the_objective_trained(file: Path) -> None:
    """Maps as free parameters: where the objective is least, the head finds the objects."""
    torch.manual_seed(0)
    head = build(file).eval()
    maps = [
        torch.full((2, channels, int(SIZE / stride), int(SIZE / stride)), 0.1, requires_grad=True)
        for channels, stride in zip(head.objective.channels(3), strides(head), strict=True)
    ]
    truth = [instances(BOXES), instances([])]
    optimizer = torch.optim.Adam(maps, lr=0.1)
    for _ in range(200):
        losses = head.loss_by_feat(maps, truth, [META, META])
        assert all("loss" in name for name in losses)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    found, empty = head.predict_by_feat([one.detach() for one in maps], [META, META])
    best = bbox_overlaps(truth[0].bboxes, found.bboxes).max(1)
    assert (best.values > 0.9).all()
    assert (found.labels[best.indices] == truth[0].labels).all()
    assert (found.scores[best.indices] > 0.5).all()
    # what is found beside the objects, and where there are none, is faint
    others = torch.ones(len(found), dtype=torch.bool)
    others[best.indices] = False
    assert (found.scores[others] < 0.3).all()
    assert (empty.scores < 0.3).all()


@pytest.mark.parametrize("file", OBJECTIVES, ids=lambda file: file.stem)
def test_steps_with_and_without_objects(file: Path) -> None:
    """From features: every parameter but those of losses that are not used has a gradient, also without objects."""
    torch.manual_seed(0)
    head = build(file)
    head.init_weights()
    if hasattr(head, "in_channels"):
        sizes = [SIZE // int(stride) for stride in head.featmap_strides]
        features = [torch.randn(2, c, s, s) for c, s in zip(head.in_channels, sizes, strict=True)]
    else:
        features = [torch.randn(2, 128, SIZE // stride, SIZE // stride) for stride in (8, 16, 32)]
    for boxes in (BOXES, []):
        head.zero_grad()
        losses = head.loss_by_feat(*head(features), [instances(boxes), instances([])], [META, META])
        assert all(value.isfinite() for value in losses.values())
        sum(losses.values()).backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_config_is_what_its_name_says_and_trains(file: Path) -> None:
    parts, cfg = NAME.fullmatch(file.stem), Config.fromfile(file)
    assert cfg.train_dataloader.batch_size == int(parts["batch"])
    assert "mmdet_losses" in cfg.custom_imports.imports
    cfg.model.backbone.init_cfg = None
    model = MODELS.build({**cfg.model, "_scope_": "mmdet"})
    assert model.bbox_head.num_classes == (80 if parts["data"] == "coco" else 3)
    if parts["objective"] != "four-losses":
        assert type(model.bbox_head).__name__ == HEADS[parts["detector"]]
        assert type(model.bbox_head.objective).__name__ == TYPES[parts["objective"]]
    data = dict(
        inputs=[torch.randint(0, 255, (3, SIZE, SIZE), dtype=torch.uint8) for _ in range(2)],
        data_samples=[DetDataSample(gt_instances=instances(boxes), metainfo=META) for boxes in (BOXES, [])],
    )
    losses = model(**model.data_preprocessor(data, training=True), mode="loss")
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite() and loss > 0
    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(data), mode="predict")
    assert all(sample.pred_instances.bboxes.isfinite().all() for sample in found)


@pytest.mark.parametrize(
    ("objective", "prior"),
    [
        (dict(type="GridObjectnessLoss", stride=16), 0.02),
        (dict(type="YOLOv2Loss", anchors=[[(20, 19), (48, 52)]], strides=[16]), 0.02),
        (dict(type="YOLOv1Loss", stride=16), 0.0),
    ],
)
def test_grid_cell_head_starts_from_a_prior(objective: dict, prior: float) -> None:
    """Where the objective has a logit of an object; YOLOv1's confidence is a regression."""
    head = MODELS.build(
        dict(type="GridCellHead", num_classes=3, in_channels=8, feat_channels=8, objective=objective, prior_prob=0.02)
    )
    head.init_weights()
    _, objectness, scores = head.objective.detections(*head((torch.zeros(1, 8, 4, 4),)))
    found = scores if objective["type"] == "GridObjectnessLoss" else objectness
    torch.testing.assert_close(found, torch.full_like(found, prior))
