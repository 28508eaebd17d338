"""The second tab: losses of logits, each panel of the pictures as a Plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from loss_views.curves import DERIVATIVE, Panel
from loss_views.logit_curves import logit_panels
from loss_views.notes import detached_note, notes_of
from loss_views.styles import COLOURS

from .figure import DASHES, INK, SYMBOLS
from .losses import read_loss

CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage", "resetScale2d"]],
    "toImageButtonOptions": {"format": "png", "filename": "curves", "scale": 2},
}
MARKS = 8
"""Markers along a line, which tell lines apart without colour."""


@lru_cache(maxsize=32)
def panels(texts: tuple[str, ...]) -> tuple[Panel, ...]:
    return logit_panels([read_loss(text, "cls") for text in texts])


def figures(texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """A figure for each panel, the values above the derivatives."""
    labels = [read_loss(text, "cls").label for text in texts]
    return [figure(panel, labels) for panel in panels(texts)]


@lru_cache(maxsize=32)
def notes(texts: tuple[str, ...]) -> str:
    """What has to be said of the losses beside their curves."""
    chosen = [read_loss(text, "cls") for text in texts]
    of_slopes = [panel for panel in panels(texts) if panel.slope_label == DERIVATIVE]
    return " ".join((*notes_of(chosen), *detached_note(of_slopes, chosen)))


def figure(panel: Panel, labels: Sequence[str]) -> dict[str, Any]:
    """A panel; a loss looks the same in each."""
    data: list[dict[str, Any]] = []
    for line in panel.lines:
        place = labels.index(line.label)
        colour, dash, symbol = (kinds[place % len(kinds)] for kinds in (COLOURS, DASHES, SYMBOLS))
        look = {"symbol": symbol, "color": colour}
        common = {
            **{"name": line.label, "legendgroup": line.label, "mode": "lines+markers", "showlegend": False},
            "line": {"color": colour, "dash": dash, "width": 2},
            "marker": {**look, "size": marks(len(line.x), place), "opacity": 1},
            "hovertemplate": "%{x:.3g}: %{y:.6g}",
        }
        x = [round(value, 4) for value in line.x.tolist()]
        data.append({**common, "x": x, "y": short(line.value.tolist())})
        data.append({**common, "x": x, "y": short(line.slope.tolist()), "yaxis": "y2"})
        # of its own, since the legend shows the mean size of marks
        data.append({**common, "x": [None], "y": [None], "marker": {**look, "size": 8}, "showlegend": True})
    plain = {"zeroline": True, "zerolinecolor": "#bbbbbb", "gridcolor": "#e4e4e4", "linecolor": "#999999"}
    axis = {**plain, "showline": True, "mirror": "all"}
    return {
        "data": data,
        "layout": {
            "title": {"text": panel.title, "font": {"size": 15}, "x": 0.02, "xanchor": "left"},
            "xaxis": {**axis, "title": {"text": panel.x_label, "standoff": 4}, "anchor": "y2"},
            "yaxis": {**axis, "title": {"text": panel.value_label}, "domain": [0.54, 1]},
            "yaxis2": {**axis, "title": {"text": panel.slope_label}, "domain": [0, 0.46]},
            "hovermode": "x",
            "margin": {"l": 60, "r": 12, "t": 40, "b": 40},
            "legend": {"orientation": "h", "y": -0.15, "yanchor": "top", "x": 0},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#fbfbfb",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        },
    }


def short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def marks(count: int, place: int) -> list[int]:
    """Sizes of markers: few, and those of each loss in places of its own."""
    every = max(count // MARKS, 1)
    offset = int(every * (0.5 + 0.37 * place)) % every
    return [9 if point % every == offset else 0 for point in range(count)]
