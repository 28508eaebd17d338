"""What the page shows, and the link that holds it: every value of a link is checked, and what is wrong is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote

from box_simulation.descent import RULES
from loss_views.choice import Chosen
from tool_runtime.errors import ToolError

from mmdet_losses.modules.boxes.focus import FOCUSES

from .losses import Modifiers, built, read_loss

Box = tuple[float, float, float, float]

SIDES = ("x1", "y1", "x2", "y2")
FARTHEST = 10_000.0
"""Largest coordinate."""
DIGITS = 2
"""Of a coordinate behind the point."""
STEPS = 200
"""Steps of the descent."""
MOST = 12
"""Losses at a time."""
TABS = ("boxes", "curves")
RANGES = {"power": (0.1, 20.0), "inner_ratio": (0.1, 5.0), "focaler": (0.0, 1.0)}
LONGEST_LINK = 8000
READABLE = "(),=':"
"""Characters that stay as they are in a link."""


@dataclass(frozen=True)
class State:
    """Everything that a link holds.

    Attributes:
        target, pred: Boxes in pixels.
        losses: Losses of boxes, each as its name or line.
        modifiers: What is switched on for them.
        arrows: Position of the loss whose gradient is drawn.
        rule: Coordinates in which the descent goes.
        step: Step of the descent that is shown.
        tab: Tab in front.
        curves: Losses of logits.
    """

    target: Box = (90.0, 40.0, 150.0, 80.0)
    pred: Box = (50.0, 30.0, 100.0, 100.0)
    losses: tuple[str, ...] = ("GIoULoss", "DIoULoss", "CIoULoss", "EIoULoss", "SIoULoss")
    modifiers: Modifiers = field(default_factory=Modifiers)
    arrows: int = 0
    rule: str = "xywh"
    step: int = 0
    tab: str = "boxes"
    curves: tuple[str, ...] = ("CrossEntropyLoss", "FocalLoss", "QualityFocalLoss", "VarifocalLoss")

    def chosen(self) -> list[Chosen]:
        """The losses of boxes, as they are written."""
        return [read_loss(text, "bbox") for text in self.losses]


DEFAULT = State()


def number(name: str, value: Any, low: float, high: float) -> float:
    """A finite number in a range.

    Raises:
        ToolError: For anything else.
    """
    try:
        given = float(value)
    except (TypeError, ValueError):
        given = math.nan
    if not low <= given <= high:
        raise ToolError(f"{name} must be a number from {low:g} to {high:g}, got {shown(value)}")
    return given


def shown(value: Any) -> str:
    """A wrong value, cut where it is long."""
    text = "nothing" if value is None or value == "" else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def coordinates(name: str, values: Sequence[Any], *, order: bool = False) -> Box:
    """A box.

    Args:
        name: What it is.
        values: Its four coordinates.
        order: Whether to exchange sides that have crossed.

    Raises:
        ToolError: Where a value is none or a side ends before it begins.
    """
    if len(values) != 4:
        raise ToolError(f"{name} must be x1,y1,x2,y2, got {shown(','.join(map(str, values)))}")
    numbers = zip(SIDES, values, strict=True)
    x1, y1, x2, y2 = (round(number(f"{name} {side}", v, -FARTHEST, FARTHEST), DIGITS) + 0.0 for side, v in numbers)
    if order:
        return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    for low, high, axis in ((x1, x2, "x"), (y1, y2, "y")):
        if high < low:
            raise ToolError(f"{name} must have {axis}2 of {axis}1 or more, got {axis}1={low:g} and {axis}2={high:g}")
    return x1, y1, x2, y2


def interval(values: Sequence[Any]) -> tuple[float, float]:
    """Focaler's interval."""
    if len(values) != 2:
        raise ToolError(f"focaler must be d,u, got {shown(','.join(map(str, values)))}")
    low, high = (number("focaler", value, *RANGES["focaler"]) for value in values)
    if not low < high:
        raise ToolError(f"focaler must be an interval d,u with d below u, got {low:g},{high:g}")
    return low, high


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ToolError(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    return value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range."""
    given = number(name, value, low, high)
    if given != int(given):
        raise ToolError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")
    return int(given)


def lines(name: str, texts: Sequence[str], slot: str) -> tuple[str, ...]:
    """Losses, each once, as the shortest text that reads as them."""
    if len(texts) > MOST:
        raise ToolError(f"{name}: {MOST} losses at a time, got {len(texts)}")
    chosen = [read_loss(text, slot) for text in texts]
    return tuple(dict.fromkeys(loss.line if loss.options else loss.name for loss in chosen))


def focus(value: Any) -> str:
    return one_of("focus", value, list(FOCUSES))


def ranged(name: str) -> Callable[[Any], float]:
    return lambda value: number(name, value, *RANGES[name])


OF_MODIFIERS: dict[str, Callable[[Any], Any]] = {
    "power": ranged("power"),
    "inner_ratio": ranged("inner_ratio"),
    "focaler": lambda value: interval(value.split(",")),
    "focus": focus,
}
READERS: dict[str, Callable[[str], Any]] = {
    "target": lambda value: coordinates("target", value.split(",")),
    "pred": lambda value: coordinates("pred", value.split(",")),
    **OF_MODIFIERS,
    "arrows": lambda value: whole("arrows", value, 1, MOST) - 1,
    "rule": lambda value: one_of("rule", value, list(RULES)),
    "step": lambda value: whole("step", value, 0, STEPS),
    "tab": lambda value: one_of("tab", value, TABS),
}
LISTS = {"loss": ("losses", "bbox"), "curve": ("curves", "cls")}
"""Keys that a link may hold several times: what they fill, and with losses of which slot."""


def to_link(state: State) -> str:
    """The state as a query, without what is as it is by default."""
    pairs: list[tuple[str, str]] = [(name, joined(getattr(state, name))) for name in ("target", "pred")]
    pairs += [("loss", text) for text in state.losses]
    pairs += [(name, joined(value)) for name in OF_MODIFIERS if (value := getattr(state.modifiers, name)) is not None]
    others = {"arrows": state.arrows + 1, "rule": state.rule, "step": state.step, "tab": state.tab}
    plain = {"arrows": 1, "rule": DEFAULT.rule, "step": 0, "tab": DEFAULT.tab}
    pairs += [(name, str(value)) for name, value in others.items() if value != plain[name]]
    if state.curves != DEFAULT.curves:
        pairs += [("curve", text) for text in state.curves] or [("curve", "")]
    if not state.losses:
        pairs.append(("loss", ""))
    return "?" + "&".join(f"{key}={quote(value, safe=READABLE)}" for key, value in pairs)


def joined(value: Any) -> str:
    """Numbers as they are read again, without a needless ``.0``."""
    if isinstance(value, tuple):
        return ",".join(map(joined, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def from_link(query: str | None) -> tuple[State, list[str]]:
    """The state of a query, and a sentence for everything in it that is wrong and stays as it is by default."""
    query = (query or "").removeprefix("?")
    if len(query) > LONGEST_LINK:
        return DEFAULT, [f"the link has {len(query)} characters, and at most {LONGEST_LINK} are read"]
    given: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        given.setdefault(key, []).append(value)
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for key, values in given.items():
        try:
            found |= read_values(key, values)
        except ToolError as error:
            wrong.append(str(error))
    modifiers = Modifiers(**{name: found.pop(name) for name in OF_MODIFIERS if name in found})
    state = replace(DEFAULT, **found, modifiers=modifiers)
    state = replace(state, arrows=min(state.arrows, max(len(state.losses) - 1, 0)))
    try:
        return checked(state), wrong
    except ToolError as error:
        return replace(state, modifiers=Modifiers()), [*wrong, str(error)]


def read_values(key: str, values: list[str]) -> dict[str, Any]:
    """What a key of a link says of the state.

    Raises:
        ToolError: Where it is unknown, stands there too often, or holds what it cannot.
    """
    if key in LISTS:
        name, slot = LISTS[key]
        return {name: lines(key, [value for value in values if value], slot)}
    if key not in READERS:
        raise ToolError(f"a link holds {', '.join((*READERS, *LISTS))}, got {shown(key)}")
    if len(values) > 1:
        raise ToolError(f"{key} must stand in a link once, got it {len(values)} times")
    return {key: READERS[key](values[0])}


def checked(state: State) -> State:
    """The state, where every loss can be built with the modifiers that are on.

    Raises:
        ToolError: Where one cannot.
    """
    for chosen in state.chosen():
        built(state.modifiers.on(chosen).line)
    return state
