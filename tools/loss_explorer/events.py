"""What an event on the page makes of the state. Everything that arrives is checked as the values of a link are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .losses import Modifiers
from .state import OF_MODIFIERS, RULES, SIDES, STEPS, TABS, State, checked, coordinates, interval, lines, one_of, whole

CORNER = re.compile(r"shapes\[([01])\]\.([xy])([01])")
BOXES = ("target", "pred")
"""The shapes of the figure, in their order."""


@dataclass(frozen=True)
class Fields:
    """What stands in the fields of the page, as the browser sends it.

    Attributes:
        target, pred: Four coordinates each.
        losses, curves: What is chosen in the lists.
        line, curve_line: Lines to be added to them.
        arrows: Position of the loss whose gradient is drawn.
        rule: Coordinates of the descent.
        on: Modifiers that are switched on.
        power, inner_ratio, focaler, focus: Their values.
        step: Step of the descent.
        tab: Tab in front.
    """

    target: Sequence[Any] = ()
    pred: Sequence[Any] = ()
    losses: Sequence[Any] | None = None
    curves: Sequence[Any] | None = None
    line: Any = None
    curve_line: Any = None
    arrows: Any = None
    rule: Any = None
    on: Sequence[Any] | None = None
    power: Any = None
    inner_ratio: Any = None
    focaler: Sequence[Any] = ()
    focus: Any = None
    step: Any = None
    tab: Any = None


def dragged(state: State, moved: Mapping[str, Any] | None) -> State:
    """The state after a shape was dragged; as it was where something else of the figure changed.

    Args:
        state: The state before.
        moved: Plotly's ``relayoutData``, such as ``{"shapes[1].x0": 12.5, ...}``.
    """
    for key, value in (moved or {}).items():
        found = CORNER.fullmatch(key)
        if found is None:
            continue
        name, side = BOXES[int(found[1])], f"{found[2]}{int(found[3]) + 1}"
        box = list(getattr(state, name))
        box[SIDES.index(side)] = value
        state = replace(state, **{name: tuple(box)})
    return replace(state, **{name: coordinates(name, getattr(state, name), order=True) for name in BOXES})


def filled(state: State, part: str, fields: Fields) -> State:
    """The state after a field was filled.

    Args:
        state: The state before.
        part: Which: a name of :class:`Fields`.
        fields: What stands in all fields.

    Raises:
        ToolError: Where the field holds what it cannot.
    """
    if part in BOXES:
        return replace(state, **{part: coordinates(part, getattr(fields, part))})
    if part == "losses":
        return checked(with_losses(state, lines("losses", texts(fields.losses), "bbox")))
    if part == "curves":
        return replace(state, curves=lines("losses", texts(fields.curves), "cls"))
    if part == "line":
        return checked(replace(state, losses=added(state.losses, fields.line, "bbox")))
    if part == "curve_line":
        return replace(state, curves=added(state.curves, fields.curve_line, "cls"))
    if part == "arrows":
        if fields.arrows is None:  # a list drops what its new entries do not have
            return state
        return replace(state, arrows=whole("arrows", fields.arrows, 0, max(len(state.losses) - 1, 0)))
    if part == "rule":
        return replace(state, rule=one_of("rule", fields.rule, list(RULES)))
    if part == "step":
        return replace(state, step=whole("step", fields.step, 0, STEPS))
    if part == "modifiers":
        return checked(replace(state, modifiers=switched(fields)))
    if part == "tab":
        return replace(state, tab=one_of("tab", fields.tab, TABS))
    raise KeyError(part)


def with_losses(state: State, losses: tuple[str, ...]) -> State:
    """Other losses; the arrows stay with theirs where it is still there."""
    drawn = state.losses[state.arrows] if state.losses else ""
    return replace(state, losses=losses, arrows=losses.index(drawn) if drawn in losses else 0)


def texts(values: Sequence[Any] | None) -> list[str]:
    return [str(value) for value in values or ()]


def added(present: Sequence[str], line: Any, slot: str) -> tuple[str, ...]:
    """The losses and one more; an empty field adds none."""
    return lines("losses", [*present, *texts([line] if line else None)], slot)


def switched(fields: Fields) -> Modifiers:
    """The modifiers that are on, with their values."""
    on = [one_of("modifiers", name, list(OF_MODIFIERS)) for name in fields.on or ()]
    values = {
        name: interval(fields.focaler) if name == "focaler" else OF_MODIFIERS[name](getattr(fields, name))
        for name in on
    }
    return Modifiers(**values)
