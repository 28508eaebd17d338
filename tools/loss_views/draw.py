"""Curves as a figure of matplotlib, without its global state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from .curves import Curves, Panel
from .styles import style

PANEL = (3.1, 2.3)
"""Width and height of a plot in inches."""
LEAST_WIDTH = 6.2
FONT = 9.0
SMALL = 8.0
NAN = "x: not a number"
DECADES = 2.5
"""Ranges beyond this many decades have ticks at powers of ten alone."""


def draw_curves(curves: Curves, figure: Figure, slopes: bool = True, title: str = "") -> Figure:
    """Fill a figure: values above, gradients below, a column for each panel."""
    rows = 2 if slopes else 1
    columns = len(curves.panels)
    axes = figure.subplots(rows, columns, squeeze=False, sharex="col")
    labels = list(dict.fromkeys(line.label for panel in curves.panels for line in panel.lines))
    for column, panel in enumerate(curves.panels):
        draw_panel(panel, labels, axes[:, column])
    tie_rows(axes, curves.panels)
    if title:
        figure.suptitle(title, fontsize=FONT + 2)
    finish(figure, axes[0], labels, curves.notes)
    return figure


def size_for(columns: int, rows: int, labels: Sequence[str], notes: Sequence[str]) -> tuple[float, float]:
    """Inches of a figure with so many plots."""
    width = max(PANEL[0] * columns, LEAST_WIDTH)
    below = 0.17 * len(wrapped(notes, width).splitlines()) + 0.2 * math.ceil(len(labels) / per_row(labels, width))
    return width, PANEL[1] * rows + 0.4 + below


def per_row(labels: Sequence[str], width: float) -> int:
    """How many entries of a legend fit beside each other."""
    longest = max(map(len, labels), default=1)
    return max(min(len(labels), int(width / (0.068 * longest + 0.62))), 1)


def wrapped(notes: Sequence[str], width: float) -> str:
    return "\n".join(fill(note, int(width * 17)) for note in notes)


def draw_panel(panel: Panel, labels: Sequence[str], axes: np.ndarray) -> None:
    """One quantity: the value, and below it the gradient."""
    axes[0].set_title(panel.title, fontsize=FONT)
    axes[-1].set_xlabel(panel.x_label, fontsize=FONT)
    for axis, name in zip(axes, ("value", "slope"), strict=False):
        for line in panel.lines:
            y = getattr(line, name)
            axis.plot(line.x, y, label=line.label, **style(labels.index(line.label), len(line.x)))
            mark_undefined(axis, line.x, y, labels.index(line.label))
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.tick_params(labelsize=SMALL)
        if panel.log:
            axis.set_xscale("log")
            name_factors(axis, panel.lines[0].x)
        axis.margins(x=0.02)


def mark_undefined(axis: Axes, x: np.ndarray, y: np.ndarray, number: int) -> None:
    """A cross at the foot of the plot wherever the loss is not a number."""
    bad = x[~np.isfinite(y)]
    if len(bad):
        bad = bad[:: max(len(bad) // 24, 1)]
        colour = style(number, 1)["color"]
        axis.plot(
            bad,
            np.full(len(bad), 0.03),
            "x",
            color=colour,
            markersize=6,
            markeredgewidth=1.8,
            transform=axis.get_xaxis_transform(),
            clip_on=False,
        )
        axis.text(bad[0], 0.07, " not a number", color=colour, fontsize=SMALL, transform=axis.get_xaxis_transform())


def name_factors(axis: Axes, x: np.ndarray) -> None:
    """Ticks at powers of two of a short range of factors."""
    if math.log10(x[-1] / x[0]) < DECADES:
        powers = range(round(math.log2(x[0])), round(math.log2(x[-1])) + 1)
        axis.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
        axis.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
        )
        axis.xaxis.set_minor_formatter(NullFormatter())


def tie_rows(axes: np.ndarray, panels: Sequence[Panel]) -> None:
    """The same range in all plots of a row that show the same quantity; its name on the first."""
    for row, name in zip(axes, ("value_label", "slope_label"), strict=False):
        groups: dict[str, list[Axes]] = {}
        for axis, panel in zip(row, panels, strict=True):
            groups.setdefault(getattr(panel, name), []).append(axis)
        for label, members in groups.items():
            low, high = zip(*(axis.get_ylim() for axis in members), strict=True)
            for axis in members:
                axis.set_ylim(min(low), max(high))
            members[0].set_ylabel(label, fontsize=FONT)


def finish(figure: Figure, axes: Sequence[Axes], labels: Sequence[str], notes: Sequence[str]) -> None:
    """The key and the notes below the plots."""
    width = float(figure.get_size_inches()[0])
    found = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        [found[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=per_row(labels, width),
        fontsize=FONT,
        frameon=False,
        handlelength=3.6,
    )
    if notes:
        figure.supxlabel(wrapped(notes, width), fontsize=SMALL, color="#333333")
