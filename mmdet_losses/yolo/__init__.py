"""The objectives of grid detectors, whole: ground truth is encoded, every term computed, one loss returned."""

# ruff: noqa: F403

from typing import TYPE_CHECKING

from . import anchors, base, encode, grid, layout, v1, v2, v3, v4
from .anchors import *
from .base import *
from .encode import *
from .grid import *
from .layout import *
from .v1 import *
from .v2 import *
from .v3 import *
from .v4 import *

if not TYPE_CHECKING:
    # Type checkers follow the star imports.
    files = (anchors, base, encode, grid, layout, v1, v2, v3, v4)
    __all__ = [name for file in files for name in file.__all__]
