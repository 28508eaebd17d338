#!/usr/bin/env python
"""Train a detector. The options are those of MMDetection's tools/train.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from tool_runtime import checkpoints, distributed, runtime
from tool_runtime.errors import ToolError, report_errors
from tool_runtime.preflight import config_errors

import mmdet_losses  # noqa: F401  registers the losses, whatever the config imports
from mmdet_losses.monitor.report import LossMonitorError


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of the config")
    runtime.add_launch_options(parser)
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision (needs a GPU)")
    parser.add_argument(
        "--fuse-losses",
        action="store_true",
        help="compute all losses in compiled kernels, as their option fused=True does (docs/fused.md)",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by the batch size over auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue from this checkpoint, or without a value from the last one in the work directory",
    )
    return parser


def apply_args(cfg: Config, args: argparse.Namespace) -> None:
    """Apply ``--amp``, ``--fuse-losses``, ``--auto-scale-lr`` and ``--resume`` to the config."""
    if args.amp:
        runtime.enable_amp(cfg)
    if args.fuse_losses:
        runtime.add_hook(cfg, "FusedLossHook")
    if args.auto_scale_lr:
        if not {"enable", "base_batch_size"} <= set(cfg.get("auto_scale_lr") or {}):
            raise ToolError(
                f"--auto-scale-lr: {args.config} says no batch size that its learning rate is for; "
                "add auto_scale_lr = dict(enable=False, base_batch_size=16)"
            )
        cfg.auto_scale_lr.enable = True
    if args.resume == "auto":
        last = checkpoints.last_checkpoint(cfg.work_dir)
        if last is None:
            print(
                f"--resume: {cfg.work_dir} has no checkpoint yet, training starts from the beginning",
                flush=True,
            )
        else:
            cfg.resume, cfg.load_from = True, str(last)
    elif args.resume is not None:
        cfg.resume, cfg.load_from = True, args.resume
    elif (Path(cfg.work_dir) / checkpoints.LAST_CHECKPOINT).is_file():
        print(
            f"{cfg.work_dir} holds the checkpoints of an earlier training, which this one overwrites epoch by epoch; "
            "--resume would continue it, --work-dir would use another folder",
            flush=True,
        )


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("train"):
        runtime.prepare_process()
        cfg = runtime.load_config(args)
        apply_args(cfg, args)
        runner = runtime.build_runner(cfg)
        stopped = f"stopped; to continue: {sys.argv[0]} {args.config} --work-dir {cfg.work_dir} --resume"
        runtime.exit_on_sigterm(f"train: {stopped}")
        try:
            with config_errors(args.config):
                runner.train()
        except LossMonitorError as error:
            raise ToolError(str(error)) from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(stopped) from None
        distributed.shut_down()


if __name__ == "__main__":
    main()
