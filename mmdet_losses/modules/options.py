"""Options that every loss takes, and what is said of one that a loss does not take."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypedDict

from torch import nn

from ..functional.reduce import REDUCTIONS
from .errors import OptionError, ReductionError


class Shared(TypedDict, total=False):
    """Keywords that every loss takes and hands on to its base, see :class:`Loss`."""

    debug: bool
    fused: bool


def parameters_of(line: Iterable[type]) -> dict[str, inspect.Parameter]:
    """Options of the constructors along a line of bases, up to the first that takes no further keywords."""
    found: dict[str, inspect.Parameter] = {}
    for base in line:
        if base is nn.Module:
            break
        if "__init__" in vars(base):
            signature = list(inspect.signature(base.__init__).parameters.values())[1:]
            named = [parameter for parameter in signature if parameter.kind is not parameter.VAR_KEYWORD]
            found |= {parameter.name: parameter for parameter in named if parameter.name not in found}
            if len(named) == len(signature):
                break
    return found


@cache
def options_of(cls: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Options of a class by name: those of its constructor, and behind its ``**keywords`` those of the next base."""
    fixed = getattr(cls, "fixed", ())
    return {name: parameter for name, parameter in parameters_of(cls.__mro__).items() if name not in fixed}


def unknown_option(cls: type[nn.Module], name: str) -> OptionError:
    """The error for a keyword that a class does not take."""
    known = options_of(cls)
    if name in Shared.__annotations__:
        return OptionError(
            f"{cls.__name__} has no option {name!r}, since its constructor hands no keywords on: write "
            "`def __init__(self, ..., **shared)` and `super().__init__(..., **shared)`, or set it on the object."
        )
    return OptionError(
        f"{cls.__name__} has no option {name!r}.{meant(name, known)} Its options are {', '.join(known)}. "
        "Where the option comes from a base config, write the slot with _delete_=True."
    )


def meant(name: str, known: Mapping[str, inspect.Parameter]) -> str:
    """What a keyword that a class does not take was probably meant for: its own word for it, or a word mistyped."""
    if name == "class_weight" and "Sequence" in str(getattr(known.get("alpha"), "annotation", "")):
        return " The weight of each class is alpha=[...] here, one number per channel of pred."
    if name == "pos_weight" and "class_weight" in known:
        return " The weight of the positives is class_weight=[...] here, one number per class."
    owners = owners_of(name)
    if owners:
        return f" It is an option of {', '.join(owners[:3])}{' and others' if len(owners) > 3 else ''}."
    close = difflib.get_close_matches(name, known, 1, 0.7)
    return f" Did you mean {close[0]!r}?" if close else ""


def owners_of(name: str) -> list[str]:
    """The losses that have an option of a name, which is then no mistyped word."""
    from .base import CATALOGUE

    classes = dict.fromkeys(CATALOGUE.values())
    return [cls.__name__ for cls in classes if name in options_of(cls)]


ONE_OF_REDUCTIONS = f"one of {', '.join(map(repr, REDUCTIONS))}"


def is_reduction(value: Any) -> bool:
    """Whether a value is ``'none'``, ``'mean'`` or ``'sum'``."""
    return isinstance(value, str) and value in REDUCTIONS


def check_reduction(name: str, reduction: Any) -> None:
    """Raise for a reduction of one call that there is not; of an option, its rule does."""
    if not is_reduction(reduction):
        raise ReductionError(f"{name} must be {ONE_OF_REDUCTIONS}, got {reduction!r}.")


def check_option(name: str, value: Any, condition: bool, expected: str, note: str = "") -> None:
    """Raise for an option's value outside of its range."""
    if not condition:
        raise OptionError(f"{name} must be {expected}, got {value!r}{note}.")
