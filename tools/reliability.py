#!/usr/bin/env python
"""Measure which properties hold for which losses, and write docs/reliability.md; or measure given losses, and print it.

Exit code 1 where a property does not hold that is not on the list of exceptions (tests/reliability/exceptions.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "work_dirs/reliability.json"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tool_runtime.checkout import need_checkout  # noqa: E402

need_checkout("reliability", "tests")

from reliability import measure, report  # noqa: E402
from tool_runtime.errors import report_errors  # noqa: E402


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", metavar="LOSS", help="only these; prints what it would write otherwise")
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="N times as many random rows")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures (work_dirs/reliability.json)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the page (docs/reliability.md)")
    parser.add_argument("--render", action="store_true", help="write the page from the figures that are there")
    return parser


def main() -> int:
    parser = build_parser()
    args = parser.parse_args()
    if args.scale < 1 or args.jobs < 1:
        raise SystemExit("--scale and --jobs are 1 or more.")
    unknown = set(args.losses) - set(measure.aliases())
    if unknown:
        parser.error(f"no loss of rows is named {', '.join(sorted(unknown))}; they are {', '.join(measure.aliases())}")
    if args.losses and args.render:
        parser.error("--render writes the page of what was measured: give no losses")
    kept = args.json or (None if args.losses else FIGURES)
    page = args.markdown or (None if args.losses else ROOT / "docs/reliability.md")
    if args.render:
        if not kept.is_file():
            parser.error(f"there are no figures in {kept}: measure them first, without --render")
        figures = json.loads(kept.read_text())
    else:
        figures = measure.run_suite(args.scale, args.jobs, lambda line: print(line, flush=True), args.losses)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(figures, indent=1) + "\n")
    text = report.markdown(figures)
    if page:
        page.write_text(text)
    else:
        print(text.partition("## Losses and properties\n")[2])
    failing = report.failing(figures)
    print(
        f"{page or ', '.join(args.losses)}: {len(failing)} failing{''.join(f'{chr(10)}  {line}' for line in failing)}"
    )
    return bool(failing)


if __name__ == "__main__":
    with report_errors("reliability"):
        sys.exit(main())
