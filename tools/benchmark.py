#!/usr/bin/env python
"""Measure what losses cost beside every peer, and write it down.

losses   time, memory and kernels of each loss by each provider, in the shapes of the COCO-scale heads
step     time and memory of a detector's training step with mmdet's losses and with these
monitor  what LossMonitorHook adds to a training step of the quickstart
report   tables and plots from their JSON
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages; read when torch is imported

from loss_benchmark import monitor, report, run, step  # noqa: E402
from loss_benchmark.providers import PROVIDERS  # noqa: E402
from loss_benchmark.shapes import GROUPS, SHAPES  # noqa: E402
from tool_runtime.checkout import need_checkout  # noqa: E402
from tool_runtime.errors import ToolError, report_errors  # noqa: E402

PAGE = ROOT / "docs/benchmark.md"


def names(text: str) -> list[str]:
    """Return comma-separated words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[int]:
    return [int(word) for word in names(text)]


def size(text: str) -> tuple[int, int]:
    width, height = text.lower().split("x")
    return int(width), int(height)


def known() -> str:
    """Return the shapes and providers, for the help."""
    lines = ["groups of shapes: " + ", ".join(GROUPS), "shapes:"]
    lines += [f"  {shape.name:16s} {shape.about}" for shape in SHAPES]
    lines += ["providers:", *(f"  {provider.name:16s} {provider.about}" for provider in PROVIDERS.values())]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    common.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    common.add_argument("--seed", type=int, default=0)

    losses = commands.add_parser(
        "losses", help="each loss by each provider", parents=[common], formatter_class=raw, epilog=known()
    )
    losses.add_argument("--losses", type=names, default=[], metavar="A,B", help="all by default")
    losses.add_argument("--shapes", type=names, default=[], metavar="A,B", help="names or groups; all by default")
    losses.add_argument("--sizes", type=numbers, default=[], metavar="0,100", help="shapes of so many rows")
    losses.add_argument("--providers", type=names, default=[], metavar="A,B", help="all by default")
    losses.add_argument("--dtype", choices=list(run.DTYPES), default="float32")
    losses.add_argument("--seconds", type=float, default=3.0, help="time per loss, shape and mode (3)")
    losses.add_argument("--quick", action="store_true", help="few rounds of small inputs: whether it runs, no figures")
    losses.add_argument("--json", default="work_dirs/benchmark/losses.json", metavar="FILE")

    steps = commands.add_parser("step", help="a detector's training step", parents=[common])
    steps.add_argument("configs", nargs="*", metavar="CONFIG", help="four COCO configs on a GPU, a small one on a CPU")
    steps.add_argument("--sides", type=names, default=[], metavar="A,B", help=f"of {', '.join(step.SIDES)}; all")
    steps.add_argument("--iters", type=int, default=20, metavar="N", help="iterations of each side (20)")
    steps.add_argument("--size", type=size, metavar="WxH", help="of the images: 1333x800 on a GPU, 640x480 on a CPU")
    steps.add_argument("--batch-size", type=int, metavar="N", help="2 on a GPU, 1 on a CPU")
    steps.add_argument("--amp", action="store_true", help="mixed precision")
    steps.add_argument("--json", default="work_dirs/benchmark/step.json", metavar="FILE")

    watched = commands.add_parser("monitor", help="what LossMonitorHook adds to a step", parents=[common])
    watched.add_argument("--rounds", type=int, default=100, metavar="N", help="steps without, with and with a look")
    watched.add_argument("--interval", type=int, default=50, metavar="N", help="of the hook (50)")
    watched.add_argument("--json", default="work_dirs/benchmark/monitor.json", metavar="FILE")

    reports = commands.add_parser("report", help="tables and plots")
    reports.add_argument("files", nargs="+", metavar="FILE.json", help="what losses and step wrote")
    reports.add_argument("--markdown", type=Path, default=PAGE, metavar="FILE", help="a page with the two marks")
    reports.add_argument("--print", action="store_true", dest="only_print", help="print the tables, write nothing")
    reports.add_argument("--no-plots", action="store_true")
    return parser


def given(args: argparse.Namespace, settings: type) -> object:
    """Return settings from the options of the same names."""
    return settings(**{key: getattr(args, key) for key in settings.__dataclass_fields__})


def measure_losses(args: argparse.Namespace) -> None:
    if args.seconds <= 0:
        raise ToolError(f"--seconds is more than 0, got {args.seconds:g}.")
    content = run.measure(given(args, run.Settings), args.json)
    print(f"\n{report.setting(content)}\n\n{report.bars_table(content['cases'])}")
    for title, lines in (
        ("Slower than a peer", report.slower_lines(content["cases"])),
        ("Fused compiled nothing", report.unfused(content["cases"])),
        ("Failed", report.failures(content["cases"])),
    ):
        print(f"\n{title}: {len(lines) or 'nothing'}")
        print(*(f"  {line}" for line in lines), sep="\n", end="\n" if lines else "")
    print(f"\nwritten to {args.json}")


def measure_step(args: argparse.Namespace) -> None:
    content = step.measure(given(args, step.StepSettings), args.json)
    print(f"\n{report.step_section(content)}\n\nwritten to {args.json}")
    if any("error" in side for case in content["cases"] for side in case["sides"].values()):
        sys.exit(1)


def measure_monitor(args: argparse.Namespace) -> None:
    content = monitor.measure(given(args, monitor.MonitorSettings), args.json)
    print(f"\n{monitor.section(content)}\n\nwritten to {args.json}")


def write_report(args: argparse.Namespace) -> None:
    if args.markdown == PAGE and not args.only_print:
        need_checkout("benchmark report", "docs")
    text = report.write(args.files, None if args.only_print else args.markdown, not args.no_plots)
    print(text if args.only_print else f"written to {args.markdown}")


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("benchmark"):
        command = {
            "losses": measure_losses,
            "step": measure_step,
            "monitor": measure_monitor,
            "report": write_report,
        }[args.command]
        command(args)


if __name__ == "__main__":
    main()
