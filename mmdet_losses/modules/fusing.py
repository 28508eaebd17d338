"""Switches the losses of a model to their kernels."""

from __future__ import annotations

from torch import nn

__all__ = ["fuse_losses"]


def fuse_losses(model: nn.Module, fused: bool = True) -> int:
    """Switch all losses of a model to their compiled kernels, or back.

    Args:
        model: The model, or any module that holds losses of this package.
        fused: What their option is to be.

    Returns:
        How many losses there are that have kernels.

    Example:
        >>> from torch import nn
        >>> from mmdet_losses import CIoULoss, FocalLoss, fuse_losses
        >>> fuse_losses(nn.ModuleList([FocalLoss(), CIoULoss()]))
        2
    """
    losses = [module for module in model.modules() if getattr(module, "fusible", False)]
    for loss in losses:
        loss.fused = fused
    return len(losses)
