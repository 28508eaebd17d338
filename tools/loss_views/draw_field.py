"""Fields as a figure of matplotlib: contours of the value, arrows of the push, the target's outline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from .draw import FONT, SMALL, wrapped
from .field import REACH, Field

PANEL = 3.3
PER_ROW = 3
LEVELS = 9
LONGEST = 0.95
"""Of an arrow, in steps of their grid."""
STILL = 1e-9
"""A push below this is none."""


def rows_and_columns(count: int) -> tuple[int, int]:
    columns = min(count, PER_ROW)
    return math.ceil(count / columns), columns


def size_for_fields(count: int) -> tuple[float, float]:
    rows, columns = rows_and_columns(count)
    return max(PANEL * columns, 4.6) + 0.3, PANEL * rows + 1.1


def draw_fields(fields: Sequence[Field], figure: Figure, notes: Sequence[str], title: str = "") -> Figure:
    """Fill a figure: a square for each loss, all with the same scale of arrows."""
    rows, columns = rows_and_columns(len(fields))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    longest = max(float(np.hypot(*field.push.T).max()) for field in fields) or 1.0
    for axis in axes.flat[len(fields) :]:
        axis.set_visible(False)
    for axis, field in zip(axes.flat, fields, strict=False):
        draw_field(axis, field, longest)
    for axis in axes[-1]:
        axis.set_xlabel("x of the centre / side", fontsize=FONT)
    for axis in axes[:, 0]:
        axis.set_ylabel("y of the centre / side", fontsize=FONT)
    if title:
        figure.suptitle(title, fontsize=FONT + 2)
    said = f"Longest arrow: {longest:.2f}, the same in all plots; a dot is no push."
    figure.supxlabel(wrapped([*notes, said], float(figure.get_size_inches()[0])), fontsize=SMALL, color="#333333")
    return figure


def draw_field(axis: Axes, field: Field, longest: float) -> None:
    low, high = np.nanmin(field.value), np.nanmax(field.value)
    if high > low:
        levels = np.linspace(low, high, LEVELS + 1)
        axis.contourf(field.at, field.at, field.value, levels=levels, cmap="Blues", alpha=0.45)
        lines = axis.contour(field.at, field.at, field.value, levels=levels[1:-1], colors="#4477AA", linewidths=0.7)
        axis.clabel(lines, fontsize=SMALL - 1.5, fmt="%.2g", inline_spacing=2)
    step = 2 * REACH / (math.isqrt(len(field.start)) - 1)
    strength = np.hypot(*field.push.T)
    moving = strength > STILL
    # lengths go by the root, or weak pushes would not be seen beside strong ones
    scale = LONGEST * step * np.sqrt(strength / longest) / np.where(moving, strength, 1.0)
    arrows = field.push * scale[:, None]
    axis.quiver(
        *field.start[moving].T,
        *arrows[moving].T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.0055,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        color="black",
    )
    axis.plot(*field.start[~moving].T, ".", color="black", markersize=2)
    axis.add_patch(Polygon(field.target, closed=True, fill=False, edgecolor="#D55E00", linewidth=2.0))
    axis.set_title(field.label, fontsize=FONT)
    axis.set_xlim(-REACH * 1.06, REACH * 1.06)
    # y points downwards in an image
    axis.set_ylim(REACH * 1.06, -REACH * 1.06)
    axis.set_aspect("equal")
    axis.tick_params(labelsize=SMALL)
