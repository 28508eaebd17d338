"""Tiny trainings with MMEngine's runner for the tests of the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmdet_losses.monitor.report import LossMonitorError

SIZE = 64
BOX = [8.0, 8.0, 40.0, 40.0]
RETINA = dict(
    type="RetinaHead",
    num_classes=3,
    in_channels=4,
    feat_channels=4,
    stacked_convs=1,
    anchor_generator=dict(
        type="AnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16]
    ),
    loss_cls=dict(type="FocalLoss", use_sigmoid=True),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
)


MONITOR = dict(type="mmdet_losses.LossMonitorHook", interval=2)


def retina(**changes: Any) -> dict[str, Any]:
    """Config of a small RetinaHead."""
    return {**RETINA, **changes}


DECODED = retina(reg_decoded_bbox=True, loss_bbox=dict(type="GIoULoss", loss_weight=2.0))
PLAIN = retina(loss_bbox=dict(type="L1Loss"))


class Detector(BaseModel):
    """A convolution and a head on two levels of it."""

    def __init__(self, head: dict[str, Any], **others: dict[str, Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Conv2d(3, 4, 3, 8, 1)
        self.bbox_head = MODELS.build(head)
        for name, config in others.items():
            setattr(self, name, MODELS.build(config))
        self.init_weights()

    def maps(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        found = self.backbone(torch.stack(list(inputs)))
        return found, nn.functional.avg_pool2d(found, 2)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "loss") -> dict[str, Any]:
        return self.bbox_head.loss(self.maps(inputs), data_samples)


def sample(number: int, boxes: Sequence[Sequence[float]] = (BOX,)) -> dict[str, Any]:
    """An image with objects, as a pipeline leaves it."""
    shape = (SIZE, SIZE)
    found = DetDataSample(
        metainfo=dict(img_path=f"data/image_{number}.jpg", img_id=number, img_shape=shape, pad_shape=shape)
    )
    found.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)) % 3)
    generator = torch.Generator().manual_seed(number)
    return dict(inputs=torch.rand(3, *shape, generator=generator), data_samples=found)


def samples(number: int, **others: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Images of one object each; ``_3=[...]`` says what the fourth one has."""
    return [sample(place, others.get(f"_{place}", (BOX,))) for place in range(number)]


def runner_of(
    model: nn.Module,
    data: Sequence[dict[str, Any]],
    folder: Path,
    *hooks: Any,
    rate: float = 0.01,
    batch_size: int = 2,
    wrapper: Any = None,
    iterations: int | None = None,
    **options: Any,
) -> Runner:
    """A runner that goes through the data once, in its order."""
    loader = DataLoader(list(data), batch_size=batch_size, collate_fn=pseudo_collate)
    return Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=iterations or len(loader), val_interval=10**6),
        optim_wrapper=wrapper or dict(optimizer=dict(type="SGD", lr=rate)),
        custom_hooks=list(hooks),
        default_scope="mmdet",
        experiment_name=f"{folder.name}_{id(model)}",
        log_level="ERROR",
        randomness=dict(seed=0),
        **{"default_hooks": dict(checkpoint=None, logger=None), **options},
    )


def stopped(runner: Runner) -> LossMonitorError:
    """The report with which a training ends."""
    with pytest.raises(LossMonitorError) as stop:
        runner.train()
    return stop.value


def cause(text: str) -> str:
    """The cause that is called likely."""
    (line,) = [line for line in text.splitlines() if line.startswith("  likely cause: ")]
    return line.removeprefix("  likely cause: ")


def figure(runner: Runner, name: str) -> float:
    """What the message hub has last."""
    return runner.message_hub.get_scalar(f"train/{name}").current()
