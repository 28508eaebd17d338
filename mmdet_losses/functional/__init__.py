# ruff: noqa: F403
"""Detection losses as pure functions on torch alone: ``(pred, target, *, options) -> unreduced loss``.

Each file publishes what its ``__all__`` lists.
"""

from . import (
    beyond_iou,
    classification,
    coordinate,
    distribution,
    geometry,
    harmonized,
    iou,
    longtail,
    modified_iou,
    pairs,
    ranking,
    reduce,
)
from .beyond_iou import *
from .classification import *
from .coordinate import *
from .distribution import *
from .geometry import *
from .harmonized import *
from .iou import *
from .longtail import *
from .modified_iou import *
from .pairs import *
from .ranking import *
from .reduce import *

__all__: list[str] = []
__all__ += beyond_iou.__all__
__all__ += classification.__all__
__all__ += coordinate.__all__
__all__ += distribution.__all__
__all__ += geometry.__all__
__all__ += harmonized.__all__
__all__ += iou.__all__
__all__ += longtail.__all__
__all__ += modified_iou.__all__
__all__ += pairs.__all__
__all__ += ranking.__all__
__all__ += reduce.__all__
