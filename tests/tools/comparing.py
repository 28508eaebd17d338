"""A comparison of losses that trains in seconds: few small images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command_line import ROOT
from comparison import variants
from comparison.plan import Plan

CONFIG = str(ROOT / "configs" / "retinanet" / "retinanet_r18_fpn_giou_1xb4-4e_shapes.py")
LOSS = "model.bbox_head.loss_bbox.type"
SMALL = dict(num_images=8, image_size=(64, 64), object_size=(12, 40))


def tiny(data_root: Path) -> dict[str, Any]:
    """Options of a training of seconds on few small images, flipped at random in workers."""
    return {
        "data_root": str(data_root),
        "train_dataloader.dataset.spec": {**SMALL, "seed": 1},
        "val_dataloader.dataset.spec": {**SMALL, "seed": 1},
        "train_cfg.val_interval": 1,
        "model.test_cfg.score_thr": 0.0,
    }


def plan_of(folder: Path, losses: str = "GIoULoss,CIoULoss", **more: Any) -> Plan:
    settings = {"seeds": [0], "options": tiny(folder.parent / "data"), **more}
    return Plan(CONFIG, variants.from_vary([f"{LOSS}={losses}"]), folder=folder, **settings)
