"""What each process of ``test_monitor.py`` runs: a training in which the second one gets a box of no size."""

from __future__ import annotations

import datetime
from pathlib import Path

import torch
from mmengine.model import MMDistributedDataParallel
from monitored import Detector, retina, runner_of, samples

from mmdet_losses.monitor.report import LossMonitorError


def main(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", datetime.timedelta(seconds=60), world_size=2, rank=rank
    )
    bad = {"_2": [[10.0, 20.0, 10.0, 40.0]]} if rank else {}
    model = MMDistributedDataParallel(Detector(retina(loss_bbox=dict(type="L1Loss"))))
    monitor = dict(type="mmdet_losses.LossMonitorHook", interval=2)
    runner = runner_of(model, samples(6, **bad), folder, monitor, batch_size=1)
    try:
        runner.train()
        said = "it went on"
    except LossMonitorError as error:
        said = str(error)
    (folder / f"rank{rank}").write_text(said)
