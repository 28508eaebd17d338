"""The focal loss of heat maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import functional as F
from ...functional.reduce import may_select
from ..base import check_floating, published
from ..declared import TRUE, at_least, option
from ..inputs import check_rows
from .base import FocalForm

__all__ = ["GaussianFocalLoss"]

CONTRACT_ORDER = ("weight", "avg_factor", "reduction_override", "pos_inds", "pos_labels")

MMDET_ORDER = ("pos_inds", "pos_labels", "weight", "avg_factor", "reduction_override")


def holds_indices(argument: Any) -> bool:
    """Whether an argument is a tensor of indices."""
    integer = isinstance(argument, Tensor) and not argument.is_floating_point() and argument.dtype != torch.bool
    return integer and argument.ndim == 1


@published()
class GaussianFocalLoss(FocalForm):
    """Focal loss of a Gaussian heat map: ``-(1 - p)**alpha ln p`` at its peaks, elsewhere negatives by distance.

    A peak is where the target is exactly 1, or what ``pos_inds`` and ``pos_labels`` name; every other place costs
    ``-(1 - y)**gamma p**alpha ln(1 - p)``, which is little near a peak.

    Shapes: ``pred`` **probabilities** of any shape, CenterNet's ``(b, c, h, w)``, between 0 and 1; ``target`` the heat
    map in that shape, or labels with one axis less; weight ``(n,)`` per row of the first axis, of pred's rank with each
    axis equal to pred's or 1, or flattened; ``'none'`` gives pred's shape. What a match costs depends on the heat map,
    and is 0 where that is 0 or 1 everywhere. A peak that is rounded or resampled to less than 1 is lost.

    Paper: CornerNet, https://arxiv.org/abs/1808.01244. Differs from mmdet: with ``pos_inds`` the weight counts, the
    mean without ``avg_factor`` divides by all elements, and ``'none'`` has pred's shape; half precision is finite;
    see also docs/deviations.md.

    Args:
        alpha: Power of the error; 2.0 as the paper and mmdet.
        gamma: Power of the target's distance from 1; 4.0 as the paper and mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        pos_weight: Weight of the positives; default as mmdet (CenterNet2's head uses 0.25).
        neg_weight: Weight of the negatives; default as mmdet (CenterNet2's head uses 0.75).
        use_sigmoid: True; there is no softmax form. Accepted for heads that read it from the config.
        activated: Whether ``pred`` holds probabilities, as heads of heat maps pass; False for logits, which all others
            pass, with labels.
        debug: Names the first row with a value outside ``[0, 1]``.

    Example:
        >>> import torch
        >>> from mmdet_losses import GaussianFocalLoss
        >>> GaussianFocalLoss(reduction="sum")(torch.tensor([[0.9, 0.3, 0.6]]), torch.tensor([[1.0, 0.5, 0]]))
        tensor(0.3329)
    """

    function = staticmethod(F.gaussian_focal_loss)
    passes = ("alpha", "gamma", "pos_weight", "neg_weight", "activated")
    paper = "https://arxiv.org/abs/1808.01244"
    best = None

    alpha: float = option(default=2.0, check=at_least(0))
    gamma: float = option(default=4.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    pos_weight: float = option(default=1.0, check=at_least(0))
    neg_weight: float = option(default=1.0, check=at_least(0))
    use_sigmoid: bool = option(default=True, check=TRUE, kw_only=True)
    activated: bool = option(default=True, kw_only=True)

    def forward(self, pred: Tensor, target: Tensor, *args: Any, **call: Any) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`.

        Args:
            pred: Probabilities.
            target: Heat map.
            *args: ``weight, avg_factor, reduction_override, pos_inds, pos_labels``; or, where indices come first or
                the names that are given leave no other reading, in mmdet's order
                ``pos_inds, pos_labels, weight, avg_factor, reduction_override``.
            **call: The same by name. ``pos_inds`` are the rows ``(m,)`` of the positives in a prediction ``(n, c)``
                and ``pos_labels`` their classes ``(m,)``; what the heat map holds there counts as negative, too.
        """
        order = CONTRACT_ORDER
        first, second, third = (*args, None, None, None)[:3]
        indices = holds_indices(first) and (holds_indices(second) or "pos_labels" in call)
        if indices or isinstance(third, Tensor) or len(args) > 3 or set(order[: len(args)]) & set(call):
            order = MMDET_ORDER
        if unknown := set(call) - set(order):
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(sorted(unknown))}.")
        if len(args) > len(order) or set(order[: len(args)]) & set(call):
            raise TypeError(f"{type(self).__name__} got an argument twice: it takes pred, target, {', '.join(order)}.")
        named = dict(zip(order[: len(args)], args, strict=True))
        return self.evaluate_peaks(pred, target, **named, **call)

    def evaluate_peaks(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        pos_inds: Tensor | None = None,
        pos_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss, with its arguments named."""
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        check_floating("pred", pred)
        inputs, weight = self.align(pred, target, weight)
        if pos_inds is not None or pos_labels is not None:
            inputs = (*inputs, peaks_at(pred, pos_inds, pos_labels))
        return self.evaluate_aligned(inputs, weight, avg_factor, reduction)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, weight)
        pred, target = inputs[:2]
        checked = {"pred": pred} if self.activated else {}
        checked |= {"target": target} if target.ndim == pred.ndim else {}
        for name, tensor in checked.items():
            good = (tensor >= 0) & (tensor <= 1)
            check_rows(f"{type(self).__name__}: {name}", tensor, good, weight, "values from 0 to 1")


def peaks_at(pred: Tensor, rows: Any, labels: Any) -> Tensor:
    """How often each place of ``pred`` ``(n, c)`` is named by rows and labels ``(m,)``."""
    if pred.ndim != 2:
        raise ValueError(f"pred must have shape (n, c) where pos_inds is given, got {tuple(pred.shape)}.")
    for name, indices, size in (("pos_inds", rows, pred.shape[0]), ("pos_labels", labels, pred.shape[1])):
        if not holds_indices(indices):
            came = f"{indices.dtype} {tuple(indices.shape)}" if isinstance(indices, Tensor) else type(indices).__name__
            raise ValueError(f"{name} must hold integers (m,), as pos_inds and pos_labels go together, got {came}.")
        if indices.shape != rows.shape:
            raise ValueError(f"{name} must have the shape of pos_inds, {tuple(rows.shape)}, got {tuple(labels.shape)}.")
        if may_select(indices):
            check_rows(name, indices, (indices >= 0) & (indices < size), None, f"indices from 0 to {size - 1}")
    ones = torch.ones(rows.shape, device=pred.device)
    return torch.zeros(pred.shape, device=pred.device).index_put((rows.long(), labels.long()), ones, accumulate=True)
