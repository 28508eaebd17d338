"""Measuring a training step: a detector with mmdet's losses, with ours and with ours fused take turns on a batch."""

from __future__ import annotations

import copy
import logging
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from tool_runtime import runtime
from tool_runtime.errors import ToolError
from tool_runtime.preflight import find_losses, use_stock_losses
from tool_runtime.trial import is_ours, loss_classes
from tqdm import tqdm

from mmdet_losses.data.drawings import CLASSES, ShapesSpec, draw
from mmdet_losses.registry import LOSSES, stock_losses

from .clock import TIMERS, order, spread
from .loss_calls import LossCalls
from .memory import peak_bytes
from .probe import Probe
from .run import Report, failure, prepare, start
from .shapes import choose

SIDES = ("mmdet", "eager", "fused")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DETECTORS = {
    "cuda": (
        "retinanet/retinanet_r50_fpn_giou_8xb2-1x_coco.py",
        "fcos/fcos_r50-caffe_fpn_gn-head_iou_8xb2-1x_coco.py",
        "atss/atss_r50_fpn_giou_8xb2-1x_coco.py",
        "gfl/gfl_r50_fpn_giou_8xb2-1x_coco.py",
    ),
    "cpu": ("retinanet/retinanet_r18_fpn_giou_1xb4-12e_bccd.py",),
}
SIZES = {"cuda": (1333, 800), "cpu": (640, 480)}
BATCH = {"cuda": 2, "cpu": 1}
BATCHES = 4
"""Number of different batches, which are cycled."""
CALLS = 13
"""How often the losses' calls of a step are made by themselves; the first three are not counted."""


@dataclass(frozen=True)
class StepSettings:
    """What to measure.

    Attributes:
        configs: Paths; the four COCO-scale heads on a GPU and a small one on a CPU by default.
        sides: Of ``'mmdet'``, ``'eager'`` and ``'fused'``; empty for all.
        device: ``'cpu'`` or ``'cuda'``.
        iters: Measured iterations per side.
        size: Width and height of the drawn images.
        batch_size: Images per batch.
        amp: Whether to use mixed precision, on a GPU.
        threads: CPU threads of torch, None for its default.
        seed: Seed of weights and images.
    """

    configs: Sequence[str] = ()
    sides: Sequence[str] = ()
    device: str = "cpu"
    iters: int = 20
    size: tuple[int, int] | None = None
    batch_size: int | None = None
    amp: bool = False
    threads: int | None = None
    seed: int = 0

    def resolved(self) -> StepSettings:
        """Return the settings with the defaults of the device."""
        known = {
            "configs": list(self.configs) or [str(CONFIGS / name) for name in DETECTORS[self.device]],
            "sides": choose(self.sides, SIDES, "side"),
            "size": self.size or SIZES[self.device],
            "batch_size": self.batch_size or BATCH[self.device],
        }
        if self.iters < 1:
            raise ToolError(f"--iters is 1 or more, got {self.iters}.")
        if known["batch_size"] < 1 or min(known["size"]) < 32:
            raise ToolError("--batch-size is 1 or more, and both sides of --size are 32 or more.")
        if self.amp and self.device == "cpu":
            raise ToolError("--amp needs --device cuda: mmengine's wrapper works on a GPU alone.")
        return StepSettings(**{**vars(self), **known})


def draw_batches(settings: StepSettings) -> list[dict[str, list]]:
    """Return batches of drawn images with their objects, as a data loader yields them."""
    width, height = settings.size
    short = min(width, height)
    spec = ShapesSpec(
        BATCHES * settings.batch_size,
        image_size=(width, height),
        object_size=(max(8, short // 25), max(16, short // 2)),
        seed=settings.seed,
    )
    batches = []
    for first in range(0, spec.num_images, settings.batch_size):
        batch: dict[str, list] = {"inputs": [], "data_samples": []}
        for index in range(first, first + settings.batch_size):
            image, objects = draw(spec, index)
            boxes = np.array([[x, y, x + w, y + h] for _, (x, y, w, h) in objects], np.float32)
            sample = DetDataSample(metainfo={"img_shape": (height, width), "scale_factor": (1.0, 1.0)})
            sample.gt_instances = InstanceData(
                bboxes=torch.from_numpy(boxes), labels=torch.tensor([one.label for one in objects])
            )
            sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
            batch["inputs"].append(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
            batch["data_samples"].append(sample)
        batches.append(batch)
    return batches


def read_model(path: str) -> Any:
    """Return the model of a config without pretrained weights, with its backbone's batch norm trained instead."""
    cfg = runtime.read_config(path)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    model = cfg.model
    model.backbone.init_cfg = None
    model.backbone.frozen_stages = -1
    model.backbone.norm_eval = False
    model.backbone.norm_cfg = {**model.backbone.get("norm_cfg", {"type": "BN"}), "requires_grad": True}
    head = model.get("bbox_head")
    if head is None or head.get("num_classes", 0) < len(CLASSES):
        raise ToolError(f"{path}: expected a one-stage detector with {len(CLASSES)} classes or more.")
    return model


def fuse(model: Any) -> Any:
    """Return a copy of a model's config with ``fused=True`` in every loss that has kernels."""
    model = copy.deepcopy(model)
    known = [(loss, LOSSES.get(loss["type"])) for _, loss in find_losses(model)]
    slots = [loss for loss, cls in known if cls is not None and cls.fusible]
    if not slots:
        raise ToolError("no loss of this detector has the option fused.")
    for loss in slots:
        loss["fused"] = True
    return model


def build(model: Any, side: str, settings: StepSettings) -> torch.nn.Module:
    """Return the detector of a side; the same seed gives the same weights."""
    torch.manual_seed(settings.seed)
    model = fuse(model) if side == "fused" else copy.deepcopy(model)
    if side == "mmdet":
        use_stock_losses(model)
    # within it, also the losses that a head has by default and the config does not name
    with stock_losses() if side == "mmdet" else nullcontext():
        detector = MODELS.build(model)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # MMEngine logs how each parameter is initialised
    detector.init_weights()
    logger.setLevel(level)
    wrong = {name: cls for name, cls in loss_classes(detector).items() if is_ours(cls) == (side == "mmdet")}
    if wrong:
        raise ToolError(f"these losses are not {side}'s: {sorted(wrong)}.")
    return detector.to(settings.device).train()


class Side:
    """A detector with its optimizer."""

    def __init__(self, detector: torch.nn.Module, settings: StepSettings) -> None:
        self.detector = detector
        wrapper: Callable[..., OptimWrapper] = (
            partial(AmpOptimWrapper, loss_scale="dynamic") if settings.amp else OptimWrapper
        )
        optimizer = torch.optim.SGD(detector.parameters(), lr=1e-3)
        self.wrapper = wrapper(optimizer=optimizer, clip_grad={"max_norm": 10.0, "norm_type": 2})
        self.losses: list[float] = []
        self.samples: list[float] = []

    def context(self) -> AbstractContextManager:
        """Return the context in which the detector computes its losses."""
        return self.wrapper.optim_context(self.detector)

    def step(self, batch: dict[str, list]) -> None:
        """Train on a batch, as MMEngine's loop does."""
        log = self.detector.train_step(copy.copy(batch), self.wrapper)
        self.losses.append(log["loss"].detach())


def measure_detector(path: str, settings: StepSettings, batches: Sequence[dict[str, list]]) -> dict[str, Any]:
    """Measure time, memory and losses of a detector on each side."""
    model = read_model(path)
    sides: dict[str, Side] = {}
    found: dict[str, dict[str, Any]] = {}
    for name in settings.sides:
        try:
            sides[name] = Side(build(model, name, settings), settings)
            found[name] = {"loss_classes": loss_classes(sides[name].detector)}
        except Exception as error:  # a side that cannot be built is a result, too
            found[name] = {"error": failure(error)}
    first = next(iter(sides.values()), None)
    for side in sides.values():
        side.detector.load_state_dict(first.detector.state_dict(), strict=False)
    timer = TIMERS[settings.device]

    def turn(name: str, number: int) -> float | None:
        """Return the seconds of a side's step; one that fails is noted and removed."""
        try:
            return timer(partial(sides[name].step, batches[number % len(batches)]), 1)
        except Exception as error:
            found[name]["error"] = failure(error)
            del sides[name]
            return None

    # each batch once untimed: compiling and tuning for its sizes is not part of a step
    for number in tqdm(range(BATCHES + settings.iters), desc=Path(path).stem, file=sys.stderr, dynamic_ncols=True):
        for name in order(settings.sides, number):
            seconds = turn(name, number) if name in sides else None
            if seconds is not None and number >= BATCHES:
                sides[name].samples.append(seconds)
    for name, side in sides.items():
        side.wrapper.zero_grad()
        peak = peak_bytes(partial(side.step, batches[0]), settings.device)
        side.wrapper.zero_grad()
        losses = [float(value) for value in side.losses]
        calls = LossCalls(side.detector, partial(side.step, batches[0]), side.context)
        found[name] |= {"step": spread(side.samples), "peak_bytes": peak, "losses": losses}
        found[name] |= {"loss_calls": len(calls.calls), "loss": spread([timer(calls, 1) for _ in range(CALLS)][3:])}
        found[name]["share_of_losses"] = found[name]["loss"]["median"] / found[name]["step"]["median"]
        found[name]["finite"] = all(math.isfinite(value) for value in losses)
    return {"config": Path(path).stem, "sides": found}


def measure(settings: StepSettings, file: str | Path) -> dict[str, Any]:
    """Measure each detector and write the JSON after each.

    Returns:
        The JSON's content.
    """
    settings = settings.resolved()
    prepare(settings.device, settings.threads)
    runtime.prepare_process()
    report = Report(Path(file), start("step", asdict(settings), settings.device))
    names = [Path(path).name for path in settings.configs]
    report.content["settings"]["configs"] = names
    report.content |= {"planned": len(names), "complete": False, "copy": None, "cases": []}
    probe = Probe(settings.device)
    probe()
    batches = draw_batches(settings)
    try:
        for path in settings.configs:
            report.content["cases"].append(measure_detector(path, settings, batches))
            probe()
            report.content["copy"] = probe.verdict()
            report.write()
            if settings.device == "cuda":
                torch.cuda.empty_cache()
    except KeyboardInterrupt:
        report.write()
        done = len(report.content["cases"])
        raise KeyboardInterrupt(f"interrupted; {done} of {len(names)} detectors are in {file}") from None
    report.content["complete"] = True
    report.write()
    return report.content
