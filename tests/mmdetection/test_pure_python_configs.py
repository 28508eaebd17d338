"""A config in pure Python: loaded, trained, dumped, and trained again from the dump, each in a new process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mmcv
import numpy as np
import pytest
from processes import run_fork, run_forks

BASE = """
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.models import FPN, DetDataPreprocessor, ResNet, RetinaHead, RetinaNet
from mmdet.models.losses import FocalLoss, L1Loss
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder, MaxIoUAssigner, PseudoSampler
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch.optim import SGD

default_scope = None
model = dict(
    type=RetinaNet,
    data_preprocessor=dict(type=DetDataPreprocessor, pad_size_divisor=32),
    backbone=dict(type=ResNet, depth=18, out_indices=(1, 2, 3), base_channels=8, stem_channels=8),
    neck=dict(type=FPN, in_channels=[16, 32, 64], out_channels=16, num_outs=3),
    bbox_head=dict(
        type=RetinaHead, num_classes=2, in_channels=16, feat_channels=16, stacked_convs=1,
        anchor_generator=dict(
            type=AnchorGenerator, octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32]),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder),
        loss_cls=dict(type=FocalLoss, use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type=L1Loss, loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(type=MaxIoUAssigner, pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type=PseudoSampler), allowed_border=-1, pos_weight=-1, debug=False))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=CocoDataset, ann_file="train.json", data_prefix=dict(img="."), metainfo=dict(classes=("a", "b")),
        pipeline=[dict(type=LoadImageFromFile), dict(type=LoadAnnotations, with_bbox=True), dict(type=PackDetInputs)]))
train_cfg = dict(type=IterBasedTrainLoop, max_iters=2, val_interval=3)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.001))
work_dir = "runs"
"""

NAMED = "from mmdet_losses.detectors import RetinaNet"
DERIVED = """
from mmengine.config import read_base

with read_base():
    from .base import *

from mmdet.models.losses import CIoULoss
{named}

bbox_head = dict(reg_decoded_bbox=True, loss_bbox=dict(type=CIoULoss, loss_weight=2.0))
model.update(dict(type=RetinaNet, bbox_head=bbox_head))
"""

TRAIN = """
import json, sys
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

class Record(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        found["losses"].append(float(outputs["loss"]))

found = {"losses": []}
cfg = Config.fromfile(sys.argv[1])
cfg.randomness = dict(seed=1)
cfg.dump(sys.argv[2])
runner = Runner.from_cfg(cfg)
head = runner.model.bbox_head
found["classes"] = [f"{type(loss).__module__}.{type(loss).__name__}" for loss in (head.loss_cls, head.loss_bbox)]
runner.register_hook(Record())
runner.train()
print("FOUND" + json.dumps(found))
"""

OURS = ["mmdet_losses.modules.classes.focal.FocalLoss", "mmdet_losses.modules.boxes.members.CIoULoss"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pure_python")
    for number in range(4):
        mmcv.imwrite(np.full((64, 64, 3), 40 * number, np.uint8), str(folder / f"{number}.png"))
    box = dict(bbox=[8, 8, 32, 32], area=1024, iscrowd=0)
    data = dict(
        images=[dict(id=number, file_name=f"{number}.png", width=64, height=64) for number in range(4)],
        annotations=[dict(box, id=number, image_id=number, category_id=1 + number % 2) for number in range(4)],
        categories=[dict(id=1, name="a"), dict(id=2, name="b")],
    )
    (folder / "train.json").write_text(json.dumps(data))
    (folder / "base.py").write_text(BASE)
    (folder / "ours.py").write_text(DERIVED.format(named=NAMED))
    (folder / "left_out.py").write_text(DERIVED.format(named=NAMED.replace("mmdet_losses.detectors", "mmdet.models")))
    return folder


def test_the_page_shows_this():
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
    shown = page.split("## Configs in pure Python")[1].split("```python")[1].split("```")[0]
    assert [re.sub(r"  # .*|retinanet_r50_fpn_1x_coco", "", line) for line in shown.strip().splitlines()] == [
        line.replace(".base ", ". ") for line in DERIVED.format(named=NAMED).strip().splitlines()
    ]


def train(folder, config, dump):
    begin = f"import os, sys\nos.chdir({str(folder)!r})\nsys.path[0], sys.argv[1:] = '', [{config!r}, {dump!r}]\n"
    said = run_fork("import_orders", begin + TRAIN)
    return json.loads(next(line for line in said.splitlines() if line.startswith("FOUND"))[5:])


def test_loaded_dumped_and_reloaded(folder):
    first = train(folder, "ours.py", "dumped.py")
    assert first["classes"] == OURS
    assert len(first["losses"]) == 2 and all(0 < loss < 100 for loss in first["losses"])
    text = (folder / "dumped.py").read_text()
    assert "type='mmdet_losses.detectors.RetinaNet'" in text and "type='mmdet.models.losses.CIoULoss'" in text
    second = train(folder, "dumped.py", "again.py")
    assert second == first
    assert (folder / "again.py").read_text() == text


BUILD = """
from mmengine.config import Config
from mmengine.registry import MODELS
cfg = Config.fromfile({config!r})
head = MODELS.build(cfg.model).bbox_head
found = [f"{{type(loss).__module__}}.{{type(loss).__name__}}" for loss in (head.loss_cls, head.loss_bbox)]
assert found == {expected!r}, found
"""


def test_what_names_the_package_is_what_does_it(folder):
    stock = ["mmdet.models.losses.focal_loss.FocalLoss", "mmdet.models.losses.iou_loss.CIoULoss"]
    named = (folder / "ours.py").read_text().replace("mmdet.models.losses", "mmdet_losses.stock")
    (folder / "stock.py").write_text(named)
    expected = {"left_out.py": stock, "ours.py": OURS, "stock.py": [OURS[0], stock[1]]}
    run_forks(*(BUILD.format(config=str(folder / name), expected=losses) for name, losses in expected.items()))
