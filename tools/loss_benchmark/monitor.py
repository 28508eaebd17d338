"""Measuring what LossMonitorHook costs: training steps of one model with and without it, and with a look, in turn."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tool_runtime import runtime
from tool_runtime.errors import ToolError
from torch.utils.data import DataLoader

from mmdet_losses.monitor.hook import LossMonitorHook

from .clock import order, spread
from .run import Report, prepare, start
from .step import BATCHES, StepSettings, draw_batches

MODES = ("without", "with", "look")
CONFIG = Path(__file__).resolve().parents[2] / "configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"
WARM_UP = 4
"""Rounds that are not counted."""
NEVER = 10**9


@dataclass(frozen=True)
class MonitorSettings:
    """What to measure.

    Attributes:
        rounds: Steps of each kind.
        interval: Of the hook, for which the cost is given.
        device: ``'cpu'`` or ``'cuda'``.
        threads: CPU threads of torch, None for its default.
        seed: Seed of weights and images.
    """

    rounds: int = 100
    interval: int = 50
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0


class Turns(Hook):
    """Switches the hook on and off, and takes the time of each step with what the hook does before and after it.

    Of each round, in which all steps get the same batch, the order changes.
    """

    priority = "VERY_HIGH"

    def __init__(self, rounds: int, device: str) -> None:
        self.modes = [mode for number in range(rounds) for mode in order(MODES, number)]
        self.device = device
        self.monitor = LossMonitorHook(NEVER)
        self.wall: dict[str, list[float]] = {mode: [] for mode in MODES}
        self.cpu: dict[str, list[float]] = {mode: [] for mode in MODES}

    def now(self) -> tuple[float, float]:
        """Wall time and CPU time, when the device has done its work."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.mode = self.modes[runner.iter]
        self.monitor.interval = 1 if self.mode == "look" else NEVER
        if self.mode != "without":
            self.monitor.before_train(runner)
        self.began = self.now()
        if self.mode != "without":
            self.monitor.before_train_iter(runner, batch_idx, data_batch)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.mode != "without":
            self.monitor.after_train_iter(runner, batch_idx, data_batch, outputs)
        wall, cpu = (after - before for after, before in zip(self.now(), self.began, strict=True))
        self.wall[self.mode].append(wall)
        self.cpu[self.mode].append(cpu)
        if self.mode != "without":
            self.monitor.watch.close()


def run_turns(settings: MonitorSettings, folder: str) -> Turns:
    """Train the quickstart's model on drawn images, a round per batch."""
    cfg = runtime.read_config(str(CONFIG))
    cfg.model.backbone.init_cfg = None
    width, height = cfg.image_size
    drawn = StepSettings(size=(width, height), batch_size=cfg.train_dataloader.batch_size, seed=settings.seed)
    batches = draw_batches(drawn)
    rounds = WARM_UP + settings.rounds
    samples = [
        {"inputs": image, "data_samples": sample}
        for number in range(rounds)
        for batch in [batches[number % BATCHES]] * len(MODES)
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True)
    ]
    turns = Turns(rounds, settings.device)
    Runner(
        model=cfg.model,
        work_dir=folder,
        train_dataloader=DataLoader(samples, batch_size=drawn.batch_size, collate_fn=pseudo_collate),
        train_cfg={"by_epoch": False, "max_iters": rounds * len(MODES), "val_interval": NEVER},
        optim_wrapper=cfg.optim_wrapper,
        default_hooks={"checkpoint": None, "logger": None},
        custom_hooks=[turns],
        default_scope="mmdet",
        randomness={"seed": settings.seed},
        log_level="ERROR",
    ).train()
    return turns


def cost(times: dict[str, Sequence[float]], interval: int) -> dict[str, Any]:
    """Medians of the steps, of the differences within a round, and the share of a step at an interval."""
    times = {mode: values[WARM_UP:] for mode, values in times.items()}
    without = times["without"]
    more = {
        mode: statistics.median(a - b for a, b in zip(times[mode], without, strict=True)) for mode in ("with", "look")
    }
    share = ((interval - 1) * more["with"] + more["look"]) / interval / statistics.median(without)
    return {
        "steps": {mode: spread(values) for mode, values in times.items()},
        "difference_ms": {mode: 1e3 * value for mode, value in more.items()},
        "share": share,
    }


def measure(settings: MonitorSettings, file: str | Path) -> dict[str, Any]:
    """Measure, and write the JSON.

    Returns:
        The JSON's content.
    """
    if settings.rounds < 2 or settings.interval < 1:
        raise ToolError(
            f"--rounds is 2 or more and --interval 1 or more, got {settings.rounds} and {settings.interval}."
        )
    prepare(settings.device, settings.threads)
    runtime.prepare_process()
    report = Report(Path(file), start("monitor", asdict(settings), settings.device))
    with tempfile.TemporaryDirectory() as folder:
        turns = run_turns(settings, folder)
    report.content |= {
        "wall": cost(turns.wall, settings.interval),
        "cpu": cost(turns.cpu, settings.interval),
        "complete": True,
    }
    report.write()
    return report.content


def section(content: dict[str, Any]) -> str:
    """The figures in lines."""
    interval, lines = content["settings"]["interval"], []
    for clock in ("wall", "cpu"):
        found = content[clock]
        step, more = found["steps"]["without"]["median"], found["difference_ms"]
        lines.append(
            f"{clock:4} time of a step: {step:.2f} ms; with the hook {more['with']:+.3f} ms, with a look "
            f"{more['look']:+.3f} ms; at interval={interval} {100 * found['share']:+.2f} %"
        )
    return "\n".join(lines)
