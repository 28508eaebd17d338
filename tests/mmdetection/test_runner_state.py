"""MMEngine's runner commits statistics whatever its config says, alone and as one of two processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from processes import run_ranks
from torch import Tensor, nn
from torch.utils.data import DataLoader

import mmdet_losses as ml

LVIS = "mmdet::seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py"
CLASSES, REGIONS = 1203, 6


def head_of_lvis() -> nn.Module:
    """The box head of MMDetection's own config, narrower."""
    from mmdet.registry import MODELS

    head = Config.fromfile(f"{MMDET}/{LVIS.split('::')[1]}").model.roi_head.bbox_head
    head.update(in_channels=4, fc_out_channels=4, roi_feat_size=1)
    return MODELS.build(head)


MMDET = Path(sys.modules["mmdet"].__file__).parent / ".mim" / "configs"


def lvis_model() -> nn.Module:
    from mmengine.model import BaseModel

    class Regions(BaseModel):
        """Trains the head on as many regions of class 0 as the batch says, and background."""

        def __init__(self) -> None:
            super().__init__()
            self.bbox_head = head_of_lvis()

        def forward(self, inputs: Tensor, data_samples: object = None, mode: str = "loss") -> dict[str, Tensor]:
            labels = torch.full((REGIONS,), CLASSES)
            labels[: int(inputs)] = 0
            objects = (labels < CLASSES).float()[:, None].expand(-1, 4)
            rois, ones = torch.zeros(REGIONS, 5), torch.ones(REGIONS, 4)
            found = self.bbox_head(torch.ones(REGIONS, 4, 1, 1))
            losses = self.bbox_head.loss(*found, rois, labels, torch.ones(REGIONS), ones, objects)
            return {name: value for name, value in losses.items() if "loss" in name}

    return Regions()


@pytest.mark.filterwarnings("ignore")
def test_seesaw_of_mmdetections_own_config_counts(tmp_path):
    """The README's line over that config, and no hook: 1, 2 and 3 regions of class 0 in three iterations of six."""
    model = lvis_model()
    assert type(model.bbox_head.loss_cls) is ml.SeesawLoss
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=DataLoader([dict(inputs=torch.tensor(number)) for number in (1, 2, 3)], batch_size=1),
        train_cfg=dict(by_epoch=False, max_iters=3, val_interval=10**6),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        default_scope="mmdet",
        log_level="ERROR",
    ).train()
    counts = model.bbox_head.loss_cls.cum_samples
    assert counts[0] == 6
    assert counts[CLASSES] == 12
    assert counts.sum() == 18


# ---------------------------------------------------------------------------------------------------- two processes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("runner_processes")
    run_ranks("runner_processes", 2, folder, 150)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("training", ["plain", "accumulated", "skipped", "two optimizers"])
def test_processes_commit_equally(results, training):
    """Of four iterations the second process calls its loss in the first and the last alone: ten labels in all.

    It also steps an optimizer of its own, and has dropped a loss that the first one keeps.
    """
    for result in results:
        assert result[training] == [0, 3, 4, 6, 10]


def test_loop_of_ones_own_is_told_what_to_add(results):
    """No process waits for the other."""
    for result in results:
        assert result["own loop"] == 0
        assert "call mmdet_losses.commit_statistics(model)" in result["said"]
