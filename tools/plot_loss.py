#!/usr/bin/env python
"""Draw losses: value and gradient along the paths of a box, over logits, differences or what else they are of.

A LOSS is a name or a line of a config, such as "dict(type='SIoULoss', power=3.0)"; mmdet_losses.stock.SIoULoss is
MMDetection's own. All losses of a picture are of one kind. Everything is computed by the losses themselves.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loss_views import pictures, window
from loss_views.choice import Chosen
from loss_views.kinds import kind_of
from loss_views.overview import overview_picture
from loss_views.paths import CHOSEN, PATHS
from loss_views.stock_choice import choose_with_stock
from loss_views.typical import about, table
from tool_runtime.errors import ToolError, report_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("work_dirs/plot_loss")
MOST_NAMES = 4


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", metavar="LOSS", help="names, or lines of a config")
    parser.add_argument(
        "--out", metavar="FILE", help=f"the picture, .png or .svg; {FOLDER}/<the losses>.png by default"
    )
    parser.add_argument("--show", action="store_true", help="open a window; a file is written only with --out, too")
    parser.add_argument(
        "--paths",
        nargs="+",
        metavar="PATH",
        help=f"of losses of boxes, what the predicted box does, after the losses: {', '.join(PATHS)}; "
        f"{', '.join(CHOSEN)} by default, turns for rotated boxes",
    )
    parser.add_argument("--values", action="store_true", help="leave out the gradients")
    parser.add_argument("--field", action="store_true", help="of losses of boxes, where the centre of a box is pushed")
    parser.add_argument("--box", metavar="WxH", help="with --field, the predicted box in sides of the target; 1x1")
    parser.add_argument("--title", default="", help="above the picture")
    parser.add_argument("--size", metavar="WxH", help="of the picture in inches, such as 8x5")
    parser.add_argument("--overview", action="store_true", help="draw the README's picture; takes no LOSS")
    parser.add_argument(
        "--typical",
        action="store_true",
        help="instead of a picture, a table: value and gradient of losses of boxes for typical predictions, and the "
        "loss_weight after a switch; of all where no LOSS is named",
    )
    return parser


def two_numbers(option: str, text: str | None) -> tuple[float, float] | None:
    """The numbers of ``8x5``.

    Raises:
        ToolError: Where it is something else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)[x,](\d+\.?\d*|\.\d+)", text.strip().lower())
    if not found or not all(0.05 <= float(number) <= 100 for number in found.groups()):
        raise ToolError(f"{option}: two numbers like 8x5, each from 0.05 to 100, expected, got {text!r}")
    return float(found[1]), float(found[2])


def check(args: argparse.Namespace) -> None:
    """Raise for options that do not go together.

    Raises:
        ToolError: For the first.
    """
    given = [f"--{name}" for name in ("paths", "values", "box", "field") if getattr(args, name)]
    if not (args.losses or args.overview or args.typical):
        where = ", before --paths" if args.paths else ""
        raise ToolError(f"LOSS: name one or more losses{where}; tools/list_losses.py lists them")
    if args.overview and (args.losses or given or args.typical or args.title or args.size):
        raise ToolError(
            "--overview is one certain picture: leave out the losses and other options but --out and --show"
        )
    if args.typical and (given or args.show or args.out):
        raise ToolError("--typical prints a table: leave out the options of pictures")
    if args.field and (args.paths or args.values):
        raise ToolError("--field has no curves: leave out --paths and --values")
    if args.box and not args.field:
        raise ToolError("--box is for --field: add it")
    if args.out:
        pictures.checked(args.out)


def check_boxes(chosen: Sequence[Chosen]) -> None:
    """Raise for a loss that :mod:`loss_views.typical` has no pairs for.

    Raises:
        ToolError: For the first.
    """
    for one in chosen:
        kind = kind_of(one).name
        if kind != "boxes":
            raise ToolError(f"--typical is of losses of boxes, and {one.name} is of {kind}: leave it out")


def default_file(chosen: Sequence[Chosen], args: argparse.Namespace) -> Path:
    names = list(dict.fromkeys(one.name for one in chosen)) or ["overview"]
    more = [f"and-{len(names) - MOST_NAMES}-more"] if len(names) > MOST_NAMES else []
    return FOLDER / ("-".join([*names[:MOST_NAMES], *more, *(["field"] if args.field else [])]) + ".png")


def drawn(chosen: Sequence[Chosen], args: argparse.Namespace) -> Figure:
    """The picture that the options ask for."""
    figure = window.empty() if args.show else None
    if args.overview:
        return overview_picture(figure)
    size = two_numbers("--size", args.size)
    if args.field:
        box = two_numbers("--box", args.box) or (1.0, 1.0)
        return pictures.field_picture(chosen, box=box, title=args.title, size=size, figure=figure)
    slopes = not args.values
    return pictures.curves_picture(chosen, args.paths, slopes=slopes, title=args.title, size=size, figure=figure)


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("plot_loss"):
        check(args)
        chosen = list({one.line: one for one in map(choose_with_stock, args.losses)}.values())
        if args.typical:
            check_boxes(chosen)
            print(f"{about()}\n\n{table(chosen or None)}", end="")
            return
        figure = drawn(chosen, args)
        if args.out or not args.show:
            path = Path(args.out) if args.out else default_file(chosen, args)
            pictures.save(figure, path)
            print(path)
        if args.show:
            window.show()


if __name__ == "__main__":
    main()
