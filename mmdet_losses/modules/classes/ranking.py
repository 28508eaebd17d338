"""Ranking losses: all logits of a call are ranked together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import functional as F
from ...functional.classification import dense_target
from ..base import published
from ..declared import TRUE, at_least, option
from ..inputs import as_labels_or_dense, element_weight
from .base import ClassificationLoss

__all__ = ["APLoss", "RankSortLoss", "RankingLoss"]


class RankingLoss(ClassificationLoss):
    """Base of ranking losses, whose value is the mean of an error over the positives.

    An entry is one logit: of row i and class c. The unreduced loss has pred's shape and holds the error of each
    positive, and 0 elsewhere. From it

    - ``'mean'`` divides by ``avg_factor``, which is the number of positives in every head of MMDetection that ranks all
      its levels in one call (FCOS, VFNet): that is the published loss. Without ``avg_factor`` it divides by the number
      of positives of weight other than 0 itself, and not by the number of entries: the published loss too;
    - ``'sum'`` and ``'none'`` are not normalised.

    A weight of 0 takes an entry out of the ranking, as a target below 0 does. The weight of a positive multiplies its
    error, with the gradient that this error assigns to others; that of a negative counts only as 0 or not.
    """

    fusible = False

    def align(
        self, pred: Tensor, target: Tensor, weight: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None]:
        target = as_labels_or_dense(pred, target)
        ignored = target < 0
        if target.ndim < pred.ndim:
            ignored = ignored.unsqueeze(-1).expand_as(pred)
        return (pred, dense_target(pred, target), ~ignored), element_weight(weight, pred)

    def evaluate_aligned(
        self, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
    ) -> Tensor:
        if avg_factor is None and reduction == "mean":
            _, target, counts = inputs
            positive = counts & (target > 0)
            avg_factor = (positive if weight is None else positive & (weight != 0)).sum()
        return super().evaluate_aligned(inputs, weight, avg_factor, reduction)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        pred, target, counts = inputs
        super().check_values((pred.masked_fill(~counts, 0), target), weight)

    def unreduced(self, pred: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        if target.dtype == torch.bool:
            target = target.to(torch.int8)
        return self.errors(pred, target.masked_fill(~counts, -1))

    def errors(self, pred: Tensor, target: Tensor) -> Tensor:
        """The error of each positive; entries with a target below 0 are masked."""
        return self.function(pred, target, **self.arguments())


@published()
class APLoss(RankingLoss):
    """AP loss: 1 minus the average precision, ``mean_i(1 - precision_i)`` over the positives.

    ``precision_i = rank_i / (rank_i + false_i)`` with ``rank_i = 1 + sum H(s_j - s_i)`` over the other positives and
    ``false_i = sum H(s_j - s_i)`` over the negatives, ``H(x) = clamp(x / (2 delta) + 1/2, 0, 1)``; interpolated: of a
    positive counts the best precision of those that score no higher. The gradient is assigned (error-driven update),
    not derived: each positive's error pulls it up, and pushes the negatives above it down by their share.

    Shapes: ``pred`` logits ``(n, c)``, all of which are ranked together (or flat ``(m,)``, or any shape); ``target``
    integer labels ``(n,)``, label ``c`` being background and one below 0 ignored, or ``(n, c)`` with positives above 0
    (VFNet's qualities), negatives 0, and below 0 ignored; weight ``(n,)``, ``(n, 1)`` or ``(n, c)``, 0 being ignored;
    ``'none'`` gives ``(n, c)``, the error at each positive and 0 elsewhere. Range of an error: [0, 1), 0 where every
    positive scores ``delta`` above every negative. ``'mean'`` divides by ``avg_factor``, the number of positives in
    FCOS and VFNet, or without it by the number of positives: the published loss both times; no positives give 0.

    For heads that pass all levels and images in one call: FCOS, VFNet. Others rank within a level, and each process
    ranks its own entries. Scores are ranked, not calibrated: a ``score_thr`` of the test config may have to be lowered.

    Paper: https://arxiv.org/abs/1904.06373. MMDetection has no such loss. O(n log n), where the published code
    compares every positive with every entry, with the same result.

    Args:
        use_sigmoid: True, since one logit per class is ranked. Heads read this from the config, so write it there.
        delta: Half the width of the ramp H in logits; 1.0 as the authors' code. 0 is the step.
        reduction: See above.
        loss_weight: Multiplies the loss.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import APLoss
        >>> APLoss()(torch.tensor([2.0, 1, 1.5, -3]), torch.tensor([1, 1, 0, 0]))
        tensor(0.2364)
    """

    function = staticmethod(F.average_precision_loss)
    passes = ("delta",)
    paper = "https://arxiv.org/abs/1904.06373"
    bounds = (0.0, 1.0)

    use_sigmoid: bool = option(default=True, check=TRUE)
    delta: float = option(default=1.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class RankSortLoss(RankingLoss):
    """Rank & Sort loss: positives above negatives, and among each other in the order of their quality.

    The mean over the positives of a ranking and a sorting error. Ranking: ``false_i / (rank_i + false_i)``, with
    ``rank_i`` and ``false_i`` the sums of ``H(s_j - s_i)`` over positives (itself included, as 1/2) and negatives,
    ``H(x) = clamp(x / (2 delta) + 1/2, 0, 1)``. Sorting: the mean of ``1 - quality_j`` over the positives above i,
    weighted by H, minus the same mean over those of them whose quality is no lower. The gradient is assigned (identity
    update), not derived: each error pulls its positive up, and pushes down those that cause it by their share: the
    negatives above it, and the positives of lower quality above it.

    Shapes: ``pred`` logits ``(n, c)``, all of which are ranked together (or flat ``(m,)``, or any shape); ``target``
    qualities ``(n, c)``, the IoU at the class of a positive, 0 for a negative and below 0 ignored, or integer labels
    ``(n,)``, label ``c`` being background and one below 0 ignored, which leave no sorting error; weight ``(n,)``,
    ``(n, 1)`` or ``(n, c)``, 0 being ignored; ``'none'`` gives ``(n, c)``, the error at each positive and 0 elsewhere.
    Range of an error: [0, 2). ``'mean'`` divides by ``avg_factor``, the number of positives in FCOS and VFNet, or
    without it by the number of positives: the published loss both times; no positives give 0. The two errors by
    themselves are :func:`mmdet_losses.functional.rank_sort_errors`.

    For heads that pass all levels and images in one call: VFNet, which passes qualities, and FCOS, which passes
    labels. Others rank within a level, and each process ranks its own entries. Scores are ranked, not calibrated: a
    ``score_thr`` of the test config may have to be lowered.

    Paper: https://arxiv.org/abs/2107.11669. MMDetection has no such loss. O(n log n) for ranking and O(n log**2 n) for
    sorting, where the published code compares every positive with every entry, with the same result. The paper's
    self-balancing of the box loss is a matter of the head.

    Args:
        use_sigmoid: True, since one logit per class is ranked. Heads read this from the config, so write it there.
        delta: Half the width of the ramp H in logits; 0.5 as the paper (``delta_RS`` in its code). 0 is the step.
        reduction: See above.
        loss_weight: Multiplies the loss.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import RankSortLoss
        >>> RankSortLoss()(torch.tensor([1.0, 2, 1.5, -3]), torch.tensor([0.8, 0.6, 0, 0]))
        tensor(0.2667)
    """

    function = staticmethod(F.rank_sort_loss)
    passes = ("delta",)
    paper = "https://arxiv.org/abs/2107.11669"
    bounds = (0.0, 2.0)

    use_sigmoid: bool = option(default=True, check=TRUE)
    delta: float = option(default=0.5, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
