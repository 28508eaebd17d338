#!/usr/bin/env python
"""Make a call of a loss again that LossMonitorHook has saved, without the training.

Prints the loss, the first bad row with its inputs, and the likely cause. Ends with exit code 0 where the call shows
again what the training was stopped for, 1 where it does not, and 2 where the file cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tool_runtime.errors import ToolError, report_errors

from mmdet_losses.monitor import report
from mmdet_losses.monitor.batch import load

EXAMPLE = "work_dirs/NAME/loss_monitor/iter_120_bbox_head.loss_bbox.pt"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help=f"what the hook wrote, such as {EXAMPLE}")
    return parser


def replayed(file: Path) -> bool:
    """Print what a file holds and what its call gives now; returns whether that is what the training was stopped for.

    Raises:
        ToolError: Where there is no such file, it is another kind, or its loss cannot be built here.
    """
    try:
        content = load(file)
        before, value = content["row"], content["value"]
        case, again = report.judged(content)
    except OSError as error:
        raise ToolError(f"FILE: expected a file of LossMonitorHook, got {file}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"FILE: {file} cannot be used: {error}") from error
    print(report.headline(content))
    print(f"  in the training: loss {value:.6g}, row {before}")
    print(f"  made again:      loss {again.value:.6g}, row {case.row}")
    print(*report.inputs(case), sep="\n")
    first, *others = content["causes"]
    print(f"  likely cause: {first}.")
    for other in others:
        print(f"  it may also be: {other}.")
    for image in content["images"]:
        print(f"  image: {image.get('img_path') or image.get('img_id')}")
    return report.shows(case, again)


def main() -> None:
    args = build_parser().parse_args()
    with report_errors("replay"):
        shown = replayed(args.file)
        print("reproduced" if shown else "not reproduced: the loss is finite here")
    sys.exit(0 if shown else 1)


if __name__ == "__main__":
    main()
