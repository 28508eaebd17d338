"""Pictures of losses: what a command, a page or a site draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from tool_runtime.errors import ToolError

from .choice import Chosen
from .curves import DERIVATIVE, Curves, joined
from .draw import draw_curves, size_for
from .draw_field import draw_fields, size_for_fields
from .field import field_of
from .kinds import KINDS, common_kind, kind_of
from .notes import detached_note, notes_of

ENDINGS = (".png", ".svg")
DPI = 150

OF_BOXES = {"boxes": "32 x 32 pixels", "rotated boxes": "45 x 23 pixels, both turned by 30 degrees"}
"""Kinds that have paths and fields, with the target."""


def can_draw(chosen: Chosen) -> str:
    """Empty where there are curves of a loss; else the sentence that says why not, and what can be drawn."""
    try:
        return kind_of(chosen).instead.format(chosen.name)
    except ToolError as error:
        return str(error)


def can_draw_field(chosen: Chosen) -> str:
    """Empty where there is a field of a loss; else the sentence that says why not."""
    try:
        kind = kind_of(chosen).name
    except ToolError as error:
        return str(error)
    return "" if kind in OF_BOXES else f"a field shows where boxes are pushed, and {chosen.name} is of {kind}"


def curves_of(chosen: Sequence[Chosen], paths: Sequence[str] | None = None) -> Curves:
    """What :func:`curves_picture` draws, as numbers.

    Args:
        chosen: Losses of one kind, see :data:`~.kinds.KINDS`.
        paths: Of losses of boxes, keys of :data:`~.paths.PATHS`.

    Raises:
        ToolError: Where they are of several kinds, have no curves, or a path is unknown.
    """
    kind = common_kind(chosen)
    if kind.panels is None:
        raise ToolError(can_draw(chosen[0]))
    if paths and kind.name not in OF_BOXES:
        raise ToolError(f"--paths is for losses of boxes, and {chosen[0].name} is of {kind.name}: leave it out")
    try:
        panels = kind.panels(chosen, paths)
    except ValueError as error:
        raise ToolError(f"{joined([one.label for one in chosen])}: {error}") from None
    notes = [*([kind.caption] if kind.caption else []), *notes_of(chosen)]
    of_slopes = [panel for panel in panels if panel.slope_label == DERIVATIVE]
    return Curves(panels, (*notes, *detached_note(of_slopes, chosen)))


def curves_picture(
    chosen: Sequence[Chosen],
    paths: Sequence[str] | None = None,
    *,
    slopes: bool = True,
    title: str = "",
    size: tuple[float, float] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Value and derivative of losses of one kind, in the same axes.

    Args:
        chosen: The losses.
        paths: Of losses of boxes, what the predicted box does: keys of :data:`~.paths.PATHS`.
        slopes: Whether the gradients are drawn, too.
        title: Of the picture; none by default.
        size: Width and height in inches; by default what the plots need.
        figure: An empty figure that is filled; by default a new one.

    Raises:
        ToolError: As :func:`curves_of`.
    """
    curves = curves_of(chosen, paths)
    labels = [one.label for one in chosen]
    size = size or size_for(len(curves.panels), 1 + slopes, labels, curves.notes)
    return draw_curves(curves, prepared(figure, size), slopes, title)


def field_picture(
    chosen: Sequence[Chosen],
    *,
    box: Sequence[float] = (1.0, 1.0),
    title: str = "",
    size: tuple[float, float] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Where losses of boxes push the centre of a predicted box around its target, and contours of their values.

    Args:
        chosen: The losses.
        box: Width and height of the predicted box over the target's.
        title: Of the picture; none by default.
        size: Width and height in inches; by default what the plots need.
        figure: An empty figure that is filled; by default a new one.

    Raises:
        ToolError: Where they are not of boxes, or of several kinds.
    """
    kind = common_kind(chosen)
    if reason := can_draw_field(chosen[0]):
        raise ToolError(f"{reason}: leave out --field")
    fields = [field_of(one, box) for one in chosen]
    notes = [field_caption(box, kind.name), *notes_of(chosen)]
    size = size or size_for_fields([field.label for field in fields], notes)
    # constrained layout does not see how squares shrink
    return draw_fields(fields, prepared(figure, size, "compressed"), notes, title)


def field_caption(box: Sequence[float], kind: str) -> str:
    width, height = box
    same = width == height == 1
    size = "of its size" if same else f"{width:g} times as wide and {height:g} times as high"
    return (
        f"Arrows: minus the gradient with respect to the centre of a box {size}, where that lies, times the side; "
        f"lengths go by the root. Contours: the loss. Outlined: the target, {OF_BOXES[kind]}"
        + ("." if same else "; dashed, the box at its centre.")
    )


def prepared(figure: Figure | None, size: tuple[float, float], layout: str = "constrained") -> Figure:
    """A figure of a size whose parts make room for each other."""
    figure = Figure() if figure is None else figure
    figure.set_size_inches(*size)
    figure.set_layout_engine(layout, w_pad=0.06, h_pad=0.05)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG or SVG, by the ending of the path.

    Raises:
        ToolError: For another ending, or a path that cannot be written.
    """
    path = checked(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # without a time and random names, so that the same picture is the same file
        with rc_context({"svg.hashsalt": "mmdet_losses"}):
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise ToolError(f"--out: cannot write {path}: {error.strerror or error}") from None


def checked(path: str | Path) -> Path:
    """A path whose ending says how a picture is written.

    Raises:
        ToolError: For another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ToolError(f"--out: a picture is written as {' or '.join(ENDINGS)}, got {str(path)!r}")
    return path


__all__ = ["KINDS", "can_draw", "can_draw_field", "curves_of", "curves_picture", "field_picture", "save"]
