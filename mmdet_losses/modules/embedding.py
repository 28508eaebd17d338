"""Losses of embeddings and of the similarities between them, for tracking and re-identification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import functional as F
from .base import Loss, check_floating, published
from .declared import TRUE, at_least, option
from .inputs import as_labels, check_same_shape, element_weight, row_weight

__all__ = [
    "AssociativeEmbeddingLoss",
    "L2Loss",
    "MarginL2Loss",
    "MultiPosCrossEntropyLoss",
    "TripletLoss",
]


class EmbeddingLoss(Loss):
    """Base of losses of embeddings."""

    slot = "embedding"


@published()
class MultiPosCrossEntropyLoss(EmbeddingLoss):
    """Cross-entropy with several positives: ``ln(1 + sum_neg exp(z) sum_pos exp(-z))`` of a row of logits.

    Every positive is compared with every negative; a row without either costs 0.

    Shapes: ``pred`` logits ``(n, c)``, in QDTrack the similarities of a box to all boxes of another frame; ``target``
    ``(n, c)``, 1 or more for positives, 0 for negatives, below 0 ignored; weight ``(n,)`` or ``(n, 1)``; ``'none'``
    gives ``(n,)``.

    Paper: QDTrack, https://arxiv.org/abs/2006.06664. Differs from mmdet: memory is ``n c``, and not ``n c**2``; a
    target below 0 is ignored (a positive and a negative of logit 0 there); an empty batch is 0 (NaN there).

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (QDTrack uses 0.25).
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import MultiPosCrossEntropyLoss
        >>> MultiPosCrossEntropyLoss()(torch.tensor([[1.0, 2, -1]]), torch.tensor([[1, 0, 0]]))
        tensor(1.3490)
    """

    function = staticmethod(F.multi_pos_cross_entropy)
    paper = "https://arxiv.org/abs/2006.06664"

    reduction: str = "mean"
    loss_weight: float = 1.0

    def evaluate(self, pred: Tensor, target: Any, weight: Tensor | None, avg_factor: Any, reduction: str) -> Tensor:
        if isinstance(pred, Tensor) and not pred.is_floating_point():  # as mmdet, whose tests pass integer costs
            pred = pred.float()
        return super().evaluate(pred, target, weight, avg_factor, reduction)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        if pred.ndim != 2:
            raise ValueError(f"pred must have shape (n, c), got {tuple(pred.shape)}.")
        check_same_shape(pred, target)
        return (pred, target), row_weight(weight, pred.shape[:1])


class SampledLoss(EmbeddingLoss):
    """Base of losses that count for themselves: the mean is over what takes part, whatever ``avg_factor`` says."""

    fusible = False

    def evaluate_aligned(
        self, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
    ) -> Tensor:
        weight = self.sampled(inputs, weight)
        if reduction == "mean":
            avg_factor = None if weight is None else (weight != 0).sum()
        return super().evaluate_aligned(inputs, weight, avg_factor, reduction)

    def sampled(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> Tensor | None:
        """The weight, 0 for what does not take part."""
        return weight


@published()
class MarginL2Loss(SampledLoss):
    """Squared difference of similarities with margins, ``(clamp(p - margin, 0, 1) - y)**2``, over sampled negatives.

    With ``neg_pos_ub`` above 0 at most that many negatives (target 0) per positive (target 1) take part: those of the
    largest loss with ``hard_mining``, else random ones. The mean is over what takes part.

    Shapes: ``pred`` similarities of any shape, in QDTrack cosines ``(n, c)``; ``target`` in that shape, 1 for positives
    and 0 for negatives; weight ``(n,)`` or of pred's rank with each axis equal to pred's or 1; ``'none'`` gives pred's
    shape, 0 for what does not take part.

    Paper: QDTrack, https://arxiv.org/abs/2006.06664. Differs from mmdet: the caller's target and prediction are left as
    they are (both are written to there, which is an error for a prediction that is a leaf), ``'sum'`` works (an error
    there), and random negatives are drawn by torch, so that they follow its seed.

    Args:
        neg_pos_ub: Most negatives per positive; -1 as mmdet takes all (QDTrack uses 3).
        pos_margin: Subtracted from the prediction of positives where it is above 0; -1 as mmdet.
        neg_margin: The same for negatives; -1 as mmdet (QDTrack uses 0.1).
        hard_mining: Whether the negatives of the largest loss are taken; False as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import MarginL2Loss
        >>> loss = MarginL2Loss(neg_pos_ub=1, neg_margin=0.1, hard_mining=True)
        >>> loss(torch.tensor([[0.8, 0.6, 0.2]]), torch.tensor([[1, 0, 0]]))
        tensor(0.1450)
    """

    function = staticmethod(F.margin_l2_loss)
    passes = ("pos_margin", "neg_margin")
    tame = True
    paper = "https://arxiv.org/abs/2006.06664"

    neg_pos_ub: int = -1
    pos_margin: float = -1
    neg_margin: float = -1
    hard_mining: bool = False
    reduction: str = "mean"
    loss_weight: float = 1.0

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        check_same_shape(pred, target)
        weight = element_weight(weight, pred)
        return (pred, target), None if weight is None else weight.expand(pred.shape)

    def sampled(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> Tensor | None:
        if self.neg_pos_ub <= 0:
            return weight
        pred, target = inputs
        counts = torch.ones_like(pred, dtype=torch.bool) if weight is None else weight != 0
        negative = counts & (target == 0)
        most = self.neg_pos_ub * (counts & (target == 1)).sum()
        with torch.no_grad():
            cost = torch.where(negative, self.unreduced(pred, target), 0) if self.hard_mining else torch.rand_like(pred)
            # By rank and not by topk, whose number the device would have to be waited for.
            order = torch.where(negative, cost, -1).flatten().argsort(descending=True, stable=True)
            rank = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
        taken = ~negative | (rank.reshape(pred.shape) < most)
        return taken.to(pred.dtype) if weight is None else torch.where(taken, weight, 0)


@published()
class L2Loss(MarginL2Loss):
    """Squared difference with margins and sampled negatives: the loss of :class:`MarginL2Loss` under another name.

    Shapes, weights, options and differences from mmdet: those of :class:`MarginL2Loss`.

    Paper: QDTrack, https://arxiv.org/abs/2006.06664.

    Args:
        neg_pos_ub: Most negatives per positive; -1 as mmdet takes all.
        pos_margin: Subtracted from the prediction of positives where it is above 0; -1 as mmdet.
        neg_margin: The same for negatives; -1 as mmdet.
        hard_mining: Whether the negatives of the largest loss are taken; False as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import L2Loss
        >>> L2Loss()(torch.tensor([[0.8, 0.6, 0.2]]), torch.tensor([[1, 0, 0]]))
        tensor(0.1467)
    """

    neg_pos_ub: int = -1
    pos_margin: float = -1
    neg_margin: float = -1
    hard_mining: bool = False
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class TripletLoss(SampledLoss):
    """Batch-hard triplet loss: ``max(d_p - d_n + margin, 0)`` of each embedding.

    ``d_p`` is the distance to the farthest embedding of the same identity, itself included, and ``d_n`` that to the
    nearest of another. An embedding without another identity costs 0; a row of weight 0 is in no triplet.

    Shapes: ``pred`` embeddings ``(n, d)``; ``target`` identities ``(n,)``; weight ``(n,)`` or ``(n, 1)``; ``'none'``
    gives ``(n,)``. The mean is over the rows of weight other than 0, whatever ``avg_factor`` says.

    Paper: In Defense of the Triplet Loss, https://arxiv.org/abs/1703.07737. Differs from mmdet: a batch of one identity
    is 0 (an error there), half precision is finite (NaN there), and distances are exact, also near 0.

    Args:
        margin: How much nearer the same identity is to be; 0.3 as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        hard_mining: True; mmdet has no other form.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; ``'mean'`` as mmdet, which has no other.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import TripletLoss
        >>> TripletLoss()(torch.tensor([[0.0, 0], [3, 4], [0, 1]]), torch.tensor([1, 1, 2]))
        tensor(1.7858)
    """

    function = staticmethod(F.triplet_loss)
    passes = ("margin",)
    paper = "https://arxiv.org/abs/1703.07737"

    margin: float = option(default=0.3, check=at_least(0))
    loss_weight: float = 1.0
    hard_mining: bool = option(default=True, check=TRUE)
    reduction: str = option(default="mean", kw_only=True)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim != 2:
            raise ValueError(f"pred must have shape (n, d), got {tuple(pred.shape)}.")
        # Identities are compared alone, so that floating ones will do, as in mmdet.
        as_labels("target", target.long() if isinstance(target, Tensor) else target, pred.shape[:1])
        weight = row_weight(weight, pred.shape[:1])
        # Rows of weight 0 reach the function deleted, or as zeros, which are then False.
        return (pred, target, torch.ones_like(target, dtype=torch.bool)), weight


@published()
class AssociativeEmbeddingLoss(EmbeddingLoss):
    """Associative embedding: pulls the two corners of an object together, and pushes objects of an image apart.

    With ``m`` the mean of the two embeddings of an object: pull is ``mean(|tl - m|**2 + |br - m|**2)`` over the ``n``
    objects of an image, push ``sum max(1 - |m_i - m_j|, 0) / (n (n - 1))`` over pairs of them, with the sum over
    channels as the distance; both are summed over images, which is 0 for one without objects.

    Shapes: ``pred`` and ``target`` embedding maps of top left and of bottom right corners, ``(B, channels, H, W)``; as
    third argument, for each image, a list of ``[[top, left], [bottom, right]]`` of each object, in cells. Returns
    ``(pull, push)``, as CornerHead unpacks them.

    Paper: https://arxiv.org/abs/1611.05424; CornerNet, https://arxiv.org/abs/1808.01244. Differs from mmdet: of
    embeddings with several channels, each object is one (each channel is an object of its own there).

    Args:
        pull_weight: Multiplies the pull; 0.25 as mmdet.
        push_weight: Multiplies the push; 0.25 as mmdet.
        loss_weight: Multiplies both; mmdet has no such option.

    Example:
        >>> import torch
        >>> from mmdet_losses import AssociativeEmbeddingLoss
        >>> top_left, bottom_right = torch.tensor([[[[1.0, 0.5]]]]), torch.tensor([[[[0.6, 0.1]]]])
        >>> objects = [[[[0, 0], [0, 0]], [[0, 1], [0, 1]]]]
        >>> AssociativeEmbeddingLoss()(top_left, bottom_right, objects)
        (tensor(0.0200), tensor(0.1250))
    """

    fusible = False
    fixed = ("reduction", "debug")
    paper = "https://arxiv.org/abs/1611.05424"

    pull_weight: float = option(default=0.25, check=at_least(0))
    push_weight: float = option(default=0.25, check=at_least(0))
    loss_weight: float = option(default=1.0, kw_only=True)

    def forward(self, pred: Tensor, target: Tensor, match: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """``(pull, push)`` of a batch.

        Args:
            pred: Embeddings of top left corners, ``(B, channels, H, W)``.
            target: Embeddings of bottom right corners, in the same shape.
            match: For each image the cells of each object, ``[[top, left], [bottom, right]]``.
        """
        check_floating("pred", pred)
        check_same_shape(pred, target)
        if pred.ndim != 4:
            raise ValueError(f"pred must have shape (B, channels, H, W), got {tuple(pred.shape)}.")
        if len(match) != len(pred):
            raise ValueError(f"match must have a list of objects for each of {len(pred)} images, got {len(match)}.")
        parts = [self.of_image(*image) for image in zip(pred, target, match, strict=True)]
        pull, push = (torch.stack(part).sum() for part in zip(*parts, strict=True))
        return self.loss_weight * self.pull_weight * pull, self.loss_weight * self.push_weight * push

    def of_image(self, top_left: Tensor, bottom_right: Tensor, objects: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Pull and push of the objects of an image."""
        cells = torch.as_tensor(objects, dtype=torch.int64).reshape(-1, 2, 2).to(top_left.device)
        corners = zip((top_left, bottom_right), cells.unbind(1), strict=True)
        return F.associative_embedding_loss(*(maps[:, cell[:, 0], cell[:, 1]].t() for maps, cell in corners))
