#!/usr/bin/env python
"""Train the four COCO-scale heads for some iterations on drawn images of 1333x800, with and without --amp.

Checks that every loss stays finite and that the total falls, and prints a table. Nothing is downloaded: the backbone
starts from scratch, with its batch norm trained. Without a GPU, a dry run of the same code:

    python tools/gpu_check.py --device cpu --iters 2 --scale 64
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from mmdet_losses.lab.errors import ToolError, report_errors
from mmdet_losses.lab.shapes import CLASSES
from mmdet_losses.lab.trial import Trial, provenance, run_all

CONFIGS = (
    "retinanet/retinanet_r50_fpn_giou_8xb2-1x_coco.py",
    "fcos/fcos_r50-caffe_fpn_gn-head_iou_8xb2-1x_coco.py",
    "atss/atss_r50_fpn_giou_8xb2-1x_coco.py",
    "gfl/gfl_r50_fpn_giou_8xb2-1x_coco.py",
)
FULL_SIZE = (1333, 800)
HEADER = ("config", "amp", "iterations", "first loss", "last loss", "finite", "falling", "s/iter", "peak GiB")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(__file__).resolve().parents[1] / "configs"
    parser.add_argument(
        "configs",
        nargs="*",
        default=[str(folder / name) for name in CONFIGS],
        help="one COCO config per head by default",
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--iters", type=int, default=50)
    parser.add_argument("--scale", type=int, default=FULL_SIZE[1], help="short side of the images in pixels")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.0025, help="SGD's rate, reached after a fifth of the run")
    parser.add_argument("--amp", choices=["both", "on", "off"], default="both")
    parser.add_argument("--work-dir", default="work_dirs/gpu_check")
    parser.add_argument("--json", metavar="FILE", help="<work dir>/gpu_check.json by default")
    return parser


def parse_args() -> argparse.Namespace:
    parser = build_parser()
    args = parser.parse_args()
    if args.iters < 1 or args.scale < 32 or args.batch_size < 1:
        parser.error("expected --iters and --batch-size of 1 or more, and --scale of 32 or more")
    return args


def options(args: argparse.Namespace) -> dict[str, Any]:
    """What turns a COCO config into this check, as ``--cfg-options``."""
    width, height = round(args.scale * FULL_SIZE[0] / FULL_SIZE[1]), args.scale
    smallest = max(12, args.scale // 25)
    dataset = {
        "_delete_": True,
        "type": "ShapesDataset",
        "data_root": f"{args.work_dir}/data_{width}x{height}",
        "ann_file": "train/annotations.json",
        "data_prefix": {"img": "train/images/"},
        "spec": {
            "num_images": 16 * args.batch_size,
            "image_size": [width, height],
            "object_size": [smallest, max(2 * smallest, args.scale // 2)],
        },
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "PackDetInputs"},
        ],
    }
    warm_up = {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": max(1, args.iters // 5)}
    return {
        "train_dataloader.dataset": dataset,
        "train_dataloader.batch_size": args.batch_size,
        "model.bbox_head.num_classes": len(CLASSES),
        "model.backbone.init_cfg": None,
        "model.backbone.frozen_stages": -1,
        "model.backbone.norm_eval": False,
        "model.backbone.norm_cfg.requires_grad": True,
        "optim_wrapper.optimizer.lr": args.lr,
        "optim_wrapper.clip_grad": {"max_norm": 10.0, "norm_type": 2},
        "param_scheduler": [warm_up],
        "default_hooks.logger.interval": 10,
    }


def judge(label: tuple[str, bool], result: dict[str, Any]) -> dict[str, Any]:
    """Figures of one run; ``passed`` where its losses are finite and, over ten or more iterations, fall."""
    name, amp = label
    row: dict[str, Any] = {"config": name, "amp": amp}
    if "error" in result:
        return {**row, "passed": False, "error": result["error"]}
    losses = result["losses"]
    total = [entry["loss"] for entry in losses]
    fifth = max(1, len(total) // 5)
    finite = all(math.isfinite(value) for entry in losses for value in entry.values())
    falling = mean(total[-fifth:]) < mean(total[:fifth])
    return {
        **row,
        "iterations": len(total),
        "first": mean(total[:fifth]),
        "last": mean(total[-fifth:]),
        "finite": finite,
        "falling": falling,
        "passed": finite and (falling or len(total) < 10),
        "seconds_per_iteration": result["seconds"] / len(total),
        "peak_memory_bytes": result["peak_memory_bytes"],
        "device": result["device"],
        "loss_classes": result["loss_classes"],
        "losses": losses,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned table; first and last are means over a fifth of the iterations."""
    cells = [HEADER]
    for row in rows:
        start = (row["config"], "on" if row["amp"] else "off")
        if "error" in row:
            cells.append((*start, "failed", *("-",) * (len(HEADER) - 3)))
            continue
        memory = row["peak_memory_bytes"]
        cells.append(
            (
                *start,
                str(row["iterations"]),
                f"{row['first']:.4f}",
                f"{row['last']:.4f}",
                "yes" if row["finite"] else "NO",
                "yes" if row["falling"] else "NO",
                f"{row['seconds_per_iteration']:.3f}",
                "-" if memory is None else f"{memory / 2**30:.2f}",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def main() -> None:
    args = parse_args()
    with report_errors("gpu_check"):
        amps = {"both": [False, True], "on": [True], "off": [False]}[args.amp]
        if args.device == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
            if True in amps:
                print("mixed precision is left out: mmengine's wrapper needs a GPU", flush=True)
                amps = [False]
        elif not torch.cuda.is_available():
            raise ToolError("no GPU is visible; for a dry run: --device cpu --iters 2 --scale 64")

        trials = {}
        for config in args.configs:
            for amp in amps:
                name = Path(config).stem
                folder = Path(args.work_dir) / f"{name}{'-amp' if amp else ''}"
                trials[name, amp] = Trial(config, str(folder), iters=args.iters, amp=amp, options=options(args))
        labels = {f"{name}{' --amp' if amp else ''}": (name, amp) for name, amp in trials}
        results = run_all({text: trials[key] for text, key in labels.items()}, fresh=True, keep_going=True)
        rows = [judge(labels[text], result) for text, result in results.items()]

        output = Path(args.json or Path(args.work_dir) / "gpu_check.json")
        output.parent.mkdir(parents=True, exist_ok=True)
        settings = {"iters": args.iters, "scale": args.scale, "batch_size": args.batch_size, "lr": args.lr}
        output.write_text(json.dumps({"settings": settings, **provenance(), "runs": rows}, indent=1) + "\n")
        print(f"\n{table(rows)}\n\nwritten to {output}")
    if not all(row["passed"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
