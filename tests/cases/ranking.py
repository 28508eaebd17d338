"""Ranking losses, whose errors are those of a whole batch: the reference takes all scores and targets at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from oracle import ranking
from torch import Tensor

from .case import Case
from .draw import draw_labels_background, draw_soft


def draw_flat(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """One score per row; labels 1, 0 and, for what is ignored, -1."""
    return 2 * torch.randn(n, generator=g, dtype=torch.float64), torch.randint(-1, 2, (n,), generator=g)


def sum_of_rank_and_sort(score: Sequence[float], quality: Sequence[float], delta: float = 0.5):
    ranks, sorts, gradients = ranking.rank_sort(score, quality, delta)
    return [a + b for a, b in zip(ranks, sorts, strict=True)], gradients


def rank_case(name: str, function, draw, form: str, **options: float) -> Case:
    return Case(
        name, draw, False, lambda s, y: function(s, y, **options), options, frozen=True, form=form, kind="ranking"
    )


RANK_CASES = [
    rank_case(name, function, draw, form, **options)
    for name, function, other in (
        ("APLoss", ranking.average_precision, 0.3),
        ("RankSortLoss", sum_of_rank_and_sort, 2.0),
    )
    for draw, form, options in (
        (draw_labels_background, "labels", {}),
        (draw_soft, "dense", {}),
        (draw_flat, "flat", {}),
        (draw_soft, "dense", {"delta": other}),
        (draw_soft, "dense", {"delta": 0.0}),
    )
]
