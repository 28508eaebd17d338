"""Gradient harmonizing losses: elements count less, the more there are of a like gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import functional as F
from ..functional.reduce import blank
from .base import published
from .classes.base import ClassificationLoss
from .coordinate import CoordinateLoss
from .declared import LESS_THAN_1, TRUE, more_than, option, whole
from .inputs import as_labels_or_dense, either, element_weight
from .state import Stateful

__all__ = ["GHMC", "GHMR"]


class HarmonizedLoss(Stateful):
    """Base of the two: each bin of the gradient norm has the same share of the loss.

    The mean is over the elements that count, whatever ``avg_factor`` says, and over the bins that hold any.
    """

    fusible = False

    bins: int
    momentum: float

    last_edge: ClassVar[float]
    """Upper edge of the last bin."""

    def keep_bins(self) -> None:
        """Declare the buffers, which are MMDetection's."""
        self.register_buffer("edges", F.bin_edges(self.bins))
        if self.momentum > 0:
            self.keep_buffers(acc_sum=(self.bins,))
            self.keep_sums(counts=(self.bins,), calls=())
        self.reset_statistics()

    def reset_statistics(self) -> None:
        self.edges.copy_(F.bin_edges(self.bins))
        self.edges[-1] = self.last_edge
        if self.momentum > 0:
            self.acc_sum.zero_()

    def check_options(self) -> None:
        super().check_options()
        if self.momentum > 0 and "acc_sum" not in self._buffers:
            raise AttributeError(
                f"momentum of a loss built with momentum=0, which keeps no mean, cannot become {self.momentum!r}: "
                f"build the loss again, with momentum={self.momentum!r}."
            )

    def gradient_norm(self, pred: Tensor, target: Tensor) -> Tensor:
        """Gradient norm of each element, from 0 to 1."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        label_weight: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`.

        Args:
            avg_factor: Checked and ignored, as in MMDetection: the loss divides by what it counts itself.
            label_weight: MMDetection's name of ``weight``.
        """
        return super().forward(pred, target, either(weight, label_weight), avg_factor, reduction_override)

    @torch.no_grad()
    def histogram(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> tuple[F.Histogram, Tensor, torch.dtype]:
        """Bins of the elements of aligned inputs, which of them count, and the dtype of the loss."""
        pred = inputs[0]
        valid = torch.ones_like(pred, dtype=torch.bool) if weight is None else (weight != 0).expand(pred.shape)
        norm = self.gradient_norm(*(blank(tensor, ~valid) for tensor in inputs))
        return F.gradient_histogram(norm, valid, self.edges), valid, norm.dtype

    def evaluate_aligned(
        self, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
    ) -> Tensor:
        histogram, valid, dtype = self.histogram(inputs, weight)
        density = histogram.count.to(dtype)
        if self.momentum > 0:
            density = torch.where(self.acc_sum > 0, self.acc_sum.to(dtype), density)
        harmony = F.harmonizing_weight(histogram, density)
        harmony = torch.where(valid, harmony if weight is None else harmony * weight, 0)
        divisor = histogram.count.sum() if reduction == "mean" else None
        return super().evaluate_aligned(inputs, harmony, divisor, reduction)

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        if self.momentum > 0:
            counts = self.histogram(*self.align(pred, target, weight))[0].count
            self.gather(counts=counts, calls=counts.sum() > 0)

    def commit(self, counts: Tensor | None = None, calls: Tensor | None = None) -> None:
        """Running mean of the elements of each bin in one call; a bin that nothing fell into stays as it was."""
        if counts is None or calls is None:
            return
        mean = counts / calls.clamp(min=1)
        moved = torch.where(self.acc_sum > 0, self.momentum * self.acc_sum + (1 - self.momentum) * mean, mean)
        self.acc_sum.copy_(torch.where(counts > 0, moved, self.acc_sum))


@published()
class GHMC(HarmonizedLoss, ClassificationLoss):
    """Gradient harmonizing classification loss: binary cross-entropy over the density of the gradient norm.

    With ``g = |sigmoid(pred) - target|``, sorted into ``bins`` of equal width, an element weighs ``N / (n m)``: ``N``
    elements that count, ``n`` of them in its bin, ``m`` bins that hold any, each of this call and process. So the many
    easy negatives weigh little, and so do the few outliers. The weight is detached.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` integer labels ``(n,)``, any label outside
    ``[0, c)`` being background, or dense ``(n, c)``; weight, also as ``label_weight``, ``(n,)``, ``(n, 1)`` or
    ``(n, c)``; ``'none'`` gives ``(n, c)``, each value with its share.

    Statistics: with ``momentum``, ``n`` is a running mean over iterations and processes of the elements of that bin
    in one call (buffer ``acc_sum``), and until a bin has one, the call's own number.

    Paper: https://arxiv.org/abs/1811.05181. Differs from mmdet: a weight multiplies (a mask there), reduction
    ``'sum'`` works (an error there), the weight may be left out, and ``momentum`` counts per iteration over all
    processes, from the first histogram on (per call and process, from 0 on, there, which makes the first losses
    larger by ``1 / (1 - momentum)``). As in mmdet, ``avg_factor`` is ignored.

    Args:
        bins: Number of bins; 10 as mmdet (its config: 30).
        momentum: Share of the past in the running mean, 0 for none; 0 as mmdet (its config: 0.75).
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        loss_weight: Multiplies the loss; default as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet. The mean is over what counts.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import GHMC
        >>> GHMC()(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.3778)
    """

    function = staticmethod(F.sigmoid_cross_entropy)
    last_edge = 1 + 1e-6
    paper = "https://arxiv.org/abs/1811.05181"

    bins: int = option(default=10, check=whole(1), frozen="statistics of that many bins are kept")
    momentum: float = option(default=0, check=LESS_THAN_1)
    use_sigmoid: bool = option(default=True, check=TRUE)
    loss_weight: float = 1.0
    reduction: str = "mean"

    def __post_init__(self) -> None:
        self.keep_bins()

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        target = as_labels_or_dense(pred, target)
        return (pred, target), element_weight(weight, pred)

    def gradient_norm(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.sigmoid_gradient_norm(pred, target)


@published()
class GHMR(HarmonizedLoss, CoordinateLoss):
    """Gradient harmonizing regression loss: a smooth L1 over the density of the gradient norm.

    ``sqrt(d**2 + mu**2) - mu`` with ``d = pred - target``, whose gradient norm is ``|d| / sqrt(d**2 + mu**2)``; the
    elements are weighed as those of :class:`GHMC`.

    Shapes and units: ``pred`` and ``target`` of any equal shape and unit, as a rule deltas ``(n, 4)``; weight, also
    as ``label_weight``, ``(n,)`` or of pred's rank with each axis equal to pred's or 1; ``'none'`` keeps the shape,
    each value with its share.

    Statistics: with ``momentum`` as those of :class:`GHMC`.

    Paper: https://arxiv.org/abs/1811.05181. Differs from mmdet: as :class:`GHMC`; also, the mean is over the elements
    that count (over the sum of the weights there, which is the same for weights of 0 and 1).

    Args:
        mu: Where the square turns into a line, in the unit of the inputs; 0.02 as the paper and mmdet.
        bins: Number of bins; 10 as mmdet.
        momentum: Share of the past in the running mean, 0 for none; 0 as mmdet (its config: 0.7).
        loss_weight: Multiplies the loss; default as mmdet (its config: 10).
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet. The mean is over what counts.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import GHMR
        >>> GHMR()(torch.tensor([[0.0, 1, 2, -3]]), torch.tensor([[0.5, 1, 0, 0]]))
        tensor(0.9068)
    """

    function = staticmethod(F.authentic_smooth_l1_loss)
    passes = ("mu",)
    last_edge = 1e3
    paper = "https://arxiv.org/abs/1811.05181"

    mu: float = option(default=0.02, check=more_than(0))
    bins: int = option(default=10, check=whole(1), frozen="statistics of that many bins are kept")
    momentum: float = option(default=0, check=LESS_THAN_1)
    loss_weight: float = 1.0
    reduction: str = "mean"

    def __post_init__(self) -> None:
        self.keep_bins()

    def gradient_norm(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.authentic_smooth_l1_gradient_norm(pred, target, mu=self.mu)
