#!/usr/bin/env python
"""Test a detector on its test set. The options are those of MMDetection's tools/test.py."""

from __future__ import annotations

import argparse
from copy import deepcopy

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config, ConfigDict
from tool_runtime import distributed, runtime
from tool_runtime.errors import ToolError, report_errors
from tool_runtime.preflight import config_errors

import mmdet_losses  # noqa: F401  registers the losses, whatever the config imports


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config")
    parser.add_argument("checkpoint", help="path or URL of the checkpoint")
    runtime.add_launch_options(parser)
    parser.add_argument("--out", metavar="FILE.pkl", help="write the predictions to a pickle file")
    parser.add_argument("--show", action="store_true", help="show the predictions")
    parser.add_argument("--show-dir", help="folder for painted images, inside <work dir>/<time>")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds that --show shows an image")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: flips by default")
    return parser


def parse_args() -> argparse.Namespace:
    parser = build_parser()
    args = parser.parse_args()
    if args.out is not None and not args.out.endswith((".pkl", ".pickle")):
        parser.error(f"argument --out: expected a name that ends in .pkl or .pickle, got {args.out!r}")
    return args


def enable_tta(cfg: Config) -> None:
    """Wrap model and test pipeline for test-time augmentation; the config's own ``tta_*`` settings win.

    The default is MMDetection's: every image as it is and mirrored, merged by NMS at IoU 0.5.
    """
    inner = cfg.test_dataloader.dataset
    while "dataset" in inner:
        inner = inner["dataset"]
    if "tta_model" not in cfg:
        nms = dict(type="nms", iou_threshold=0.5)
        cfg.tta_model = dict(type="DetTTAModel", tta_cfg=dict(nms=nms, max_per_img=100))
    if "tta_pipeline" not in cfg:
        keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")
        flips = [dict(type="RandomFlip", prob=1.0), dict(type="RandomFlip", prob=0.0)]
        pipeline = deepcopy(list(inner.pipeline[:-1]))
        pipeline.append(dict(type="TestTimeAug", transforms=[flips, [dict(type="PackDetInputs", meta_keys=keys)]]))
        cfg.tta_pipeline = pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    inner.pipeline = cfg.tta_pipeline


def main() -> None:
    args = parse_args()
    with report_errors("test"):
        runtime.prepare_process()
        cfg = runtime.load_config(args)
        cfg.load_from = args.checkpoint
        cfg.resume = False
        if args.show or args.show_dir:
            try:
                trigger_visualization_hook(cfg, args)
            except RuntimeError as error:
                raise ToolError(f"--show and --show-dir: {error}") from error
        if args.tta:
            enable_tta(cfg)
        runner = runtime.build_runner(cfg)
        if args.out is not None:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
        with config_errors(args.config):
            runner.test()
        distributed.shut_down()


if __name__ == "__main__":
    main()
