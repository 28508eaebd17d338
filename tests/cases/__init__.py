"""One entry per loss and form: how to build it, valid input for it, junk for it, and its scalar reference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmdet_losses import Stateful

from .boxes import BOX_CASES, SIDE_CASES
from .case import Case, NoWaiting, autocast, cast, map_target, never_select, run, spoil, target_rows
from .classification import CLS_CASES as STATELESS_CLS_CASES
from .classification import REQUIRED as REQUIRED_OF_CLASSES
from .coordinates import COORDINATE_CASES as ROWWISE_COORDINATE_CASES
from .distribution import DFL_CASES
from .draw import BINS, CLASSES, draw_boxes, draw_range
from .embeddings import EMBEDDING_CASES
from .masks import MASK_CASES, TEACHER_CASES
from .quality_aware import QUALITY_AWARE_CASES
from .ranking import RANK_CASES
from .rotated import REQUIRED as REQUIRED_OF_ROTATED
from .rotated import ROTATED_CASES
from .stateful import HARMONIZED_COORDINATE_CASES, STATEFUL_CLS_CASES

__all__ = [
    "BINS",
    "BOX_CASES",
    "CASES",
    "CLASSES",
    "CLS_CASES",
    "COORDINATE_CASES",
    "DFL_CASES",
    "RANK_CASES",
    "REQUIRED",
    "ROTATED_CASES",
    "ROWWISE_CASES",
    "SIDE_CASES",
    "STATEFUL_CASES",
    "STATELESS_CASES",
    "Case",
    "NoWaiting",
    "autocast",
    "cast",
    "draw_boxes",
    "draw_range",
    "map_target",
    "never_select",
    "one_per_class",
    "over",
    "run",
    "spoil",
    "target_rows",
]

COORDINATE_CASES = ROWWISE_COORDINATE_CASES + HARMONIZED_COORDINATE_CASES
CLS_CASES = STATELESS_CLS_CASES + QUALITY_AWARE_CASES + STATEFUL_CLS_CASES
OTHER_CASES = DFL_CASES + MASK_CASES + TEACHER_CASES + EMBEDDING_CASES
CASES = COORDINATE_CASES + BOX_CASES + SIDE_CASES + ROTATED_CASES + CLS_CASES + OTHER_CASES
REQUIRED = REQUIRED_OF_CLASSES | REQUIRED_OF_ROTATED
"""Options without a default that could be used."""


ROWWISE_CASES = [case for case in CASES if not case.whole]
"""Losses of one row each, whose mean is over all rows or ``avg_factor``."""
STATELESS_CASES = [case for case in CASES if not any(isinstance(m, Stateful) for m in case.build().modules())]
STATEFUL_CASES = [case for case in CASES if any(getattr(m, "sum_names", ()) for m in case.build().modules())]
"""Losses that follow the training; GHM without a momentum has buffers and does not."""


def over(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrise a test by cases, each under its own name."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def one_per_class() -> list[Case]:
    """The first case of each class."""
    return list({case.name: case for case in reversed(CASES)}.values())[::-1]
