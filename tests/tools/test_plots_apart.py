"""Plots of one loss on a page: each by itself, as narrow as a telephone, and none of nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from loss_views.box_curves import box_panels
from loss_views.choice import Chosen
from loss_views.examples import example
from loss_views.plots_apart import is_nothing, plots_apart
from matplotlib.text import Text

PIXELS, INCH, LEAST = 400 - 2 * 16, 96, 7
"""Width of a telephone's window between its edges, pixels of an inch, and points of the least letters."""
OF_BOXES = ("a box slides to the right", "a box grows", "a box changes its aspect ratio")
PUSH = "the push on the centre of a box"


@pytest.mark.parametrize(
    "name, shown",
    [
        ("CIoULoss", [*OF_BOXES, PUSH]),
        ("NWDLoss", [*OF_BOXES, PUSH]),
        ("KLDLoss", [*OF_BOXES, "a box turns", PUSH]),
    ],
)
def test_plots_of_boxes_leave_out_what_is_nothing(name: str, shown: list[str]) -> None:
    plots = plots_apart(example(name))
    assert [words for words, _ in plots.figures] == shown
    assert "The longest arrows" in plots.notes[-1] and "in all plots" not in plots.notes[-1]


@pytest.mark.parametrize("name", ["GDLoss", "QualityFocalLoss", "DistributionFocalLoss"])
def test_plots_fit_a_telephone(name: str) -> None:
    for _, figure in plots_apart(example(name)).figures:
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert width * INCH <= PIXELS
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > 0
        assert all(text.get_fontsize() >= LEAST for text in figure.findobj(Text) if text.get_text())
        assert all(axis.get_ylabel() for axis in figure.axes) and figure.axes[0].get_title()


def test_a_plot_of_no_number_is_not_one_of_nothing() -> None:
    (panel,) = box_panels([Chosen("CIoULoss")], ["scales"])
    (line,) = panel.lines
    undefined = replace(line, value=np.where(np.arange(len(line.x)) == 3, np.nan, line.value))
    changed = [undefined, replace(line, slope=line.slope + 0.1)]
    assert [is_nothing(replace(panel, lines=(one,))) for one in (line, *changed)] == [True, False, False]
