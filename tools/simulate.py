#!/usr/bin/env python
"""Simulate how losses move boxes onto their targets, as the DIoU paper did: 1,715,000 boxes, no images.

tools/simulate.py GIoULoss DIoULoss "dict(type='CIoULoss', alpha_gate=0.5)" --centres 400
tools/simulate.py GIoULoss EIoULoss --animate work_dirs/descent.gif
tools/simulate.py --from work_dirs/simulation.json docs/simulation-six.json --out work_dirs/both
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from box_simulation.animation import STARTS, animate, kind_of, ways, write_ways
from box_simulation.descent import PIXELS, RULES
from box_simulation.pictures import MOVED_BY, draw
from box_simulation.record import Result, read, save, write
from box_simulation.run import simulate
from box_simulation.settings import Settings
from box_simulation.tables import page, plain
from loss_views.choice import Chosen, choose_all
from tool_runtime.errors import ToolError, report_errors

from mmdet_losses import SumLoss
from mmdet_losses.registry import LOSSES

RULE_HELP = "; ".join(f"{name}: {about}" for name, about in RULES.items())


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "losses", nargs="*", metavar="LOSS", help="a name, or a line like dict(type='SIoULoss', power=3.0)"
    )
    parser.add_argument("--all", action="store_true", help="every registered loss of boxes, with its defaults")
    parser.add_argument("--rule", default="xywh", metavar="|".join(RULES), help=f"{RULE_HELP} (xywh)")
    parser.add_argument("--centres", type=int, metavar="N", help="N centres on a sunflower, and not 5,000 random ones")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random centres (0)")
    parser.add_argument(
        "--pixels", type=float, default=PIXELS, metavar="X", help=f"of a unit, for losses in pixels ({PIXELS:g})"
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda")
    parser.add_argument("--processes", type=int, metavar="N", help="on a CPU; as many as there are cores")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/simulation"), metavar="STEM", help="of JSON and pictures"
    )
    parser.add_argument("--format", choices=["png", "svg", "pdf"], default="png", help="of the pictures")
    parser.add_argument(
        "--from", dest="files", type=Path, nargs="+", metavar="JSON", help="draw what these hold, compute nothing"
    )
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables of a page, and no pictures")
    parser.add_argument(
        "--animate", type=Path, metavar="FILE", help="only this: single boxes on their way, .gif or .mp4"
    )
    parser.add_argument(
        "--start",
        type=float,
        nargs=4,
        action="append",
        metavar=("X", "Y", "W", "H"),
        help="a box of --animate, centre first, once for each; the target is 10 10 1 1",
    )
    return parser


def every_loss() -> list[str]:
    """Names of the losses of boxes, each once; a sum of losses has nothing to sum by default."""
    return [name for name, cls in LOSSES.items() if cls.boxes and name == cls.__name__ and cls is not SumLoss]


def run_animation(losses: Sequence[Chosen], args: argparse.Namespace) -> list[Path]:
    """Write the moving picture and its JSON."""
    kind_of(args.animate)
    starts = args.start or STARTS
    if min(side for *_, w, h in starts for side in (w, h)) <= 0:
        raise ToolError("--start X Y W H: W and H must be more than 0")
    settings = Settings(args.rule, pixels=args.pixels)
    settings.check()
    paths = ways(losses, starts, args.rule, args.pixels)
    animate(args.animate, [chosen.label for chosen in losses], paths, f"Boxes moved by the {MOVED_BY[args.rule]}")
    return [args.animate, write_ways(args.animate, losses, paths, args.rule, args.pixels)]


def results_of(losses: Sequence[Chosen], args: argparse.Namespace) -> list[Result]:
    """Simulate, or read what was simulated."""
    if args.files:
        return read(args.files)
    settings = Settings(args.rule, args.centres, args.seed, args.pixels, args.device, args.processes)
    return simulate(losses, settings)


def write_page(file: Path, results: Sequence[Result]) -> list[Path]:
    """Write the tables of a page, and beside it a JSON without the errors of each centre."""
    try:
        text = page(file.read_text(encoding="utf-8"), results)
    except OSError as error:
        raise ToolError(f"--markdown {file}: {error.strerror}") from None
    save(file, lambda: file.write_text(text, encoding="utf-8"))
    beside = file.with_suffix(".json")
    write(beside, results, final=False)
    return [file, beside]


def run_simulation(losses: Sequence[Chosen], args: argparse.Namespace) -> list[Path]:
    """Simulate or read; write JSON and pictures, or a page."""
    results = results_of(losses, args)
    print(plain(results))
    if args.markdown:
        return write_page(args.markdown, results)
    file = args.out.with_name(f"{args.out.name}.json")
    write(file, results)
    return [file, *draw(results, args.out, args.format)]


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("simulate"):
        named = [*(every_loss() if args.all else []), *args.losses]
        if args.files and (named or args.animate):
            raise ToolError("--from draws results that are there: leave out LOSS, --all and --animate")
        if not args.files and not named:
            raise ToolError("name a loss, as GIoULoss or dict(type='SIoULoss', power=3.0), or --from FILE.json")
        losses = choose_all(named)
        written = run_animation(losses, args) if args.animate else run_simulation(losses, args)
        print("written to", ", ".join(map(str, written)))


if __name__ == "__main__":
    main()
