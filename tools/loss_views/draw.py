"""Curves as a figure of matplotlib, without its global state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .curves import Curves, Panel
from .ranges import visible
from .styles import style

PANEL = (3.1, 2.3)
"""Width and height of a plot in inches."""
LEAST_WIDTH = 6.2
EDGE = 0.06
FONT = 9.0
SMALL = 8.0
LETTER, KEY_ROW, NOTE_ROW = 0.066, 0.2, 0.155
"""Inches: of a letter, of a row of the key, and of a row of the notes."""
MOST_CUT, MOST_CROSSES = 4, 12
LONGEST_LABEL = 52
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
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


def draw_apart(panels: Sequence[Panel], figures: Sequence[Figure]) -> None:
    """Fill a figure with each panel, without a key and notes; ranges are those of one picture of all."""
    axes = np.stack([figure.subplots(2, 1, sharex=True) for figure in figures], axis=1)
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    for column, (panel, figure) in enumerate(zip(panels, figures, strict=True)):
        draw_panel(panel, labels, axes[:, column])
        leave(figure, 0.0)
    tie_rows(axes, panels, apart=True)


def size_for(columns: int, rows: int, labels: Sequence[str], notes: Sequence[str]) -> tuple[float, float]:
    """Inches of a figure with so many plots."""
    width = max(PANEL[0] * columns, LEAST_WIDTH)
    return width, PANEL[1] * rows + 0.4 + key_height(labels, width) + notes_height(notes, width)


def entries_per_row(labels: Sequence[str], width: float) -> int:
    """How many entries of the key stand beside each other: as many as fit, the same number in every row."""
    longest = max((len(row) for label in folded(labels) for row in label.splitlines()), default=1)
    fitting = max(int(width / (LETTER * longest + 0.75)), 1)
    return math.ceil(len(labels) / math.ceil(len(labels) / fitting))


def key_height(labels: Sequence[str], width: float) -> float:
    rows = math.ceil(len(labels) / entries_per_row(labels, width))
    deepest = max((label.count("\n") + 1 for label in folded(labels)), default=1)
    return KEY_ROW * rows * (1 + 0.75 * (deepest - 1)) + 0.1


def folded(labels: Sequence[str]) -> list[str]:
    """Labels of losses with many options in several rows."""
    return [fill(label, LONGEST_LABEL, subsequent_indent="  ", break_long_words=False) for label in labels]


def notes_height(notes: Sequence[str], width: float) -> float:
    return NOTE_ROW * len(wrapped(notes, width).splitlines()) + 0.06


def wrapped(notes: Sequence[str], width: float) -> str:
    return "\n".join(fill(note, int(width / LETTER)) for note in notes)


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
        bad = bad[:: max(len(bad) // MOST_CROSSES, 1)]
        colour, foot = style(number, 1)["color"], axis.get_xaxis_transform()
        axis.plot(
            bad,
            np.full(len(bad), 0.03),
            "x",
            color=colour,
            markersize=6,
            markeredgewidth=1.8,
            transform=foot,
            clip_on=False,
        )
        # beside a single cross, above many
        height = 0.03 if len(bad) == 1 else 0.1
        axis.text(bad[0], height, "   not a number", color=colour, fontsize=SMALL, va="center", transform=foot)


def name_factors(axis: Axes, x: np.ndarray) -> None:
    """Ticks at powers of two of a short range of factors."""
    if math.log10(x[-1] / x[0]) < DECADES:
        powers = range(round(math.log2(x[0])), round(math.log2(x[-1])) + 1)
        axis.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
        axis.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
        )
        axis.xaxis.set_minor_locator(NullLocator())


def tie_rows(axes: np.ndarray, panels: Sequence[Panel], apart: bool = False) -> None:
    """The same range in all plots of a row that show the same quantity; its name on the first, or on all apart."""
    for row, name in zip(axes, ("value", "slope"), strict=False):
        groups: dict[tuple[str, int], list[int]] = {}
        for column, panel in enumerate(panels):
            key = (getattr(panel, f"{name}_label"), column if panel.alone else -1)
            groups.setdefault(key, []).append(column)
        for (label, _), columns in groups.items():
            lines = [[(line.label, getattr(line, name)) for line in panels[column].lines] for column in columns]
            low, high = visible([line for one in lines for line in one])
            for column, drawn in zip(columns, lines, strict=True):
                row[column].set_ylim(low, high)
                say_what_is_cut(row[column], drawn, low, high)
            for column in columns if apart else columns[:1]:
                row[column].set_ylabel(label.replace(" x ", "\nx "), fontsize=FONT)


def say_what_is_cut(axis: Axes, lines: Sequence[tuple[str, np.ndarray]], low: float, high: float) -> None:
    """Which losses leave the plot, and how far."""
    for place, name, beyond, extreme in (
        (0.96, "uparrow", lambda y: (y > high).any(), np.nanmax),
        (0.04, "downarrow", lambda y: (y < low).any(), np.nanmin),
    ):
        cut = [f"$\\{name}$ {label} to {extreme(y):.3g}" for label, y in lines if beyond(y)]
        if cut:
            vertical = "top" if place > 0.5 else "bottom"
            text = "\n".join(cut[:MOST_CUT])
            style_of_text = {"fontsize": SMALL - 0.5, "transform": axis.transAxes, "bbox": PAPER}
            axis.text(0.97, place, text, ha="right", va=vertical, **style_of_text)


def finish(figure: Figure, axes: Sequence[Axes], labels: Sequence[str], notes: Sequence[str]) -> None:
    """The key and the notes below the plots."""
    width, height = map(float, figure.get_size_inches())
    found = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    below = add_notes(figure, notes)
    taken = below + key_height(labels, width) / height
    figure.legend(
        [found[label] for label in labels],
        folded(labels),
        loc="lower center",
        bbox_to_anchor=(0.5, below),
        ncols=entries_per_row(labels, width),
        fontsize=FONT,
        frameon=False,
        borderpad=0.1,
        borderaxespad=0.1,
        handlelength=3.6,
    )
    leave(figure, taken)


def leave(figure: Figure, taken: float) -> None:
    """Keep the plots off the foot, and off the upper edge, which would cut their titles."""
    edge = EDGE / float(figure.get_size_inches()[1])
    figure.get_layout_engine().set(rect=(0, taken, 1, 1 - taken - edge))


def add_notes(figure: Figure, notes: Sequence[str]) -> float:
    """Notes at the foot; returns the share of the height that they take."""
    width, height = map(float, figure.get_size_inches())
    if not notes:
        return 0.0
    figure.text(0.5, 0.04 / height, wrapped(notes, width), ha="center", va="bottom", fontsize=SMALL, color="#333333")
    return notes_height(notes, width) / height
