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
TITLE_ROW = 0.16
SCALE = "The longest arrows are pushes of {:.2g} or more{}; a dot is no push."
STILL = 1e-9
"""A push below this is none."""


def rows_and_columns(count: int) -> tuple[int, int]:
    columns = 2 if count == 4 else min(count, PER_ROW)
    return math.ceil(count / columns), columns


def size_for_fields(labels: Sequence[str], notes: Sequence[str]) -> tuple[float, float]:
    """Inches of a figure with so many plots."""
    rows, columns = rows_and_columns(len(labels))
    width = max(PANEL * columns, 4.6) + 0.3
    deepest = max(label.count("\n") for label in folded(labels))
    return width, (PANEL + TITLE_ROW * deepest) * rows + 0.5 + notes_height([*notes, SCALE], width)


def draw_fields(fields: Sequence[Field], figure: Figure, notes: Sequence[str], title: str = "") -> Figure:
    """Fill a figure: a square for each loss, all with the same scale of arrows; below them the notes."""
    scale = draw_squares(fields, figure)
    if title:
        figure.suptitle(title, fontsize=FONT + 2)
    taken = add_notes(figure, [*notes, scale])
    leave(figure, taken)
    return figure


def draw_squares(fields: Sequence[Field], figure: Figure) -> str:
    """Fill a figure without notes; returns the sentence that says the scale of the arrows."""
    rows, columns = rows_and_columns(len(fields))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    strong = float(np.median([np.hypot(*field.push.T).max() for field in fields])) or 1.0
    for axis in axes.flat[len(fields) :]:
        axis.set_visible(False)
    for axis, field in zip(axes.flat, fields, strict=False):
        draw_field(axis, field, strong)
    for column in axes.T:
        lowest = [axis for axis in column if axis.get_visible()][-1]
        lowest.set_xlabel("x of the centre / side", fontsize=FONT)
        lowest.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("y of the centre / side", fontsize=FONT)
    return SCALE.format(strong, ", in all plots" if len(fields) > 1 else "")


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
    if not np.allclose(field.box, field.target):
        dashed = {"edgecolor": "#D55E00", "linewidth": 1.4, "linestyle": (0, (4, 2))}
        axis.add_patch(Polygon(field.box, closed=True, fill=False, **dashed))
    axis.set_title(folded([field.label])[0], fontsize=FONT)
    axis.set_xlim(field.at[0], field.at[-1])
    # y points downwards in an image
    axis.set_ylim(field.at[-1], field.at[0])
    axis.set_aspect("equal")
    axis.tick_params(labelsize=SMALL)
