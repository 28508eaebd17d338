#!/usr/bin/env python
"""Build the documentation as a site, with a page for every loss; needs no network.

tools/run python tools/build_docs.py            # work_dirs/docs/html/index.html
tools/run python tools/build_docs.py --quick    # without pictures of the losses

Every warning is an error. What is built is checked: links and anchors lead somewhere, pictures are there, and no page
loads a style, script, font or picture from another host. Pictures are drawn once for each state of the code.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tool_runtime.checkout import need_checkout
from tool_runtime.errors import report_errors

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "work_dirs" / "docs", help="folder to build in")
    parser.add_argument("--quick", action="store_true", help="without pictures of the losses")
    parser.add_argument("--builder", choices=["html", "linkcheck"], default="html", help="linkcheck asks the network")
    args = parser.parse_args()
    need_checkout("build_docs", "docs", "CONTRIBUTING.md")
    with report_errors("build_docs"):
        from loss_pages.site import build

        pages = build(args.out.resolve(), args.builder, args.quick)
    print(f"{pages / ('index.html' if args.builder == 'html' else 'output.txt')}")


if __name__ == "__main__":
    main()
