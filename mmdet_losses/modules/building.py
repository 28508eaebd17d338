"""Losses inside a loss: built from their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .base import CATALOGUE, Loss
from .errors import OptionError
from .named import named


def build_loss(option: str, loss: Any, slots: Sequence[str]) -> Loss:
    """A loss from its config ``dict(type=...)``, its name or as a module; who holds it weights and reduces it."""
    if isinstance(loss, str):
        loss = {"type": loss}
    if isinstance(loss, Mapping):
        options = dict(loss)
        kind = named(options.pop("type", None), CATALOGUE)
        if kind is not None and "reduction" in options:
            raise OptionError(f"{option} must leave out reduction, which the loss around it sets, got {loss!r}.")
        loss = kind(**options) if kind is not None and issubclass(kind, Loss) else loss
    if not isinstance(loss, Loss) or loss.slot not in slots:
        raise OptionError(
            f"{option} must be a loss of slot {' or '.join(map(repr, slots))}, as dict(type=...), name or module, "
            f"got {loss!r}."
        )
    return loss
