"""Losses between what a student and a teacher predict."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtype import upcast

__all__ = ["knowledge_distillation_kl_div_loss"]

NEAR = 0.1


def knowledge_distillation_kl_div_loss(
    pred: Tensor, target: Tensor, *, T: float = 10, bin_reduction: str = "mean"
) -> Tensor:
    """Kullback-Leibler divergence of softened distributions, see :class:`~mmdet_losses.KnowledgeDistillationKLDivLoss`.

    Args:
        pred: Logits of the student, ``(n, bins)``.
        target: Logits of the teacher, ``(n, bins)``; detached.
        T: Temperature.
        bin_reduction: ``'mean'`` over the bins, as MMDetection, or their ``'sum'``.

    Returns:
        Tensor ``(n,)``, float32 (float64 where an input is).
    """
    pred, target = upcast(pred, target.detach())
    log_prob, log_goal = (pred / T).log_softmax(-1), (target / T).log_softmax(-1)
    prob, goal = log_prob.exp(), log_goal.exp()
    change = log_prob - log_goal
    # sum goal * -change = sum goal * (exp(change) - 1 - change), whose parts are not negative and do not cancel.
    near = change.abs() < NEAR
    small = torch.where(near, change, 0.0)
    series: Tensor | float = 0.0
    for factorial in (40320, 5040, 720, 120, 24, 6, 2):
        series = series * small + 1 / factorial
    loss = torch.where(near, goal * series * small.square(), prob - goal - goal * change)
    return T * T * (loss.mean(-1) if bin_reduction == "mean" else loss.sum(-1))
