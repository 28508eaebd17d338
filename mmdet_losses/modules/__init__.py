"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

# ruff: noqa: F403
from . import base, boxes, classes, coordinate, distribution, errors, fusing, harmonized, state
from .base import *
from .boxes import *
from .classes import *
from .coordinate import *
from .distribution import *
from .errors import *
from .fusing import *
from .harmonized import *
from .moved import keep_paths
from .state import *

__all__: list[str] = []
__all__ += base.__all__
__all__ += boxes.__all__
__all__ += classes.__all__
__all__ += coordinate.__all__
__all__ += distribution.__all__
__all__ += errors.__all__
__all__ += fusing.__all__
__all__ += harmonized.__all__
__all__ += state.__all__

keep_paths(__name__)
