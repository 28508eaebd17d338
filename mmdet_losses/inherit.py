"""Makes a loss a subclass of the class of MMDetection's that it replaces, for code that asks isinstance.

MMDetection's class comes behind all of the loss's own in its line, and before it a stand-in that keeps out whatever it
defines: nothing of it runs, and an attribute that only it has is none of the loss's.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import nn

THEIRS: set[type] = set()
"""MMDetection's classes, and the bases that they bring, which are passed over in the line of a loss."""

CLASSES: set[type] = set()
"""MMDetection's classes alone. What they bring may also be a base that somebody chose, as MMEngine's BaseModule."""

OF_THE_CLASS = {"__annotations__", "__doc__", "__init__", "__module__", "_abc_impl"}
"""Attributes that every class has of its own."""


class OfMMDetection(nn.Module):
    """Base of the stand-ins: construction goes on behind MMDetection's classes."""

    def __init__(self) -> None:
        for base in behind(type(self)):
            if "__init__" in vars(base):
                base.__init__(self)
                break


def behind(cls: type) -> Iterator[type]:
    """The line of a loss from its stand-ins on, without MMDetection's classes."""
    line = cls.__mro__
    own = {base for kind in line if kind not in THEIRS for base in kind.__bases__} - CLASSES
    return (base for base in line[line.index(OfMMDetection) + 1 :] if base not in THEIRS or base in own)


class PassedOver:
    """An attribute of MMDetection's class: what a loss has under its name behind that class, if anything."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, loss: nn.Module | None, cls: type) -> Any:
        for base in behind(cls):
            if self.name in vars(base):
                found = vars(base)[self.name]
                return found.__get__(loss, cls) if hasattr(type(found), "__get__") else found
        raise AttributeError(f"{cls.__name__} has no attribute {self.name!r}.")


def no_weights(loss: nn.Module) -> None:
    """Initialise nothing, where MMDetection's class can be asked to."""


@cache
def stand_in(own: type) -> type:
    """What stands before a class of MMDetection's among the bases of a loss."""
    theirs = [base for base in own.__mro__ if base not in nn.Module.__mro__]
    THEIRS.update(theirs)
    CLASSES.add(own)
    names = {name for base in theirs for name in vars(base) if name in vars(nn.Module) or not name.startswith("__")}
    kept: dict[str, Any] = {name: PassedOver(name) for name in names - OF_THE_CLASS}
    if "init_weights" in kept:
        kept["init_weights"] = no_weights
    return type(f"Of{own.__name__}", (OfMMDetection,), {**kept, "__doc__": f"Stands before MMDetection's {own}."})


class Inheriting(ABC):  # noqa: B024  nothing is asked of it
    """To be registered in it makes every other ABC forget which classes it has found to be none of its own."""


def inherit(cls: type[nn.Module], own: type) -> None:
    """Make a loss a subclass of a class of MMDetection's, in place."""
    if own in cls.__mro__:
        return
    bases = cls.__bases__
    place = next((number for number, base in enumerate(bases) if base in own.__mro__), len(bases))
    cls.__bases__ = (*bases[:place], stand_in(own), own, *bases[place:])
    Inheriting.register(cls)
