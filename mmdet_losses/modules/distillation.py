"""Losses between what a student and a teacher predict."""

from __future__ import annotations

from torch import Tensor

from .. import functional as F
from .base import Loss, published
from .declared import at_least, one_of, option
from .inputs import check_same_shape, row_weight

__all__ = ["KnowledgeDistillationKLDivLoss"]


@published()
class KnowledgeDistillationKLDivLoss(Loss):
    """Knowledge distillation: ``T**2 KL(softmax(t / T) || softmax(p / T))`` of a teacher's logits and a student's.

    Shapes: ``pred`` and ``target`` logits ``(n, bins)``, LD's over the bins of a side's distance; the target is
    detached; weight ``(n,)`` or ``(n, 1)``; ``'none'`` gives ``(n,)``.

    Paper: https://arxiv.org/abs/1503.02531; for detection Localization Distillation, https://arxiv.org/abs/2102.12252.
    Differs from mmdet: in half precision no row is below 0 (42 % of them there in bfloat16), a weight ``(n, 1)`` is one
    weight per row (broadcast to ``(n, n)`` there), and an empty batch is 0 (NaN there).

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (LD uses 0.25).
        T: Temperature, 1 or more; 10 as mmdet and LD.
        bin_reduction: ``'mean'`` divides by the number of bins, as mmdet and the code of LD do; ``'sum'`` is the
            divergence of the papers.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import KnowledgeDistillationKLDivLoss
        >>> student, teacher = torch.tensor([[0.0, 1, 2, -1, 0.5]]), torch.tensor([[0.5, 1.5, 1, -2, 0]])
        >>> KnowledgeDistillationKLDivLoss()(student, teacher)
        tensor(0.0464)
    """

    # Its function computes value and gradient in one pass, so that there is nothing to gain.
    fusible = False
    function = staticmethod(F.knowledge_distillation_kl_div_loss)
    passes = ("T", "bin_reduction")
    slot = "ld"
    tame = True
    paper = "https://arxiv.org/abs/1503.02531"

    reduction: str = "mean"
    loss_weight: float = 1.0
    T: float = option(default=10, check=at_least(1))
    bin_reduction: str = option(default="mean", check=one_of(("mean", "sum")), kw_only=True)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        if pred.ndim != 2:
            raise ValueError(f"pred must have shape (n, bins), got {tuple(pred.shape)}.")
        check_same_shape(pred, target)
        return (pred, target), row_weight(weight, pred.shape[:1])
