"""What Sphinx reads to build the site: ``tools/build_docs.py``, or ``sphinx-build docs OUT``."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from loss_pages import looks, names
from loss_pages.staging import stage
from sphinx.application import Sphinx

import mmdet_losses

project = "mmdet_losses"
author = "The mmdet_losses maintainers"
project_copyright = author
release = mmdet_losses.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_heading_anchors = 6
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_use_ivar = True
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
toc_object_entries = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"mmdet_losses {release}"
html_static_path = [str(Path(__file__).resolve().parent / "_static")]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

# Types and parts that are no public names, so that no page documents them.
nitpick_ignore_regex = [
    (r"py:class", r".*\b(Axis|Box|Call|Detections|L|Predictions|Registered|Rows|Truths)"),
    (r"py:.*", r".*\b(CATALOGUE|keep_buffers|reset_statistics)"),
    (r"py:mod", r"mmdet_losses\..*"),
]

# Answers of pages that are there, but not for programs.
linkcheck_ignore = [r"https://www\.sciencedirect\.com/", r"https://ieeexplore\.ieee\.org/"]
linkcheck_anchors = False
linkcheck_timeout = 20
linkcheck_retries = 2

if os.environ.get("DOCS_INVENTORIES") == "fetch":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = names.INVENTORIES


def setup(app: Sphinx) -> dict[str, int]:
    """The source is a copy of this folder, with the pages that are made from the registry beside it."""
    source = os.environ.get("DOCS_SOURCE") or Path(app.doctreedir) / "source"
    if "DOCS_SOURCE" not in os.environ:
        stage(Path(source))
    app.srcdir = type(app.srcdir)(source)
    app.connect("missing-reference", names.resolve)
    app.connect("autodoc-skip-member", names.skip)
    app.connect("autodoc-process-docstring", names.keep_words, priority=1)
    app.connect("autodoc-process-docstring", names.put_back, priority=900)
    app.connect("doctree-read", looks.prepare, priority=900)
    app.connect("html-page-context", looks.say_language)
    app.set_translator("html", looks.Translator)
    return {"env_version": 1}  # one more where pages that were read before have to be read again
