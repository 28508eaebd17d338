"""The site: staged, built by Sphinx and checked."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from pathlib import Path

from tool_runtime.errors import ToolError

from .built import faults
from .links import ROOT

NEEDED = (
    "sphinx",
    "furo",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
    "matplotlib",
    "mmengine",
)
OF_SPHINX = ("genindex.md", "py-modindex.md", "search.md")
"""Pages that have no source."""


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
    from sphinx.cmd.build import build_main

    from .staging import stage

    source, pages = out / "source", out / builder
    stage(source, pictures=not quick)
    os.environ["DOCS_SOURCE"] = str(source)
    options = ["-b", builder, "-W", "--keep-going", "-n", "-q", "-d", str(out / "doctrees")]
    gc.disable()  # what Sphinx makes stays until the end, and to look through it takes a third of the time
    if build_main([*options, str(ROOT / "docs"), str(pages)]):
        raise ToolError("the site was not built without warnings: mend what is named above")
    if builder == "html":
        remove_old(pages, source)
        found = faults(pages)
        if found:
            raise ToolError("\n  ".join([f"{len(found)} faults in {pages}:", *found]))
    return pages


def remove_old(pages: Path, source: Path) -> None:
    """Remove pages of an earlier build that have no source any more."""
    for page in pages.rglob("*.html"):
        name = page.relative_to(pages).with_suffix(".md")
        if str(name) not in OF_SPHINX and not (source / name).exists():
            page.unlink()
