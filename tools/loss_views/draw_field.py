"""Fields as a figure of matplotlib: contours of the value, arrows of the push, the target's outline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from .draw import FONT, SMALL, add_notes, folded, leave, notes_height
from .field import REACH, Field

PANEL = 3.3
PER_ROW = 3
LEVELS = 8
PLATEAU = 0.97
"""Contours end at this quantile of the values, so that none lie on each other at the foot of a plateau."""
LONGEST, LEAST = 0.95, 0.3
"""Of an arrow in steps of their grid, and the shortest over that."""
STILL = 1e-9
"""A push below this is none."""


def rows_and_columns(count: int) -> tuple[int, int]:
    columns = min(count, PER_ROW)
    return math.ceil(count / columns), columns


def size_for_fields(count: int, notes: Sequence[str]) -> tuple[float, float]:
    rows, columns = rows_and_columns(count)
    width = max(PANEL * columns, 4.6) + 0.3
    return width, PANEL * rows + 0.6 + notes_height(notes, width)


def draw_fields(fields: Sequence[Field], figure: Figure, notes: Sequence[str], title: str = "") -> Figure:
    """Fill a figure: a square for each loss, all with the same scale of arrows."""
    rows, columns = rows_and_columns(len(fields))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    strong = float(np.median([np.hypot(*field.push.T).max() for field in fields])) or 1.0
    for axis in axes.flat[len(fields) :]:
        axis.set_visible(False)
    for axis, field in zip(axes.flat, fields, strict=False):
        draw_field(axis, field, strong)
    for axis in axes[-1]:
        axis.set_xlabel("x of the centre / side", fontsize=FONT)
    for axis in axes[:, 0]:
        axis.set_ylabel("y of the centre / side", fontsize=FONT)
    if title:
        figure.suptitle(title, fontsize=FONT + 2)
    said = f"The longest arrows are pushes of {strong:.2g} or more, in all plots; a dot is no push."
    taken = add_notes(figure, [*notes, said])
    leave(figure, taken)
    return figure


def levels_of(value: np.ndarray) -> np.ndarray:
    """Round numbers between the least value and those of the plateau."""
    finite = value[np.isfinite(value)]
    slope = finite[finite < finite.max() - 1e-9]
    if not len(slope):
        return finite[:0]
    levels = MaxNLocator(LEVELS).tick_values(float(slope.min()), float(np.quantile(slope, PLATEAU)))
    return levels[(levels > finite.min()) & (levels < finite.max())]


def draw_field(axis: Axes, field: Field, strong: float) -> None:
    levels = levels_of(field.value)
    if len(levels) > 1:
        axis.contourf(field.at, field.at, field.value, levels=levels, cmap="Blues", alpha=0.4, extend="both")
        lines = axis.contour(field.at, field.at, field.value, levels=levels, colors="#2F6690", linewidths=0.7)
        axis.clabel(lines, fontsize=SMALL - 1, fmt="%g", inline_spacing=2)
    step = 2 * REACH / (math.isqrt(len(field.start)) - 1)
    strength = np.hypot(*field.push.T)
    moving = strength > STILL
    # lengths go by the root, or weak pushes would not be seen beside strong ones
    length = step * LONGEST * np.clip(np.sqrt(strength / strong), LEAST, 1.0)
    scale = length / np.where(moving, strength, 1.0)
    arrows = field.push * scale[:, None]
    axis.quiver(
        *field.start[moving].T,
        *arrows[moving].T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.006,
        headwidth=3.6,
        headlength=4,
        headaxislength=3.6,
        minlength=0.5,
        minshaft=1.2,
        color="black",
    )
    axis.plot(*field.start[~moving].T, ".", color="black", markersize=2)
    axis.add_patch(Polygon(field.target, closed=True, fill=False, edgecolor="#D55E00", linewidth=2.0))
    axis.set_title(folded([field.label])[0], fontsize=FONT)
    axis.set_xlim(-REACH * 1.06, REACH * 1.06)
    # y points downwards in an image
    axis.set_ylim(REACH * 1.06, -REACH * 1.06)
    axis.set_aspect("equal")
    axis.tick_params(labelsize=SMALL)
