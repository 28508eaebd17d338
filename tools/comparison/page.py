"""A report as one HTML page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from plotly.offline import get_plotlyjs

from .document import Plot, Section
from .figures import FIGURES
from .results import Results

TEMPLATE = "page.html"
CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}


def render(title: str, sections: Sequence[Section], results: Results) -> str:
    """Return the page of a report, its plots drawn by the Plotly inside it."""
    names = [part.name for section in sections for part in section.parts if isinstance(part, Plot)]
    plots = {
        name: FIGURES[name](results).to_html(
            full_html=False, include_plotlyjs=False, config=CONFIG, div_id=f"plot-{name}", default_width="100%"
        )
        for name in names
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(TEMPLATE)
    return page.render(title=title, sections=sections, plots=plots, script=get_plotlyjs())
