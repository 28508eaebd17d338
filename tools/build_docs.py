#!/usr/bin/env python
"""Build the documentation as a site, with a page for every loss; needs no network.

tools/run python tools/build_docs.py            # work_dirs/docs/html/index.html
tools/run python tools/build_docs.py --quick    # without pictures of the losses

Every warning is an error. What is built is checked: links and anchors lead somewhere, pictures are there, and no page
loads a style, script, font or picture from another host. Pictures are drawn once for each state of the code.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from tool_runtime.checkout import need_checkout
from tool_runtime.errors import ToolError, report_errors

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("sphinx", "furo", "myst_parser", "sphinx_design", "sphinx_copybutton", "sphinx-mathjax-offline")


def build(out: Path, builder: str = "html", quick: bool = False) -> Path:
    """Build and check the site.

    Args:
        out: Folder of all that is made.
        builder: One of Sphinx's builders: ``html``, or ``linkcheck``, which asks the network.
        quick: Whether pictures of the losses are left out.

    Returns:
        Folder of the pages.

    Raises:
        ToolError: For a missing package, or where there was a warning or a broken link.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ToolError(f"{', '.join(missing)}: not installed; pip install 'mmdet-losses[docs,tools]'")
    from loss_pages.built import faults
    from loss_pages.staging import stage
    from sphinx.cmd.build import build_main

    source, pages = out / "source", out / builder
    stage(source, pictures=not quick)
    os.environ["DOCS_SOURCE"] = str(source)
    options = ["-b", builder, "-W", "--keep-going", "-n", "-q", "-d", str(out / "doctrees")]
    if build_main([*options, str(ROOT / "docs"), str(pages)]):
        raise ToolError("the site was not built without warnings: mend what is named above")
    if builder == "html":
        found = faults(pages)
        if found:
            raise ToolError("\n  ".join([f"{len(found)} faults in {pages}:", *found]))
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "work_dirs" / "docs", help="folder to build in")
    parser.add_argument("--quick", action="store_true", help="without pictures of the losses")
    parser.add_argument("--builder", choices=["html", "linkcheck"], default="html", help="linkcheck asks the network")
    args = parser.parse_args()
    need_checkout("build_docs", "docs", "CONTRIBUTING.md")
    with report_errors("build_docs"):
        pages = build(args.out.resolve(), args.builder, args.quick)
    print(f"{pages / ('index.html' if args.builder == 'html' else 'output.txt')}")


if __name__ == "__main__":
    main()
