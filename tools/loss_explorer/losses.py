"""The losses that the page names: read from text that a stranger may have written, and built once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from loss_views.choice import Chosen, from_config, read, written
from loss_views.examples import example
from tool_runtime.errors import ToolError

from mmdet_losses.modules import Loss
from mmdet_losses.registry import LOSSES

LONGEST = 300
"""Characters of a line."""
LARGEST = 10_000
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
"""A text in a line is one word: no path, and no dotted name, which a config would import."""
SET_HERE = {"reduction": "sum", "debug": False, "fused": False}
"""Options that say how a loss is computed; a fused one would be compiled first."""
MODIFIERS = ("power", "inner_ratio", "focaler", "focus")


def names(slot: str) -> list[str]:
    """Registered names for a tab: of decoded boxes for ``'bbox'``, each class once."""
    return [name for name, cls in LOSSES.items() if fits(cls, slot) and cls.__name__ == name]


def fits(cls: type[Loss], slot: str) -> bool:
    return cls.slot == slot and (slot != "bbox" or bool(cls.boxes))


@lru_cache(maxsize=256)
def read_loss(text: str, slot: str) -> Chosen:
    """A loss of a slot from its name or its line; a name that needs options has an example of them.

    Raises:
        ToolError: Where it is none, or holds anything but words, numbers and lists of them.
    """
    if len(text) > LONGEST:
        raise ToolError(f"a loss is a name or a line of at most {LONGEST} characters, got {len(text)}")
    text = text.strip()
    chosen = example(text) if WORD.fullmatch(text) else from_config(read(text))
    check_values(chosen.name, chosen.options)
    if not fits(chosen.cls, slot):
        kind = "takes no decoded boxes" if slot == "bbox" else "is no classification loss"
        raise ToolError(f"{chosen.name} {kind}: choose one of the list")
    try:
        built(chosen.line)
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        raise ToolError(f"{chosen.line}: {error}") from None
    return chosen


def check_values(name: str, value: Any) -> None:
    """Raise for a value that is no word and no number of ordinary size."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "fused" and item:
                raise ToolError(f"{name} must leave out fused: the page compiles nothing")
            check_values(f"{name}: {key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_values(name, item)
    elif isinstance(value, str):
        if not WORD.fullmatch(value):
            raise ToolError(f"{name} must be one word, without dots or slashes, got {value!r}")
    elif isinstance(value, (int, float)):
        if not (math.isfinite(value) and abs(value) <= LARGEST):
            raise ToolError(f"{name} must be a number of at most {LARGEST} in size, got {value!r}")
    elif value is not None:
        raise ToolError(f"{name} must be a word or a number, got a value of type {type(value).__name__}")


@lru_cache(maxsize=256)
def built(line: str) -> Loss:
    """The loss of a line that :func:`read_loss` has accepted, which keeps no statistics of what it is shown."""
    chosen = from_config(read(line))
    known = chosen.cls.options()
    return chosen.build(**{key: value for key, value in SET_HERE.items() if key in known}).eval()


@dataclass(frozen=True)
class Modifiers:
    """What is switched on for every chosen loss that takes it; None is off."""

    power: float | None = None
    inner_ratio: float | None = None
    focaler: tuple[float, float] | None = None
    focus: str | None = None

    def options(self) -> dict[str, Any]:
        """As the options of a loss."""
        given = {name: getattr(self, name) for name in MODIFIERS}
        if self.focus is not None:
            given["focus"] = {"type": self.focus}
        return {name: value for name, value in given.items() if value is not None}

    def on(self, chosen: Chosen) -> Chosen:
        """The loss with what it takes of them; its own options stay."""
        taken = {name: value for name, value in self.options().items() if name in chosen.cls.options()}
        return Chosen(chosen.name, {**taken, **chosen.options}) if taken else chosen

    def said(self) -> str:
        """Those that are on, as options are written."""
        return ", ".join(f"{name}={written(value)}" for name, value in self.options().items())

    def left_out(self, chosen: Chosen) -> list[str]:
        """Those that are on and that the loss does not take, or has said otherwise itself."""
        now = self.on(chosen).options
        return [name for name, value in self.options().items() if now.get(name) != value]
