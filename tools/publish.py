#!/usr/bin/env python
"""Make a detector that works without this package: its weights, and a config of MMDetection's own parts.

Detection does not use losses. Those that MMDetection lacks, or whose options it does not know, give way to one of its
own. Both detectors then look at the same image, and have to find the same boxes.
"""

from __future__ import annotations

import argparse
import copy
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.apis import inference_detector, init_detector
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import Registry
from tool_runtime import checkpoints, runtime
from tool_runtime.errors import ToolError, report_errors

import mmdet_losses.data.datasets  # noqa: F401  registers them
from mmdet_losses.registry import LOSSES, stock, stock_losses

KEPT = (
    *("default_scope", "model", "tta_model", "tta_pipeline", "visualizer", "vis_backends", "env_cfg", "log_level"),
    *("default_hooks", "log_processor", "test_cfg", "test_dataloader", "test_evaluator"),
)
"""What inference and testing read of a config."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config")
    parser.add_argument("checkpoint", help="path of the checkpoint")
    parser.add_argument("out", type=Path, metavar="OUT.pth", help="the checkpoint to write; its config is OUT.py")
    return parser


def dicts(node: Any) -> Iterator[dict]:
    """Every dict of nested dicts and lists."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for child in node if isinstance(node, list | tuple) else ():
        yield from dicts(child)


def kind(node: dict) -> str:
    """The last part of a ``type``."""
    found = node.get("type", "")
    return getattr(found, "__name__", str(found)).rpartition(".")[2]


def of_package(registry: Registry) -> set[str]:
    """Names of this package in a registry of MMDetection's."""
    return {name for name, cls in registry.module_dict.items() if cls.__module__.startswith("mmdet_losses.")}


def stand_in(loss: dict) -> dict:
    """A loss of MMDetection's, with which a head predicts the same channels.

    Raises:
        ToolError: Where it has none.
    """
    name = kind(loss)
    try:
        known = inspect.signature(stock(name)).parameters
    except ValueError:
        if LOSSES[name].slot == "bbox":
            return dict(type="GIoULoss" if LOSSES[name].boxes else "L1Loss")
        if LOSSES[name].slot == "cls" and not hasattr(LOSSES[name], "get_cls_channels"):
            return dict(type="CrossEntropyLoss", use_sigmoid=loss.get("use_sigmoid", False))
        raise ToolError(f"{name} decides what its head predicts, and MMDetection has no such loss") from None
    return {"type": name, **{key: value for key, value in loss.items() if key in known}}


def plain_config(cfg: Config, metainfo: dict) -> Config:
    """What inference needs of a config, with MMDetection's losses and data sets in place of this package's."""
    plain = {key: copy.deepcopy(value) for key, value in cfg.to_dict().items() if key in KEPT}
    plain["model"].get("backbone", {}).pop("init_cfg", None)
    imports = dict(cfg.get("custom_imports") or {})
    others = [name for name in imports.get("imports", ()) if name.partition(".")[0] != "mmdet_losses"]
    if others:
        plain["custom_imports"] = {**imports, "imports": others}
    for node in list(dicts(plain)):
        if kind(node) in LOSSES:
            loss = stand_in(node)
            node.clear()
            node.update(loss)
        elif kind(node) in of_package(DATASETS):
            node.pop("spec", None)
            node.update(type="CocoDataset", metainfo=metainfo)
        elif kind(node) in of_package(MODELS):
            raise ToolError(f"{kind(node)} is of this package, without which the detector does not work")
    return Config(plain)


def boxes_of(config: Config, checkpoint: Path) -> dict[str, torch.Tensor]:
    """What a detector finds in an image of noise, however unsure it is."""
    config = copy.deepcopy(config)
    for node in dicts(config.model):
        if "score_thr" in node:
            node["score_thr"] = 0.0
    image = np.random.RandomState(0).randint(0, 255, (160, 192, 3), np.uint8)
    found = inference_detector(init_detector(config, str(checkpoint), device="cpu"), image).pred_instances
    return {"boxes": found.bboxes, "scores": found.scores, "labels": found.labels}


def publish(config: Config, checkpoint: Path, out: Path) -> None:
    """Write ``out`` and the config beside it, once the detector is seen to be the same.

    Raises:
        ToolError: Where it is not, or cannot be without this package.
    """
    loaded = checkpoints.load_from_local(str(checkpoint), map_location="cpu")
    metainfo = dict(loaded.get("meta", {}).get("dataset_meta") or {})
    plain = plain_config(config, metainfo)
    own = {name for name, part in loaded["state_dict"].items() if ".loss" in name}
    weights = {name: part for name, part in loaded["state_dict"].items() if name not in own}
    expected = boxes_of(config, checkpoint)
    part = out.with_name(out.name + ".part")
    torch.save({"state_dict": weights, "meta": {"dataset_meta": metainfo, "cfg": plain.pretty_text}}, part)
    try:
        with stock_losses():
            found = boxes_of(plain, part)
        for name, value in expected.items():
            if value.shape != found[name].shape or not torch.allclose(value, found[name]):
                raise ToolError(
                    f"without this package the detector finds other {name}: its recipient needs the package"
                )
        plain.dump(out.with_suffix(".py"))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("publish"):
        if args.out.suffix != ".pth":
            raise ToolError(f"OUT.pth must be a name that ends in .pth, got {args.out}")
        runtime.prepare_process()
        publish(runtime.read_config(args.config, {}), Path(args.checkpoint), args.out)
        print(f"{args.out} and {args.out.with_suffix('.py')}")


if __name__ == "__main__":
    main()
