"""Losses between what a student and a teacher predict."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .compiling import is_traced
from .dtype import upcast

__all__ = ["knowledge_distillation_kl_div_loss"]


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
    compute = plain_divergence if is_traced() else Divergence.apply
    loss = compute(pred, target, T)
    return T * T * (loss / pred.shape[1] if bin_reduction == "mean" else loss)


def plain_divergence(pred: Tensor, target: Tensor, T: float) -> Tensor:
    """Kullback-Leibler divergence of the prediction from the target, ``(n,)``."""
    log_prob, log_goal = (pred / T).log_softmax(1), (target / T).log_softmax(1)
    change = log_prob - log_goal
    # sum goal * -change = sum goal * (exp(change) - 1 - change), whose parts are not negative and do not cancel; the
    # clamp is for their rounding.
    return (log_goal.exp() * (change.expm1() - change).clamp(min=0)).sum(1)


class Divergence(torch.autograd.Function):
    """:func:`plain_divergence` with its gradient, ``(p - goal) / T``, computed in forward."""

    @staticmethod
    def forward(ctx: Any, pred: Tensor, target: Tensor, T: float) -> Tensor:
        goal = (target / T).log_softmax(1)
        change = (pred / T).log_softmax(1).sub_(goal)
        goal = goal.exp()
        relative = change.expm1()
        loss = (relative - change).clamp_(min=0).mul_(goal).sum(1)
        ctx.temperature = T
        ctx.save_for_backward(pred, target, relative.mul_(goal))
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        pred, target, distance = ctx.saved_tensors
        if torch.is_grad_enabled():
            # create_graph=True: the gradient itself has to be differentiable
            loss = plain_divergence(pred, target, ctx.temperature)
            return torch.autograd.grad(loss, pred, upstream, create_graph=True)[0], None, None
        return distance * (upstream / ctx.temperature).unsqueeze(1), None, None
