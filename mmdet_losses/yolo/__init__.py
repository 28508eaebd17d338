"""The objectives of grid detectors, whole: ground truth is encoded, every term computed, one loss returned."""

# ruff: noqa: F403

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

__all__ = []
__all__ += anchors.__all__
__all__ += base.__all__
__all__ += encode.__all__
__all__ += grid.__all__
__all__ += layout.__all__
__all__ += v1.__all__
__all__ += v2.__all__
__all__ += v3.__all__
__all__ += v4.__all__
