"""The boxes, what pushes them and where they go, as the parts of a Plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from loss_views.styles import COLOURS

from .state import SIDES, Box, State
from .values import Row

SCENE: Box = (0.0, 0.0, 200.0, 120.0)
"""What is seen of the image, in pixels, as long as both boxes are in it."""
TARGET, PRED, INK = "#0072B2", "#D55E00", "#222222"
OF_LOSSES = tuple(colour for colour in COLOURS if colour not in (TARGET, PRED))
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "pentagon", "hexagram", "bowtie")
LONGEST_ARROW = 0.11
"""Of the width that is seen."""
MARGIN = 0.08
SMALL = {"size": 12, "color": INK}
CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "edits": {"shapePosition": True},
    "modeBarButtons": [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    "toImageButtonOptions": {"format": "png", "filename": "boxes", "scale": 2},
}


class Arrow(NamedTuple):
    """Where a side is pushed.

    Attributes:
        side: ``'x1'``, ``'y1'``, ``'x2'`` or ``'y2'``.
        start: Middle of the side.
        end: Where the side's middle is pushed, against the gradient.
        text: Side and derivative.
    """

    side: str
    start: tuple[float, float]
    end: tuple[float, float]
    text: str


def arrows(pred: Box, gradient: Sequence[float], longest: float) -> list[Arrow]:
    """An arrow for each side, against the gradient; the steepest is ``longest`` long."""
    x1, y1, x2, y2 = pred
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    starts = ((x1, y), (x, y1), (x2, y), (x, y2))
    steepest = max(map(abs, gradient)) or 1.0
    found = []
    for place, (side, (left, top), slope) in enumerate(zip(SIDES, starts, gradient, strict=True)):
        move = -slope / steepest * longest
        end = (left, top + move) if place % 2 else (left + move, top)
        found.append(Arrow(side, (left, top), end, f"{side} {slope:.3g}"))
    return found


def seen(*boxes: Sequence[float]) -> Box:
    """What the figure shows: the scene, and more where a box is beyond it."""
    corners = [SCENE, *boxes]
    low = [min(box[axis] for box in corners) for axis in (0, 1)]
    high = [max(box[axis + 2] for box in corners) for axis in (0, 1)]
    beyond = [(high[axis] - low[axis]) * MARGIN for axis in (0, 1)]
    x1, y1 = (low[axis] - beyond[axis] * (low[axis] < SCENE[axis]) for axis in (0, 1))
    x2, y2 = (high[axis] + beyond[axis] * (high[axis] > SCENE[axis + 2]) for axis in (0, 1))
    return x1, y1, x2, y2


def shapes(state: State) -> list[dict[str, Any]]:
    """The two boxes that the mouse moves: the target, and above it the prediction."""
    return [
        rectangle(state.target, TARGET, "dash", "rgba(0,114,178,0.07)", "target", ("right", "left")),
        rectangle(state.pred, PRED, "solid", "rgba(213,94,0,0.07)", "prediction", ("left", "right")),
    ]


def rectangle(box: Box, colour: str, dash: str, fill: str, text: str, where: tuple[str, str]) -> dict[str, Any]:
    """A box with its name outside of a corner at the top, where no arrow goes."""
    x0, y0, x1, y1 = box
    return {
        "type": "rect",
        **{"x0": x0, "y0": y0, "x1": x1, "y1": y1},
        "line": {"color": colour, "width": 3, "dash": dash},
        "fillcolor": fill,
        "label": {
            **{"text": f"\u00a0{text}\u00a0", "textposition": f"top {where[0]}", "xanchor": where[1], "yanchor": "top"},
            "padding": 0,
            "font": {"size": 12, "color": colour},
        },
    }


def labelled_arrows(pred: Box, row: Row | None, width: float) -> list[dict[str, Any]]:
    """The arrows, each with its derivative beside it, and what the axes are."""
    if row is None:
        return [UNITS]
    named = {**UNITS, "text": f"arrows: {row.label}; {UNITS['text']}"}
    return [named, *(part for arrow in arrows(pred, row.gradient, LONGEST_ARROW * width) for part in drawn(arrow))]


UNITS = {
    **{"x": 1, "y": 0, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "bottom"},
    **{"text": "x and y in pixels, y down", "showarrow": False, "font": {"size": 11, "color": "#5c5c5c"}},
}
"""A title of the axes that takes no room from them."""


BESIDE = {
    "x1": {"xanchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 5},
    "y1": {"xanchor": "left", "yanchor": "bottom", "xshift": 7, "yshift": 2},
    "x2": {"xanchor": "left", "yanchor": "bottom", "xshift": 4, "yshift": 5},
    "y2": {"xanchor": "left", "yanchor": "top", "xshift": 7, "yshift": -2},
}
"""Where the text of an arrow stands: outside of the box, and not on the arrow."""


def drawn(arrow: Arrow) -> list[dict[str, Any]]:
    (x, y), (ax, ay) = arrow.end, arrow.start
    label = {
        **{"x": ax, "y": ay, "text": arrow.text, "showarrow": False, "font": SMALL},
        "bgcolor": "rgba(255,255,255,0.75)",
        **BESIDE[arrow.side],
    }
    if arrow.start == arrow.end:
        return [label]
    head = {
        **{"x": x, "y": y, "ax": ax, "ay": ay, "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "text": ""},
        **{"showarrow": True, "arrowhead": 2, "arrowsize": 1, "arrowwidth": 2.5, "arrowcolor": INK},
    }
    return [head, label]


def traces(labels: Sequence[str], ways: Sequence[Sequence[Box]]) -> list[dict[str, Any]]:
    """For each loss the way of the centre, and the box where it has come to.

    Args:
        labels: The losses.
        ways: Boxes of each, from the first step to the one that is shown.
    """
    found: list[dict[str, Any]] = []
    for place, (label, way) in enumerate(zip(labels, ways, strict=True)):
        colour, dash, symbol = (kinds[place % len(kinds)] for kinds in (OF_LOSSES, DASHES, SYMBOLS))
        x1, y1, x2, y2 = way[-1]
        common = {"legendgroup": label, "name": label, "hoverinfo": "name"}
        line = {"color": colour, "dash": dash}
        found += [
            {
                **common,
                "x": [round((box[0] + box[2]) / 2, 2) for box in way],
                "y": [round((box[1] + box[3]) / 2, 2) for box in way],
                "mode": "lines+markers",
                "line": {**line, "width": 1.5},
                "marker": {"symbol": symbol, "color": colour, "size": [0] * (len(way) - 1) + [9], "opacity": 1},
                "showlegend": False,
            },
            {
                **common,
                "x": [round(x, 2) for x in (x1, x2, x2, x1, x1)],
                "y": [round(y, 2) for y in (y1, y1, y2, y2, y1)],
                "mode": "lines+markers",
                "line": {**line, "width": 2},
                "marker": {"symbol": symbol, "color": colour, "size": 7},
                "showlegend": True,
            },
        ]
    return found


def axes(view: Box) -> dict[str, Any]:
    """Ranges of the axes, y down as in images."""
    x1, y1, x2, y2 = view
    return {"xaxis": [x1, x2], "yaxis": [y2, y1]}


def figure(state: State) -> dict[str, Any]:
    """The figure before anything is said of the boxes."""
    ranges = axes(seen(state.target, state.pred))
    plain = {"zeroline": False, "gridcolor": "#e4e4e4", "linecolor": "#999999", "showline": True, "mirror": True}
    return {
        "data": [],
        "layout": {
            "shapes": shapes(state),
            "annotations": [UNITS],
            "xaxis": {**plain, "range": ranges["xaxis"]},
            "yaxis": {
                **plain,
                "range": ranges["yaxis"],
                "scaleanchor": "x",
            },
            "dragmode": False,
            "margin": {"l": 36, "r": 8, "t": 30, "b": 28},
            "legend": {
                "orientation": "h",
                "y": -0.1,
                "yanchor": "top",
                "x": 0,
                "font": {"size": 11},
            },
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#fbfbfb",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "uirevision": "view",
        },
    }
