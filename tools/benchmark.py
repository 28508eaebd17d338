#!/usr/bin/env python
"""Measure what losses cost beside every peer, and write it down.

losses   time, memory and kernels of each loss by each provider, in the shapes of the COCO-scale heads
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages; read when torch is imported

from mmdet_losses.lab.benchmark import run  # noqa: E402
from mmdet_losses.lab.errors import report_errors  # noqa: E402


def names(text: str) -> list[str]:
    """Comma-separated words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[int]:
    return [int(word) for word in names(text)]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    losses = commands.add_parser("losses", help="each loss by each provider")
    losses.add_argument("--losses", type=names, default=[], metavar="A,B", help="all by default")
    losses.add_argument("--shapes", type=names, default=[], metavar="A,B", help="names or groups; all by default")
    losses.add_argument("--sizes", type=numbers, default=[], metavar="0,100", help="further shapes of so many rows")
    losses.add_argument("--providers", type=names, default=[], metavar="A,B", help="all by default")
    losses.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    losses.add_argument("--dtype", choices=list(run.DTYPES), default="float32")
    losses.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    losses.add_argument("--seconds", type=float, default=3.0, help="time per loss, shape and mode (3)")
    losses.add_argument("--quick", action="store_true", help="few rounds of small inputs: whether it runs, no figures")
    losses.add_argument("--seed", type=int, default=0)
    losses.add_argument("--json", default="work_dirs/benchmark/losses.json", metavar="FILE")
    return parser


def measure_losses(args: argparse.Namespace) -> None:
    given = {key: getattr(args, key) for key in run.Settings.__dataclass_fields__}
    run.measure(run.Settings(**given), args.json)
    print(f"written to {args.json}")


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("benchmark"):
        measure_losses(args)


if __name__ == "__main__":
    main()
