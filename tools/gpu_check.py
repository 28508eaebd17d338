#!/usr/bin/env python
"""Everything that needs a GPU, in one go; nothing is downloaded.

    sync     no loss call waits for the device
    kernels  each IoU loss takes at most 2 kernels forward and 2 backward where it is fused
    floor    dense losses on 258 million logits: 80 % of their memory floor or more, and ahead of mmcv's operator
    step     time and memory of a training step of the four COCO-scale heads with mmdet's losses and with these
    train    the four heads for some iterations on drawn images of 1333x800, with and without --amp: every loss stays
             finite, and the total falls. The backbone starts from scratch, with its batch norm trained.

Without a GPU, a dry run of the same code:

    python tools/gpu_check.py --device cpu --iters 2 --scale 64 --rows 100
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages; read when torch is imported

import torch
from loss_benchmark import gpu, report, step
from tool_runtime.errors import ToolError, report_errors
from tool_runtime.provenance import provenance
from tool_runtime.trial import Trial, run_all

from mmdet_losses.data.drawings import CLASSES

CHECKS = ("sync", "kernels", "floor", "step", "train")
FULL_SIZE = (1333, 800)
HEADER = ("config", "amp", "iterations", "first loss", "last loss", "finite", "falling", "s/iter", "peak GiB")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "configs",
        nargs="*",
        default=[str(step.CONFIGS / name) for name in step.DETECTORS["cuda"]],
        help="one COCO config per head by default",
    )
    parser.add_argument(
        "--checks", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="CHECK", help="all by default"
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--rows", type=int, default=gpu.ROWS, help="rows of 80 logits; fewer where memory ends")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per dense loss (5)")
    parser.add_argument("--iters", type=int, default=50, help="iterations of a training and of a side of step")
    parser.add_argument("--scale", type=int, default=FULL_SIZE[1], help="short side of the images in pixels")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.0025, help="SGD's rate, reached after a fifth of the run")
    parser.add_argument("--amp", choices=["both", "on", "off"], default="both")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (1)")
    parser.add_argument("--work-dir", default="work_dirs/gpu_check")
    parser.add_argument("--json", metavar="FILE", help="<work dir>/gpu_check.json by default")
    return parser


def parse_args() -> argparse.Namespace:
    parser = build_parser()
    args = parser.parse_args()
    if min(args.iters, args.batch_size, args.rows, args.jobs) < 1 or args.scale < 32 or args.seconds <= 0:
        parser.error(
            "expected --iters, --batch-size, --rows and --jobs of 1 or more, --scale of 32 or more, --seconds over 0"
        )
    return args


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the ``--cfg-options`` that turn a COCO config into this check."""
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
    """Return the figures of a run; it passes where its losses are finite and, over ten or more iterations, fall."""
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
    """Return the table of trainings; first and last are means over a fifth of the iterations."""
    cells = []
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
    return aligned(HEADER, cells)


def aligned(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table with aligned columns."""
    cells = [head, *rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def train(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the trainings, each in a process of its own."""
    amps = {"both": [False, True], "on": [True], "off": [False]}[args.amp]
    if args.device == "cpu" and True in amps:
        print("mixed precision is left out: mmengine's wrapper needs a GPU", flush=True)
        amps = [False]
    trials = {}
    for config in args.configs:
        for amp in amps:
            name = Path(config).stem
            folder = Path(args.work_dir) / f"{name}{'-amp' if amp else ''}"
            trials[name, amp] = Trial(config, str(folder), iters=args.iters, amp=amp, options=options(args))
    labels = {f"{name}{' --amp' if amp else ''}": (name, amp) for name, amp in trials}
    results = run_all({text: trials[key] for text, key in labels.items()}, jobs=args.jobs, fresh=True, keep_going=True)
    return [judge(labels[text], result) for text, result in results.items()]


def floor(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = args.rows
    if args.device == "cuda":
        rows = gpu.rows_that_fit(torch.cuda.mem_get_info()[0], rows)
    return gpu.floor_check(args.device, rows, args.seconds, Path(args.work_dir) / "floor.json")


def kernels(args: argparse.Namespace) -> list[dict[str, Any]]:
    return gpu.kernel_check(args.device, min(args.rows, 1000), Path(args.work_dir) / "kernels.json")


def sync(args: argparse.Namespace) -> list[dict[str, Any]]:
    return gpu.sync_check(args.device, min(args.rows, 1000))


def steps(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure training steps, a row per detector, precision and side."""
    rows = []
    for amp in (False, True) if args.device == "cuda" else (False,):
        settings = step.StepSettings(
            configs=args.configs,
            device=args.device,
            iters=args.iters,
            size=(round(args.scale * FULL_SIZE[0] / FULL_SIZE[1]), args.scale),
            batch_size=args.batch_size,
            amp=amp,
        )
        content = step.measure(settings, Path(args.work_dir) / f"step{'-amp' if amp else ''}.json")
        for case in content["cases"]:
            for name, side in case["sides"].items():
                passed = "error" not in side and side["finite"]
                rows.append({"config": case["config"], "amp": amp, "side": name, **side, "passed": passed})
    return rows


def floor_line(row: dict[str, Any]) -> tuple[str, ...]:
    share, ahead, peak = row["share_of_floor"], row["times_mmcv"], row["peak_gradients"]
    return (
        f"{row['loss']}, {row['rows']:,} rows",
        row["provider"],
        f"{row['ms']:.3g} ms"
        + (f", {100 * share:.0f} % of floor" if share else "")
        + (f", {ahead:.2f}x mmcv" if ahead and row["provider"] != "mmcv" else "")
        + (f", peak {peak:.2g} gradients" if peak else ""),
    )


def kernel_line(row: dict[str, Any]) -> tuple[str, ...]:
    count = f"{row['forward']}+{row['backward']} kernels" if "forward" in row else "not counted"
    return row["loss"], row["provider"], count


def step_line(row: dict[str, Any]) -> tuple[str, ...]:
    size = report.megabytes(row["peak_bytes"])
    name = row["config"] + (" --amp" if row["amp"] else "")
    share = f", losses {row['loss']['median']:.3g} ms ({100 * row['share_of_losses']:.2g} %)"
    return name, row["side"], f"{row['step']['median']:.4g} ms, {size} MB{share}"


def sync_line(row: dict[str, Any]) -> tuple[str, ...]:
    return row["loss"], row["provider"], "no waiting" if row["passed"] else "not checked on a CPU"


RUN: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "sync": sync,
    "kernels": kernels,
    "floor": floor,
    "step": steps,
    "train": train,
}
LINES: dict[str, Callable[[dict[str, Any]], tuple[str, ...]]] = {
    "sync": sync_line,
    "kernels": kernel_line,
    "floor": floor_line,
    "step": step_line,
}
MARKS = {True: "yes", False: "NO", None: ""}


def summary(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return a line per check and its rows: of ``sync`` what fails, of ``kernels`` what is fused or fails."""
    lines, counts = [], []
    for check, rows in found.items():
        judged = [row["passed"] for row in rows if row["passed"] is not None]
        text = f"{sum(judged)} of {len(judged)} passed" if judged else "nothing to judge"
        counts.append((check, text, MARKS[all(judged)] if judged else ""))
        for row in rows if check in LINES else []:
            of, mark = row.get("provider", row.get("side", "")), MARKS[row["passed"]]
            if "error" in row:
                lines.append((check, row.get("loss", row.get("config", "")), of, row["error"], mark))
            elif row["passed"] is False or check in ("floor", "step") or (check == "kernels" and of == "fused"):
                lines.append((check, *LINES[check](row), mark))
    parts = [aligned(("check", "what", "of", "measured", "passed"), lines)] if lines else []
    if found.get("train"):
        parts.append(table(found["train"]))
    parts.append(aligned(("check", "result", "passed"), counts))
    return "\n\n".join(parts)


def main() -> None:
    args = parse_args()
    with report_errors("gpu_check"):
        if args.device == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif not torch.cuda.is_available():
            raise ToolError("no GPU is visible; for a dry run: --device cpu --iters 2 --scale 64 --rows 100")
        output = Path(args.json or Path(args.work_dir) / "gpu_check.json")
        output.parent.mkdir(parents=True, exist_ok=True)
        keys = ("device", "checks", "rows", "seconds", "iters", "scale", "batch_size", "lr", "amp")
        content: dict[str, Any] = {"settings": {key: getattr(args, key) for key in keys}, **provenance()}
        if args.device == "cuda":
            content["gpu"] = torch.cuda.get_device_name()
        found: dict[str, list[dict[str, Any]]] = {}
        for check in CHECKS:
            if check in args.checks:
                print(f"check: {check}", flush=True)
                found[check] = RUN[check](args)
                content["runs" if check == "train" else check] = found[check]
                output.write_text(json.dumps(content, indent=1) + "\n")
        print(f"\n{summary(found)}\n\nwritten to {output}")
    if any(row["passed"] is False for rows in found.values() for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
