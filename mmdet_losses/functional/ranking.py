"""Ranking losses: errors of positives among all entries, with gradients by error-driven update instead of derivatives.

An error is a ratio of counts ``sum_j H(s_j - s_i)`` with the ramp ``H(x) = clamp(x / (2 delta) + 1/2, 0, 1)``. Since H
is piecewise linear, all counts come from one sort and prefix sums: O(n log n) time and O(n) memory, with shapes that
do not depend on values. Prefix sums are float64, whose rounding error over 10 million logits is about 1e-9.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .dtype import upcast
from .reduce import may_select

__all__ = ["average_precision_loss", "rank_sort_errors", "rank_sort_loss"]

NEGLIGIBLE = 1e-10
"""Count at or below which a positive has no missorted entries; as in the code of Rank & Sort Loss."""


def prefix_sums(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ... n values along the last axis."""
    return F.pad(values.cumsum(-1), (1, 0))


def ramp(ordered: Tensor, score: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """For each score, the indices into ``ordered`` from which on ``H(ordered - score)`` is above 0, and is 1."""
    full = torch.searchsorted(ordered, score + delta)
    return torch.minimum(torch.searchsorted(ordered, score - delta, right=True), full), full


def ramp_sum(risen: Tensor, moment: Tensor, score: Tensor, delta: float) -> Tensor:
    """Sum of ``value * H`` over entries on the ramp, from the sums of their values and of values times scores.

    With delta 0, a step, there are none, and ``risen`` is 0.
    """
    return risen if delta == 0 else 0.5 * risen + (moment - score * risen) / (2 * delta)


def count_above(source: Tensor, values: Tensor, score: Tensor, delta: float) -> Tensor:
    """``sum_j values_j H(source_j - score_i)`` for each i.

    Args:
        source: ``(m,)``.
        values: ``(c, m)``.
        score: ``(n,)``.
        delta: Half the width of the ramp.

    Returns:
        Tensor ``(c, n)``.
    """
    ordered, order = source.sort()
    start, full = ramp(ordered, score, delta)
    values = values[:, order]
    total, moment = prefix_sums(values), prefix_sums(values * ordered)
    risen = total[:, full] - total[:, start]
    return total[:, -1:] - total[:, full] + ramp_sum(risen, moment[:, full] - moment[:, start], score, delta)


def lower_counts(score: Tensor, quality: Tensor, values: Tensor, delta: float) -> Tensor:
    """``sum_j values_j [quality_j < quality_i] H(score_j - score_i)`` for each i.

    A wavelet matrix: entries sorted by score are partitioned, stably, by the bits of the rank of their quality, from
    the highest bit on. Where the bit of i is 1, the entries with bit 0 in its range are lower, and contiguous.

    Args:
        score: ``(n,)``.
        quality: ``(n,)``.
        values: ``(c, n)``.
        delta: Half the width of the ramp.

    Returns:
        Tensor ``(c, n)``.
    """
    n = score.shape[0]
    ordered, order = score.sort()
    place = torch.searchsorted(quality.sort().values, quality)  # equal qualities have equal ranks
    bounds = torch.stack([*ramp(ordered, score, delta), torch.full_like(place, n)])
    key, values = place[order], values[:, order]
    values = torch.cat([values, values * ordered])
    found = torch.zeros_like(values[: len(values) // 2])
    for bit in reversed(range(n.bit_length())):
        zero = (key >> bit & 1) == 0
        zeros = prefix_sums(zero.long())
        ones = torch.arange(n, device=key.device) - zeros[:-1] + zeros[-1]
        moved = torch.where(zero, zeros[:-1], ones)
        key = torch.empty_like(key).index_copy(0, moved, key)
        values = torch.empty_like(values).index_copy(1, moved, values)
        left = zeros[bounds]
        total, moment = prefix_sums(values).chunk(2)
        risen = total[:, left[1]] - total[:, left[0]]
        above = total[:, left[2]] - total[:, left[1]]
        above = above + ramp_sum(risen, moment[:, left[1]] - moment[:, left[0]], score, delta)
        passes = (place >> bit & 1) == 1
        found = found + torch.where(passes, above, 0)
        bounds = torch.where(passes, bounds - left + zeros[-1], left)
    return found


count_above_of_lower = lower_counts
if hasattr(torch.library, "custom_op"):
    # The number of bits depends on the size, so torch.compile is given the loop as one operator.
    count_above_of_lower = torch.library.custom_op(
        "mmdet_losses::count_above_of_lower",
        lower_counts,
        mutates_args=(),
        schema="(Tensor score, Tensor quality, Tensor values, float delta) -> Tensor",
    )

    @count_above_of_lower.register_fake
    def _(score: Tensor, quality: Tensor, values: Tensor, delta: float) -> Tensor:
        return torch.empty_like(values)


def places(mask: Tensor) -> Tensor | None:
    """Indices where the mask is True; None, which means all, where values may not be read."""
    return mask.nonzero().squeeze(1) if may_select(mask) else None


def relevant(score: Tensor, positive: Tensor, negative: Tensor, delta: float) -> Tensor:
    """Mask of the negatives that rank at least partly above a positive; all negatives where values may not be read."""
    if not may_select(score) or not positive.any():
        return negative
    return negative & ~(score < score[positive].min() - delta)


def pick(place: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The entries at ``place``; all of them where it is None."""
    return tensors if place is None else tuple(x.index_select(0, place) for x in tensors)


def put(place: Tensor | None, values: Tensor, like: Tensor) -> Tensor:
    """A tensor of the shape and dtype of ``like`` with values at ``place`` and 0 elsewhere."""
    values = values.to(like.dtype)
    return values if place is None else torch.zeros_like(like).index_copy(0, place, values)


class RankingError(torch.autograd.Function):
    """Share of negatives among the entries that rank above each positive; 0 for other entries.

    Gradient by error-driven update: the error of a positive raises its score, and lowers those of the negatives above
    it, each by its share ``H / sum H``.
    """

    @staticmethod
    def forward(ctx: Any, score: Tensor, target: Tensor, delta: float, interpolate: bool) -> Tensor:
        positive, negative = target > 0, target == 0
        up, down = places(positive), places(relevant(score, positive, negative, delta))
        score_up, positive = pick(up, score.detach().double(), positive)
        score_down, negative = pick(down, score.detach().double(), negative)
        (rank,) = count_above(score_up, positive.double()[None], score_up, delta)
        (false,) = count_above(score_down, negative.double()[None], score_up, delta)
        false = torch.where(positive, false.clamp(min=0), 0)
        if interpolate:  # AP-Loss counts the positive itself as 1, and not as H(0)
            rank = rank + (0.5 if delta > 0 else 0.0)
        error = false / torch.where(positive, rank + false, 1)
        if interpolate:  # the best precision of the positives that rank no higher, the error being 1 - precision
            order = score_up.argsort()
            least = torch.where(positive, error, torch.inf)[order].cummin(0).values
            error = torch.where(positive, torch.empty_like(least).index_copy(0, order, least), 0)
        error = torch.where(positive & (score_up.isnan().any() | score_down.isnan().any()), torch.nan, error)
        share = error / torch.where(false > 0, false, 1)
        ctx.delta, ctx.picked = delta, up is not None
        ctx.save_for_backward(score_up, score_down, negative, error, share, *((up, down) if ctx.picked else ()))
        return put(up, error, score)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        score_up, score_down, negative, error, share, *rest = ctx.saved_tensors
        up, down = rest if ctx.picked else (None, None)
        (upstream,) = pick(up, grad.double())
        (push,) = count_above(-score_up, (upstream * share)[None], -score_down, ctx.delta)
        pull = put(up, -upstream * error, grad)
        return pull + put(down, torch.where(negative, push, 0), grad), None, None, None


class SortingError(torch.autograd.Function):
    """How far positives of lower quality that rank above a positive raise the average of ``1 - quality`` there.

    Gradient by error-driven update: the error of a positive raises its score, and lowers those of the positives of
    lower quality above it, each by its share ``H / sum H``. Entries other than positives have 0.
    """

    @staticmethod
    def forward(ctx: Any, score: Tensor, target: Tensor, delta: float) -> Tensor:
        positive = target > 0
        place = places(positive)
        s, quality, positive = pick(place, score.detach().double(), target.detach().double(), positive)
        count = positive.double()
        values = torch.stack([count, torch.where(positive, 1 - quality, 0)])
        rank, miss = count_above(s, values, s, delta)
        lower, lower_miss = count_above_of_lower(s, quality, values, delta)
        target_rank = torch.where(positive, rank - lower, 1)
        error = (lower_miss - lower * (miss - lower_miss) / target_rank) / torch.where(positive, rank, 1)
        caused = positive & (lower > NEGLIGIBLE)
        error = torch.where(positive, error.clamp(min=0), 0)
        ctx.delta, ctx.picked = delta, place is not None
        pull = torch.where(caused, error, 0)
        share = pull / torch.where(caused, lower, 1)
        ctx.save_for_backward(s, quality, positive, pull, share, *(() if place is None else (place,)))
        return put(place, error, score)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        s, quality, positive, pull, share, *rest = ctx.saved_tensors
        place = rest[0] if ctx.picked else None
        (upstream,) = pick(place, grad.double())
        push = count_above_of_lower(-s, -quality, (upstream * share)[None], ctx.delta)[0]
        return put(place, torch.where(positive, push, 0) - upstream * pull, grad), None, None


def flat(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and targets, flattened; scores of ignored entries are masked to 0."""
    (pred,) = upcast(pred)
    return pred.masked_fill(target < 0, 0).reshape(-1), target.reshape(-1)


def average_precision_loss(pred: Tensor, target: Tensor, *, delta: float = 1.0) -> Tensor:
    """AP loss, see :class:`~mmdet_losses.APLoss`: ``1 - precision`` at each positive; its mean over them is the loss.

    Args:
        pred: Logits of any shape. All of them are ranked together.
        target: In the shape of ``pred``; above 0 is a positive, 0 a negative, below 0 takes no part.
        delta: Half the width of the ramp that replaces the step.

    Returns:
        Tensor of the shape of ``pred``, 0 where no positive is, float32 (float64 where ``pred`` is).
    """
    return RankingError.apply(*flat(pred, target), float(delta), True).reshape(pred.shape)


def rank_sort_errors(pred: Tensor, target: Tensor, *, delta: float = 0.5) -> tuple[Tensor, Tensor]:
    """Ranking and sorting errors of each positive, see :class:`~mmdet_losses.RankSortLoss`; their means over the
    positives are the two parts of the loss.

    Args:
        pred: Logits of any shape. All of them are ranked together.
        target: Qualities in the shape of ``pred``; above 0 is a positive, 0 a negative, below 0 takes no part. All
            positives of an integer or boolean target are of equal quality, which leaves no sorting error.
        delta: Half the width of the ramp that replaces the step.

    Returns:
        Two tensors of the shape of ``pred``, 0 where no positive is, float32 (float64 where ``pred`` is).
    """
    score, quality = flat(pred, target)
    ranking = RankingError.apply(score, quality, float(delta), False)
    if target.is_floating_point():
        sorting = SortingError.apply(score, quality, float(delta))
    else:
        sorting = torch.zeros_like(ranking)
    return ranking.reshape(pred.shape), sorting.reshape(pred.shape)


def rank_sort_loss(pred: Tensor, target: Tensor, *, delta: float = 0.5) -> Tensor:
    """Rank & Sort loss of each positive: the sum of :func:`rank_sort_errors`.

    Args:
        pred: Logits of any shape. All of them are ranked together.
        target: Qualities in the shape of ``pred``; above 0 is a positive, 0 a negative, below 0 takes no part.
        delta: Half the width of the ramp that replaces the step.

    Returns:
        Tensor of the shape of ``pred``, 0 where no positive is, float32 (float64 where ``pred`` is).
    """
    ranking, sorting = rank_sort_errors(pred, target, delta=delta)
    return ranking + sorting
