"""Everything that can be wrong with a comparison, found before anything is trained."""

from __future__ import annotations

import contextlib
import io
import json

from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tool_runtime.errors import ToolError
from tool_runtime.preflight import check_losses, config_errors, suggest

from .plan import Plan, leaves
from .results import AP90, METRICS


def check(plan: Plan) -> None:
    """Build the model and the optimizer of every variant, and open the data.

    Raises:
        ToolError: With the variant, and what is wrong with it.
    """
    seen: set[str] = set()
    for name, cfg in plan.configs.items():
        try:
            check_variant(cfg, seen, plan.metric)
        except ToolError as error:
            raise ToolError(f"variant {name}: {error}") from error
        except Exception as error:  # a constructor's own, such as ResNet's KeyError for a depth
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ToolError(f"variant {name} does not build: {reason}") from error


def check_variant(cfg: Config, seen: set[str], metric: str) -> None:
    """Check one variant; ``seen`` are the data sets that have been opened."""
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
            if text not in seen:
                seen.add(text)
                with contextlib.redirect_stdout(io.StringIO()):  # what pycocotools says
                    number = len(DATASETS.build(dataset))
                if not number:
                    raise ToolError(f"{cfg.filename}: the data set of {split} has no images")
    check_metric(cfg, metric)


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
