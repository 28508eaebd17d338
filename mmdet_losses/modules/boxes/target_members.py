"""Members of the IoU family whose terms tell the target from the prediction."""

from __future__ import annotations

from ... import functional as F
from ..base import published
from ..declared import between, option
from .family import IoUTypeLoss

__all__ = ["InterpIoULoss"]


@published()
class InterpIoULoss(IoUTypeLoss):
    """InterpIoU loss: ``1 - IoU`` of the boxes, and of a box on the way from the prediction to the target.

    ``2 - IoU(p, t) - IoU((1 - alpha) p + alpha t, t)``: boxes that do not touch have a gradient where the box between
    them touches the target.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``.

    Paper: https://arxiv.org/abs/2507.12420. mmdet does not have it. Some code exchanges ``alpha`` and ``1 - alpha``.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        alpha: Share of the target in the box between, from 0 to 1; 0.99 as the authors' code.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import InterpIoULoss
        >>> InterpIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(0.8769)
    """

    paper = "https://arxiv.org/abs/2507.12420"
    term_bounds = (1.0,)
    terms = staticmethod(F.interp_terms)
    passes = (*IoUTypeLoss.passes, "alpha")

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0
    alpha: float = option(default=0.99, check=between(0, 1), kw_only=True)
