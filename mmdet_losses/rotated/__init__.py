"""Losses of rotated boxes ``(cx, cy, w, h, angle)``, which MMRotate's heads and those of its forks pass."""

# ruff: noqa: F403

from typing import TYPE_CHECKING

from . import base, gaussian, overlap
from .base import *
from .gaussian import *
from .overlap import *

if not TYPE_CHECKING:
    # Type checkers follow the star imports.
    files = (base, gaussian, overlap)
    __all__ = [name for file in files for name in file.__all__]
