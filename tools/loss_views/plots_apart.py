"""The plots of one loss for a page: a figure of each, as narrow as a telephone, and the words that go with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from .choice import Chosen
from .curves import Panel
from .draw import FONT, draw_apart, leave
from .draw_field import draw_squares
from .field import field_of
from .kinds import common_kind
from .pictures import can_draw_field, curves_of, field_caption, prepared

SIZE, SQUARE = (3.7, 4.2), (3.7, 3.75)
"""Inches of curves and of a field; 3.7 are 355 pixels of a page."""
NOTHING = 1e-9
"""Values and gradients below this are none."""
ITS_SIZE = (1.0, 1.0)


class Plots(NamedTuple):
    """The plots of a loss.

    Attributes:
        figures: Each with what it shows, in a few words.
        notes: Sentences that go with them.
    """

    figures: list[tuple[str, Figure]]
    notes: tuple[str, ...]


def plots_apart(chosen: Chosen) -> Plots:
    """Values and gradients of a loss; of a loss of boxes also where it pushes them. What is 0 throughout is left out.

    Args:
        chosen: The loss.

    Raises:
        ToolError: Where it has no curves.
    """
    curves = curves_of([chosen])
    panels = [panel for panel in curves.panels if not is_nothing(panel)]
    figures = [prepared(None, SIZE) for _ in panels]
    draw_apart(panels, figures)
    found = [(panel.title, figure) for panel, figure in zip(panels, figures, strict=True)]
    notes = curves.notes
    if not can_draw_field(chosen):
        field, figure = field_of(chosen, ITS_SIZE), prepared(None, SQUARE, "compressed")
        scale = draw_squares([field], figure)
        leave(figure, 0.0)
        words = "the push on the centre of a box"
        figure.axes[0].set_title(words, fontsize=FONT)
        found.append((words, figure))
        notes = (*notes, field_caption(ITS_SIZE, common_kind([chosen]).name), scale)
    return Plots(found, notes)


def is_nothing(panel: Panel) -> bool:
    """Whether value and gradient are 0 throughout."""
    return all(np.abs(y).max() < NOTHING for line in panel.lines for y in (line.value, line.slope))
