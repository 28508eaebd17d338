#!/usr/bin/env python
"""Measure which properties hold for which losses; write docs/reliability.md and docs/reliability.json.

Exit code 1 where a property does not hold that is not on the list of exceptions (tests/reliability/exceptions.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from reliability import measure, report  # noqa: E402
from tool_runtime.errors import report_errors  # noqa: E402


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="N times as many random rows")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--json", type=Path, default=ROOT / "docs/reliability.json", metavar="FILE", help="the figures")
    parser.add_argument("--markdown", type=Path, default=ROOT / "docs/reliability.md", metavar="FILE", help="the table")
    parser.add_argument("--render", action="store_true", help="write the table from the figures that are there")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    if args.scale < 1 or args.jobs < 1:
        raise SystemExit("--scale and --jobs are 1 or more.")
    if not args.render:
        figures = measure.run_suite(args.scale, args.jobs, lambda line: print(line, flush=True))
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    figures = json.loads(args.json.read_text())
    args.markdown.write_text(report.markdown(figures))
    failing = report.failing(figures)
    print(f"{args.markdown}: {len(failing)} failing{''.join(f'{chr(10)}  {line}' for line in failing)}")
    return bool(failing)


if __name__ == "__main__":
    with report_errors("reliability"):
        sys.exit(main())
