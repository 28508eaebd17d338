"""Curves and fields of the losses, drawn once for each state of the code."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Drawn(NamedTuple):
    """The pictures of a loss.

    Attributes:
        pictures: Each picture with its description.
        sentence: Why there is none.
    """

    pictures: list[tuple[Path, str]]
    sentence: str


def draw(folder: Path) -> dict[str, Drawn]:
    """The pictures of every loss, by the name of its class."""
    return {}
