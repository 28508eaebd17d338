"""Losses of distances that are predicted as discrete distributions, and the layer that decodes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from .. import functional as F
from .base import Loss, check_floating, published
from .classes.per_class import are_within, kept_numbers, listed, numbers_beside
from .declared import Check, Configured, declared, none_or, option, whole
from .inputs import check_rows, check_target, row_weight
from .options import check_option

__all__ = ["DistributionFocalLoss", "Integral"]


def ascend(values: Any) -> bool:
    """Whether values are two finite numbers or more, each larger than the one before."""
    values = listed(values)
    return len(values) > 1 and are_within(values, -math.inf) and all(a < b for a, b in pairwise(values))


DISTANCES = Check(ascend, "the ascending distances of two bins or more")
NUMBER_OR_DISTANCES = Check(
    lambda value: whole(2).holds(value) or ascend(value),
    "a whole number, 2 or more, or the ascending distances of that many bins",
)


@published()
class DistributionFocalLoss(Loss):
    """Distribution focal loss: cross-entropy towards the two bins beside a continuous distance.

    The bins lie evenly from ``y_min`` to ``y_max``. With ``y`` counted in bins from the first on and
    ``l = floor(y)``: ``(l + 1 - y) CE(pred, l) + (y - l) CE(pred, l + 1)``. :class:`Integral` with the same range
    decodes what this trains.

    Shapes and units: ``pred`` ``(m, bins)`` logits; ``target`` ``(m,)`` distances in the unit of the range, clamped to
    ``[y_min, y_max]``, by default in bins (GFL: pixels over the stride, sides left, top, right, bottom); the result
    with ``'none'`` is ``(m,)``. The least value is the entropy of the two shares: 0 for the bins themselves, at most
    ln 2.

    Paper: Generalized Focal Loss, https://arxiv.org/abs/2006.04388. Differs from mmdet: a target of exactly ``y_max``
    is valid (an index error there, a device-side assert on CUDA), and one outside the range is clamped (extrapolated
    there); see also "All losses" in docs/deviations.md.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (GFL uses 0.25).
        y_min: Distance of the first bin; 0.0 as mmdet.
        y_max: Distance of the last bin; None is ``bins - 1``, as mmdet.
        bins: Distance of each bin, ascending, in place of an even range; D-FINE's are
            :func:`~mmdet_losses.functional.dfine_bins`. None, as mmdet.
        debug: Names the first row whose target is outside the range of the bins, or that holds a value not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import DistributionFocalLoss
        >>> DistributionFocalLoss()(torch.tensor([[0.0, 1, 2, -1, 0.5]]), torch.tensor([1.3]))
        tensor(1.2744)
    """

    function = staticmethod(F.distribution_focal_loss)
    passes = ("y_min", "y_max", "bins")
    slot = "dfl"
    tame = True
    paper = "https://arxiv.org/abs/2006.04388"
    best = None

    reduction: str = "mean"
    loss_weight: float = 1.0
    y_min: float = option(default=0.0, kw_only=True)
    y_max: float | None = option(default=None, kw_only=True)
    bins: Sequence[float] | Tensor | None = option(
        default=None, check=none_or(DISTANCES), convert=kept_numbers, kw_only=True
    )

    def check_options(self) -> None:
        super().check_options()
        check_range(self.y_min, self.y_max)
        check_alone(self.bins, self.y_min, self.y_max)

    def arguments_beside(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        arguments = self.arguments()
        if self.bins is not None:
            arguments["bins"] = numbers_beside("bins", self.bins, inputs)
        return arguments

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        if pred.ndim != 2 or pred.shape[1] < 2:
            raise ValueError(f"pred must have shape (m, bins) with 2 bins or more, got {tuple(pred.shape)}.")
        check_target(target)
        if target.shape != pred.shape[:1]:
            raise ValueError(f"target must have shape {tuple(pred.shape[:1])}, got {tuple(target.shape)}.")
        if self.bins is not None and len(self.bins) != pred.shape[1]:
            raise ValueError(
                f"bins must have {pred.shape[1]} entries, one per bin of pred, which has shape {tuple(pred.shape)}, "
                f"got {len(self.bins)}."
            )
        if self.bins is None and self.y_max is None and self.y_min >= pred.shape[1] - 1:
            raise ValueError(
                f"y_max must be more than y_min, {self.y_min!r}; None makes it {pred.shape[1] - 1}, the number of "
                "bins less 1: give it."
            )
        return (pred, target), row_weight(weight, pred.shape[:1])

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, target = inputs
        first, last = self.y_min, pred.shape[1] - 1 if self.y_max is None else self.y_max
        if self.bins is not None:
            first, last = float(self.bins[0]), float(self.bins[-1])
        good = (target >= first) & (target <= last)
        plain = self.bins is None and self.y_max is None and not self.y_min
        unit = "distances in bins" if plain else "distances"
        expected = f"{unit}, {first:g} to {last:g} (divide by the stride, or raise reg_max)"
        check_rows(f"{type(self).__name__}: target", target, good, weight, expected)


@declared
class Integral(Configured):
    """Expectation of a discrete distribution: turns logits over bins into the distances that they stand for.

    ``sum_i softmax(pred)_i y_i``, with bins ``y_i`` evenly from ``y_min`` to ``y_max``. It is no loss: it decodes what
    :class:`DistributionFocalLoss` of the same range trains.

    Shapes and units: ``pred`` logits ``(*, bins)`` give ``(*,)``, and ``(*, k * bins)`` give ``(*, k)``, in mmdet's
    heads ``(n, 4 * bins)`` and left, top, right, bottom; distances are in the unit of the range, by default in bins.

    Paper: Generalized Focal Loss, https://arxiv.org/abs/2006.04388. Differs from mmdet's layer of GFLHead, which takes
    ``reg_max = bins - 1``: any range, any leading axes, half precision gives float32, and nothing is kept in the state.

    Args:
        y_min: Distance of the first bin; 0.0 as mmdet.
        y_max: Distance of the last bin; None is ``bins - 1``, as mmdet.
        bins: Number of bins; 17, which is mmdet's ``reg_max=16``. Or the distance of each, ascending, in place of an
            even range, as :class:`DistributionFocalLoss` has them.

    Example:
        >>> import torch
        >>> from mmdet_losses import Integral
        >>> Integral(bins=5)(torch.tensor([[0.0, 1, 2, -1, 0.5]]))
        tensor([1.9198])
    """

    y_min: float = 0.0
    y_max: float | None = None
    bins: int | Sequence[float] | Tensor = option(default=17, check=NUMBER_OR_DISTANCES, convert=kept_numbers)

    def check_options(self) -> None:
        super().check_options()
        even = isinstance(self.bins, int)
        check_range(self.y_min, self.bins - 1 if even and self.y_max is None else self.y_max)
        check_alone(None if even else self.bins, self.y_min, self.y_max)

    def forward(self, pred: Tensor) -> Tensor:
        """Distances of logits ``(*, bins)`` or ``(*, k * bins)``."""
        check_floating("pred", pred)
        even = isinstance(self.bins, int)
        number = self.bins if even else len(self.bins)
        if pred.ndim < 1 or pred.shape[-1] % number or not pred.shape[-1]:
            raise ValueError(
                f"pred must have shape (*, {number}) or (*, k * {number}), with {number} bins for each "
                f"distance, got {tuple(pred.shape)}."
            )
        bins = self.bins if even else numbers_beside("bins", self.bins, (pred,))
        return F.integral(pred, bins=bins, y_min=self.y_min, y_max=self.y_max)

    def extra_repr(self) -> str:
        """The options."""
        return f"y_min={self.y_min!r}, y_max={self.y_max!r}, bins={self.bins!r}"


def check_alone(bins: Any, y_min: float, y_max: float | None) -> None:
    """Raise for a range beside the distances of all bins."""
    alone = bins is None or (not y_min and y_max is None)
    check_option("bins", bins, alone, "left out with y_min and y_max, which say where they lie")


def check_range(y_min: float, y_max: float | None) -> None:
    """Raise for a range that ends before it begins."""
    check_option("y_max", y_max, y_max is None or y_max > y_min, f"more than y_min, {y_min!r}")
