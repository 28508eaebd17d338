"""Pictures of results: error curves, and what is left where over the centres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FuncFormatter

from .protocol import MIDDLE, PER_CENTRE, RADIUS, STEPS
from .record import Result, save
from .tables import names

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "x", "D", "v", "+", "P", "<", "*", ">")
"""Their numbers have no common divisor, so that 385 lines differ, the first five of them in dashes alone."""
MOVED_BY = {
    "xywh": "gradient by centre and size",
    "corners": "gradient by corners",
    "authors": "update of the DIoU paper",
}
"""The rules in titles."""
LEVELS = (0.001, 0.01, 0.1, 1.0, 10.0)
DPI = 110


def styles(count: int) -> list[dict[str, Any]]:
    """Line styles that can be told apart without colour, by dashes and markers."""
    looks = zip(cycle(COLOURS), cycle(DASHES), cycle(MARKERS))
    return [
        {"color": colour, "linestyle": dash, "marker": marker, "markersize": 5, "markerfacecolor": "white"}
        for colour, dash, marker in islice(looks, count)
    ]


def short(number: float, _: Any = None) -> str:
    """A number of an axis without an exponent."""
    return f"{number:g}"


def what(results: Sequence[Result]) -> str:
    """What was simulated, for a title."""
    said = [MOVED_BY[rule] for rule in dict.fromkeys(result.settings.rule for result in results)]
    counts = list(dict.fromkeys(f"{result.cases:,}" for result in results))
    return f"{' and '.join(counts)} cases, {' and '.join(said)}"


def curves(results: Sequence[Result]) -> Figure:
    """The sum of errors over the iterations, linear and logarithmic."""
    rows = math.ceil(len(results) / 3)
    figure = Figure(figsize=(11, 4.6 + 0.22 * rows), layout="constrained")
    figure.suptitle(f"Sum of the errors of all boxes: {what(results)}", fontsize=12)
    linear, logarithmic = figure.subplots(1, 2)
    for axes in (linear, logarithmic):
        for index, (name, result, style) in enumerate(zip(names(results), results, styles(len(results)), strict=True)):
            totals = np.array([result.initial, *result.totals]) / 1e6
            every = (5 + 3 * index % 25, 25)
            axes.plot(range(len(totals)), totals, label=name, markevery=every, linewidth=1.4, **style)
        for drop in (0.8 * STEPS, 0.9 * STEPS):
            axes.axvline(drop, color="0.75", linewidth=0.8, zorder=0)
        axes.set_xlabel("iteration (grey: the learning rate falls to a tenth)")
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.set_xlim(0, max(len(result.totals) for result in results))
    linear.set_ylabel("sum of errors, in millions")
    linear.set_ylim(bottom=0)
    logarithmic.set_yscale("log")
    logarithmic.yaxis.set_major_formatter(FuncFormatter(short))
    handles, labels = linear.get_legend_handles_labels()
    columns = min(3, len(results))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=4)
    return figure


def basin(results: Sequence[Result]) -> Figure | None:
    """The mean final error of the boxes that begin at each centre; None where no result has it, or too few centres."""
    shown = [
        (name, result)
        for name, result in zip(names(results), results, strict=True)
        if len(result.final) >= 3 and np.isfinite(result.final).all()
    ]
    if not shown:
        return None
    columns = min(len(shown), 2 if len(shown) == 4 else 3 if len(shown) < 10 else 5)
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(0.8 + 3.5 * columns, 0.7 + 3.6 * rows), layout="constrained")
    figure.suptitle(f"Error left per box, by the centre it began at\n{what([r for _, r in shown])}", fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    norm = LogNorm(LEVELS[0], LEVELS[-1], clip=True)
    for axes, (name, result) in zip(grid, shown, strict=False):
        image = map_of(axes, result, norm)
        axes.set_title(name, fontsize=10)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    bar = figure.colorbar(image, ax=grid.tolist(), shrink=min(1.0, 0.9), ticks=LEVELS, aspect=30)
    bar.ax.set_yticklabels([f"{level:g}" for level in LEVELS])
    bar.set_label("mean final error of the 343 boxes of a centre")
    return figure


def map_of(axes: Axes, result: Result, norm: LogNorm) -> Any:
    """One loss: brightness and labelled lines say the same."""
    places, left = result.settings.places, np.asarray(result.final) / PER_CENTRE
    x, y = (places - MIDDLE).T
    inside = np.clip(left, LEVELS[0], LEVELS[-1])
    image = axes.tripcolor(x, y, inside, norm=norm, cmap="cividis", shading="gouraud", rasterized=True)
    lines = [level for level in LEVELS[1:-1] if left.min() < level < left.max()]
    if lines:
        drawn = axes.tricontour(x, y, inside, levels=lines, colors="white", linewidths=1.0)
        edge: list[AbstractPathEffect] = [withStroke(linewidth=2, foreground="black")]
        drawn.set_path_effects(edge)
        for text in axes.clabel(drawn, fmt=short, fontsize=8):
            text.set_path_effects(edge)
    axes.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="white", linewidth=1.2)
    axes.set(aspect="equal", xlim=(-RADIUS - 0.1, RADIUS + 0.1), ylim=(-RADIUS - 0.1, RADIUS + 0.1))
    axes.set_xlabel(f"mean {left.mean():.3g}, worst centre {left.max():.3g}", fontsize=9)
    axes.tick_params(labelsize=8)
    return image


def draw(results: Sequence[Result], stem: Path, ending: str = "png") -> list[Path]:
    """Write the pictures as ``STEM-curves.png`` and ``STEM-basin.png``.

    Raises:
        ToolError: Where that fails.
    """
    files = []
    for kind, figure in (("curves", curves(results)), ("basin", basin(results))):
        if figure is not None:
            file = stem.with_name(f"{stem.name}-{kind}.{ending}")
            save(file, lambda figure=figure, file=file: figure.savefig(file, dpi=DPI))
            files.append(file)
    return files
