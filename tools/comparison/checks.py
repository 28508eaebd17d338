"""Everything that can be wrong with a comparison, found before anything is trained."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from traceback import extract_tb
from typing import Any

import mmdet.models.losses
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from tool_runtime.errors import ToolError
from tool_runtime.preflight import PACKAGE, check_losses, config_errors, suggest

from .plan import Plan, leaves
from .results import AP90, METRICS

LOSSES = (
    *(PACKAGE / name for name in ("functional", "modules", "rotated", "yolo")),
    Path(mmdet.models.losses.__file__).parent,
)
"""Folders of losses, this package's and MMDetection's."""


def check(plan: Plan) -> None:
    """Build the model and the optimizer of every variant, open the data, and compute the losses of an image.

    Raises:
        ToolError: With the variant, and what is wrong with it.
    """
    datasets: dict[str, Any] = {}
    to_train = plan.to_train()
    for name, cfg in plan.configs.items():
        try:
            check_variant(cfg, datasets, plan.metric, call=name in to_train)
        except ToolError as error:
            raise ToolError(f"variant {name}: {error}") from error
        except Exception as error:  # a constructor's own, such as ResNet's KeyError for a depth
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ToolError(f"variant {name} does not build: {reason}") from error


def check_variant(cfg: Config, datasets: dict[str, Any], metric: str, *, call: bool) -> None:
    """Check one variant.

    Args:
        cfg: Its config.
        datasets: Those that have been opened.
        metric: What has to be among the metrics.
        call: Whether the losses of an image are computed, too.
    """
    init_default_scope(cfg.get("default_scope", "mmdet"))
    check_losses(cfg)
    with config_errors(cfg.filename):
        try:
            model = MODELS.build(cfg.model)
            build_optim_wrapper(model, cfg.optim_wrapper)
        except TypeError as error:
            raise ToolError(f"{cfg.filename}: {error}") from error
        for split in ("train_dataloader", "val_dataloader"):
            dataset = cfg[split].dataset
            text = json.dumps(dict(leaves(dataset.to_dict())), sort_keys=True)
            if text not in datasets:
                with contextlib.redirect_stdout(io.StringIO()):  # what pycocotools says
                    datasets[text] = DATASETS.build(dataset)
                if not len(datasets[text]):
                    raise ToolError(f"{cfg.filename}: the data set of {split} has no images")
            if call and split == "train_dataloader":
                check_call(cfg, model, datasets[text])
    check_metric(cfg, metric)


def check_call(cfg: Config, model: BaseModel, dataset: Any) -> None:
    """Compute the losses of an image: what a head passes may not be what a loss takes, which building does not show.

    Of other errors, such as of an operator that only a GPU has, the training decides.

    Raises:
        ToolError: With what a loss says, or a module that is not called as it wants to be.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()  # a single image has no statistics
    try:
        with torch.no_grad():
            model(**model.data_preprocessor(pseudo_collate([dataset[0]]), True), mode="loss")
    except Exception as error:
        frames = extract_tb(error.__traceback__)
        called = isinstance(error, TypeError) and ".forward()" in str(error)
        if called or any(Path(frame.filename).is_relative_to(place) for frame in frames for place in LOSSES):
            said = " ".join(str(error).split()) or f"{frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}"
            raise ToolError(f"{cfg.filename}: {type(error).__name__}: {said}") from error


def check_metric(cfg: Config, metric: str) -> None:
    """Stop where COCO's evaluation alone is there, and has no such metric.

    Raises:
        ToolError: With the metrics that it has.
    """
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list | tuple) else [cfg.val_evaluator]
    known: list[str] = []
    for evaluator in evaluators:
        if str(getattr(evaluator.type, "__name__", evaluator.type)).rpartition(".")[2] != "CocoMetric":
            return  # what another one calls its metrics is known when it has evaluated
        kinds = evaluator.get("metric", "bbox")
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            known += [name.replace("bbox", kind, 1) for name in METRICS if kind == "bbox" or name != AP90]
    if metric not in known:
        raise ToolError(f"--metric {metric}: expected one of {', '.join(known)}{suggest(metric, known)}")
