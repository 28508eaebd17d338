"""What functions say of an argument that they do not take, under their own name and not that of one they call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

REDUCING = ("reduction", "loss_weight", "weight", "avg_factor")
"""What the classes take and the functions do not."""
NUMBERS = ("power", "inner_ratio")
NO_NUMBERS = (str, bool, list, tuple, dict, type(None))


def check_modifiers(function: str, known: Collection[str], given: Mapping[str, Any]) -> None:
    """Raise for a keyword that a function does not hand on, and for a modifier that is none."""
    for name in given:
        if name not in known:
            remedy = (
                "functions return the unreduced loss, which its class weighs and reduces"
                if name in REDUCING
                else f"its modifiers are {', '.join(known)}"
            )
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}: {remedy}.")
        value = given[name]
        if name == "focaler":
            if value is not None and not (isinstance(value, (list, tuple)) and len(value) == 2):
                raise ValueError(f"{function}(): focaler must be None or an interval (d, u), got {value!r}.")
        elif name in NUMBERS and isinstance(value, NO_NUMBERS):
            raise ValueError(f"{function}(): {name} must be a number, got {value!r}.")


def check_choice(function: str, name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise for an option that is none of its choices."""
    if value not in choices:
        raise ValueError(f"{function}(): {name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
