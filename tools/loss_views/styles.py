"""How losses are told apart: by colour, dashes and marks at once, so that print and any eye will do."""

from __future__ import annotations

from typing import Any

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D1F", "#56B4E9", "#7A3E9D")
"""Okabe and Ito's, without the yellow that paper swallows."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (8, 2, 1, 2, 1, 2)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
MARKS_PER_LINE = 7


def style(number: int, points: int) -> dict[str, Any]:
    """The look of a loss by its number, the same in all plots of a picture."""
    every = max(points // MARKS_PER_LINE, 1)
    # the marks of lines that coincide stand beside each other
    first = int(every * (0.5 + 0.37 * number)) % every
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKS[number % len(MARKS)],
        "markevery": (first, every),
        "markersize": 4.5,
        "markerfacecolor": "white",
        "markeredgewidth": 1.0,
        "linewidth": 1.5,
    }
