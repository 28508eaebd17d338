"""Losses named without the options that they need, or that would be large: with an example of them."""

from __future__ import annotations

import warnings
from typing import Any

from loss_pages.tables import SHOWN
from tool_runtime.errors import ToolError

from .choice import SCOPE, Chosen, choose, from_config
from .curves import ready

CLASSES = {"num_classes": 2}
"""Classes of a picture; values do not depend on how many there are."""
NOT_SHOWN = ("loss_weight",)


def choose_to_look(text: str) -> Chosen:
    """Read a loss as :func:`choose` does; a bare name that needs options has an example of them.

    Raises:
        ToolError: As :func:`choose`.
    """
    name = text.strip().removeprefix(SCOPE)
    with warnings.catch_warnings():
        # they speak of training; pictures say what they assume
        warnings.simplefilter("ignore")
        return example(name) if name.replace(".", "").isidentifier() else choose(text)


def example(name: str) -> Chosen:
    """A loss by its name, with as few options as it can be drawn with.

    Raises:
        ToolError: For an unknown name.
    """
    bare = from_config({"type": name})
    options = bare.cls.options()
    few: dict[str, Any] = {
        key: value for key, value in CLASSES.items() if key in options and options[key].default is not None
    }
    shown = {key: value for key, value in SHOWN.get(bare.cls.__name__, {}).items() if key not in NOT_SHOWN}
    tried = (few, {**shown, **few})
    for number, more in enumerate(tried, 1):
        chosen = Chosen(name, more)
        try:
            ready(chosen)
        except ToolError:
            if number == len(tried):
                raise
            continue
        break
    return chosen
