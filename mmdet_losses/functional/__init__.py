# ruff: noqa: F403
"""Detection losses as pure functions on torch alone: ``(pred, target, *, options) -> unreduced loss``.

Each file publishes what its ``__all__`` lists.
"""

from typing import TYPE_CHECKING

from . import (
    beyond_iou,
    classification,
    coordinate,
    distillation,
    distribution,
    embedding,
    geometry,
    harmonized,
    iou,
    longtail,
    mask,
    modified_iou,
    pairs,
    quality_aware,
    ranking,
    reduce,
    rotated,
    rotated_gaussian,
    rotated_overlap,
)
from .beyond_iou import *
from .classification import *
from .coordinate import *
from .distillation import *
from .distribution import *
from .embedding import *
from .geometry import *
from .harmonized import *
from .iou import *
from .longtail import *
from .mask import *
from .modified_iou import *
from .pairs import *
from .quality_aware import *
from .ranking import *
from .reduce import *
from .rotated import *
from .rotated_gaussian import *
from .rotated_overlap import *

if not TYPE_CHECKING:
    # Type checkers follow the star imports.
    files = (
        beyond_iou,
        classification,
        coordinate,
        distillation,
        distribution,
        embedding,
        geometry,
        harmonized,
        iou,
        longtail,
        mask,
        modified_iou,
        pairs,
        quality_aware,
        ranking,
        reduce,
        rotated,
        rotated_gaussian,
        rotated_overlap,
    )
    __all__ = [name for file in files for name in file.__all__]
