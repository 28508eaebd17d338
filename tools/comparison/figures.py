"""The plots of a report. Dash patterns, markers and hatching tell variants apart without colour."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from textwrap import wrap

import plotly.graph_objects as go

from . import statistics, words
from .document import error_of, over
from .results import KINDS, Results

COLOURS = ("#1b1b1b", "#0072b2", "#d55e00", "#009e73", "#a0509a", "#b07d00", "#2a8fc7")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
HATCHES = ("", "/", "x", ".", "\\", "+", "-", "|")
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0.0}
WIDTH = 34
"""Letters of a name on one line."""


def named(name: str) -> str:
    """Return a name for Plotly, which reads tags in text, in short lines."""
    return "<br>".join(escape(line) for line in wrap(name.replace(",", ", "), WIDTH)) or " "


def colour(index: int, alpha: float = 1.0) -> str:
    """Return the colour of a variant."""
    code = COLOURS[index % len(COLOURS)]
    return f"rgba({int(code[1:3], 16)}, {int(code[3:5], 16)}, {int(code[5:7], 16)}, {alpha:g})"


def framed(figure: go.Figure, height: int, x: str, y: str = "") -> go.Figure:
    """Give a figure its size and its axes."""
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 15, "t": 10, "b": 10},
        template="plotly_white",
        legend=LEGEND,
        font={"size": 13, "color": "#1b1b1b"},
        dragmode=False,
    )
    figure.update_xaxes(title=escape(x), automargin=True, ticks="outside", linecolor="#555", mirror=True)
    figure.update_yaxes(title=escape(y), automargin=True, linecolor="#555", mirror=True)
    return figure


def curves(results: Results) -> go.Figure:
    """The metric of each epoch: mean, and a band of one standard deviation."""
    figure, metric = go.Figure(), results.settings.metric
    for index, name in enumerate(results.variants):
        points = statistics.curve(results, name, metric)
        banded = {epoch: point for epoch, point in points.items() if point.std is not None}
        if len(banded) > 1:
            up = [point.mean + point.std for point in banded.values()]  # type: ignore[operator]
            down = [point.mean - point.std for point in banded.values()]  # type: ignore[operator]
            figure.add_scatter(
                x=[*banded, *reversed(banded)],
                y=[*up, *reversed(down)],
                fill="toself",
                fillcolor=colour(index, 0.13),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        figure.add_scatter(
            x=list(points),
            y=[point.mean for point in points.values()],
            name=named(name),
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour(index), "dash": DASHES[index % len(DASHES)], "width": 2},
            marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
            hovertemplate="epoch %{x}: %{y:.3f}",
        )
    return framed(figure, 400 + 12 * len(results.variants), "epoch", words.label(metric))


def differences(results: Results) -> go.Figure:
    """The paired differences: each seed, and the mean with its interval."""
    figure = go.Figure()
    verdicts = statistics.judge(results)
    for place, found in enumerate(verdicts):
        paired, mean = found.paired, found.paired.summary.mean
        figure.add_scatter(
            x=list(paired.values),
            y=[place + 0.34] * len(paired.values),
            mode="markers",
            marker={"symbol": "circle-open", "size": 7, "color": "#555"},
            text=[f"seed {seed}" for seed in paired.seeds],
            hovertemplate="%{text}: %{x:+.4f}<extra></extra>",
        )
        # Inside the plot, since beside it long names would leave no room on a narrow screen.
        figure.add_annotation(
            x=0.01,
            xref="x domain",
            xanchor="left",
            y=place - 0.47,
            yanchor="top",
            text=named(found.variant),
            showarrow=False,
            align="left",
            bgcolor="rgba(255, 255, 255, 0.8)",
        )
        if mean is None:
            continue
        reach = None if paired.high is None else paired.high - mean
        figure.add_scatter(
            x=[mean],
            y=[place + 0.12],
            mode="markers",
            marker={"symbol": "diamond" if found.seen else "diamond-open", "size": 12, "color": "#0072b2"},
            error_x={"array": None if reach is None else [reach], "thickness": 2, "width": 7},
            hovertemplate="mean: %{x:+.4f}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": "#1b1b1b", "width": 1.5, "dash": "dash"})
    title = f"{words.label(results.settings.metric)} minus that of {results.settings.baseline}"
    framed(figure, 90 + 84 * len(verdicts), title)
    figure.update_layout(showlegend=False)
    edges = [place + 0.5 for place in range(len(verdicts) - 1)]
    figure.update_yaxes(tickvals=edges, showticklabels=False, range=[len(verdicts) - 0.5, -0.5])
    return figure


def kinds(results: Results) -> go.Figure:
    """The kinds of error, a bar for each variant."""
    figure = go.Figure()
    for index, name in enumerate(results.variants):
        values = [over(results, name, error_of(kind)) for kind in KINDS]
        figure.add_bar(
            y=list(KINDS),
            x=[value.mean for value in values],
            name=named(name),
            orientation="h",
            marker={
                "color": colour(index),
                "pattern": {"shape": HATCHES[index % len(HATCHES)], "fillmode": "overlay", "fgcolor": "white"},
            },
            error_x={"array": [value.std for value in values], "thickness": 1.5, "width": 3, "color": "#777"},
            hovertemplate="%{y}: %{x:.4f}",
        )
    framed(figure, 140 + len(KINDS) * (18 + 15 * len(results.variants)), "dAP")
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(autorange="reversed")
    return figure


FIGURES: dict[str, Callable[[Results], go.Figure]] = {"curves": curves, "differences": differences, "kinds": kinds}
