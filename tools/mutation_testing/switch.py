"""Chooses, while a program runs, which copy of a function is called: the original, or one of its mutants."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Mutant", "MutantDict", "choose", "note_calls", "noted", "plain", "wrap_in_trampoline"]

NAME = re.compile(r"x(?:_|ǁ(?P<cls>\w+)ǁ)(?P<function>\w+?)(?:__mutmut_(?P<number>\d+|orig))?$")
ORIGINAL = "_mutmut_orig"

MutantDict: TypeAlias = dict[str, Callable[..., Any]]
Function: TypeAlias = tuple[str, str]
"""Module, and ``function`` or ``Class.method``."""

chosen: Mutant | None = None
noting = False
seen: set[Function] = set()


class Mutant(NamedTuple):
    """A changed copy of a function."""

    module: str
    function: str
    number: int

    @property
    def name(self) -> str:
        """What mutmut calls it in its module."""
        cls, _, method = self.function.rpartition(".")
        return f"x{f'ǁ{cls}ǁ' if cls else '_'}{method}__mutmut_{self.number}"


def plain(name: str) -> str:
    """The function, ``function`` or ``Class.method``, of a name as mutmut writes it."""
    match = NAME.match(name)
    if match is None:
        raise ValueError(f"{name!r} is no name of a mutant.")
    return f"{match['cls']}.{match['function']}" if match["cls"] else match["function"]


def choose(mutant: Mutant | None) -> None:
    """From now on calls of its function go to this mutant."""
    global chosen
    chosen = mutant


def note_calls() -> None:
    """From now on keep in mind which functions are called."""
    global noting
    noting = True


def noted() -> list[Function]:
    """The functions that were called since this was last asked."""
    found = sorted(seen)
    seen.clear()
    return found


def wrap_in_trampoline(copies: MutantDict, is_classmethod: bool = False) -> Callable[..., Any]:
    """The decorator of a function that has mutants, under the name and with the arguments that mutmut gives it."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        module = function.__module__
        own: Function | None = None

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal own
            copy = copies[ORIGINAL]
            if own is None:
                own = module, plain(copy.__name__)
                for other in copies.values():  # by which Python names it where an argument is wrong
                    getattr(other, "__func__", other).__qualname__ = function.__qualname__
            if noting:
                seen.add(own)
            elif chosen is not None and chosen[:2] == own:
                copy = copies[chosen.name]
            if is_classmethod:
                return getattr(args[0], copy.__name__)(*args[1:], **kwargs)
            return copy(*args, **kwargs)

        return call

    return wrap
