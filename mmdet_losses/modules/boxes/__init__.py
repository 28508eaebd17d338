"""Losses of boxes: the IoU family, its modifiers, and what does not fit its sum."""

# ruff: noqa: F403
from . import family, focus, members, modified, others
from .family import *
from .focus import *
from .members import *
from .modified import *
from .others import *

__all__: list[str] = []
__all__ += family.__all__
__all__ += focus.__all__
__all__ += members.__all__
__all__ += modified.__all__
__all__ += others.__all__
