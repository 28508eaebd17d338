"""Averaged copies of a model (EMA, SWA): their statistics are those of the model, and no averages.

An average over the training mixes a statistic with the value that it started from: a bin of the gradient histogram that
has just got its first count has a thousandth of it in the average, which weighs its elements a thousandfold. And an
averaged ratio is not the ratio of the averages beside it.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from torch import nn

__all__ = ["copy_statistics"]


def holders(model: nn.Module) -> list[nn.Module]:
    """The modules of a model that keep statistics, in its order."""
    return [module for module in model.modules() if hasattr(type(module), "reset_statistics")]


def kinds(modules: list[nn.Module]) -> list[str]:
    """Names of their classes."""
    return [type(module).__name__ for module in modules]


@torch.no_grad()
def copy_statistics(source: nn.Module, target: nn.Module) -> None:
    """Copy the statistics of the losses of a model to those of a copy of it, whose weights are averages.

    An average of the buffers mixes statistics that do not belong together. MMEngine's averaged models and torch's
    ``AveragedModel`` need no call: with this package their statistics are copied, whether they average buffers or not.
    An average of your own calls it after each update.

    Args:
        source: The model that is trained, or any module that holds the losses.
        target: Its copy.

    Raises:
        ValueError: Where the two do not hold the same losses.

    Example:
        >>> import copy, torch
        >>> from mmdet_losses import SeesawLoss, commit_statistics, copy_statistics
        >>> model = SeesawLoss(num_classes=3)
        >>> averaged = copy.deepcopy(model)
        >>> losses = model(torch.zeros(2, 5, requires_grad=True), torch.tensor([0, 2]))
        >>> commit_statistics(model)
        >>> copy_statistics(model, averaged)
        >>> averaged.cum_samples
        tensor([1., 0., 1., 0.])
    """
    own, copies = holders(source), holders(target)
    if kinds(own) != kinds(copies):
        raise ValueError(
            f"target must hold the losses of source, whose losses with statistics are {kinds(own)}, got "
            f"{kinds(copies)}: pass a copy of the model."
        )
    for one, other in zip(own, copies, strict=True):
        for name, value in one.named_buffers(recurse=False):
            if name in one._non_persistent_buffers_set:  # sums that wait for a commit, of the model alone
                getattr(other, name).zero_()
            else:
                getattr(other, name).copy_(value)


def keep_out_of_averages(averaged: type[nn.Module]) -> None:
    """Let a class of averaged models, with a ``module`` and ``update_parameters(model)``, copy statistics.

    Args:
        averaged: Torch's ``AveragedModel``, or MMEngine's base of them. Its subclasses do the same.
    """
    update = averaged.update_parameters
    if hasattr(update, "copies_statistics"):
        return

    @wraps(update)
    def update_parameters(self: Any, model: nn.Module) -> None:
        update(self, model)
        if kinds(holders(model)) == kinds(holders(self.module)):
            copy_statistics(model, self.module)

    update_parameters.copies_statistics = True
    averaged.update_parameters = update_parameters
