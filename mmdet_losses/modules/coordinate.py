"""Losses of coordinates, one value per element."""

from __future__ import annotations

from torch import Tensor

from .. import functional as F
from .base import Loss, published
from .declared import at_least, more_than, option
from .inputs import check_same_shape, element_weight

__all__ = ["BalancedL1Loss", "CoordinateLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]


class CoordinateLoss(Loss):
    """Base of losses that compare coordinates element by element."""

    slot = "bbox"
    symmetric = True
    tame = True

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        check_same_shape(pred, target)
        return (pred, target), element_weight(weight, pred)


@published()
class L1Loss(CoordinateLoss):
    """Absolute difference: ``|pred - target|``.

    Shapes and units: ``pred`` and ``target`` of any equal shape and unit, as a rule deltas ``(n, 4)``;
    reduction ``'none'`` keeps the shape. Differs from mmdet: see "All losses" in docs/deviations.md.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import L1Loss
        >>> L1Loss()(torch.tensor([[0.0, 1, 2, -3]]), torch.tensor([[0.5, 1, 0, 0]]))
        tensor(1.3750)
    """

    function = staticmethod(F.l1_loss)

    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class MSELoss(CoordinateLoss):
    """Squared difference: ``(pred - target)**2``, without a factor 1/2.

    Shapes and units: ``pred`` and ``target`` of any equal shape and unit; reduction ``'none'`` keeps the shape.
    Differs from mmdet: see "All losses" in docs/deviations.md.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import MSELoss
        >>> MSELoss(reduction="sum")(torch.tensor([[0.0, 1, 2, -3]]), torch.tensor([[0.5, 1, 0, 0]]))
        tensor(13.2500)
    """

    function = staticmethod(F.mse_loss)

    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class SmoothL1Loss(CoordinateLoss):
    """Smooth L1: ``0.5 d**2 / beta`` where ``d = |pred - target| < beta``, else ``d - 0.5 beta``.

    The slope of the linear part is 1 for every ``beta``, so this is not Huber's loss (which is ``beta`` times
    it). ``beta=0`` is L1. Shapes and units: ``pred`` and ``target`` of any equal shape and unit, as a rule deltas
    ``(n, 4)``; reduction ``'none'`` keeps the shape.

    Paper: Fast R-CNN, https://arxiv.org/abs/1504.08083. Differs from mmdet: ``beta=0`` is allowed; otherwise see "All
    losses" in docs/deviations.md. The registered class is also an instance of mmdet's, as ``DynamicRoIHead`` asks,
    which reads and sets ``beta``.

    Args:
        beta: Where the square ends and the line begins, in the unit of the inputs; 1.0 as mmdet (mmdet's RPN
            uses 1/9).
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import SmoothL1Loss
        >>> SmoothL1Loss(reduction="sum")(torch.tensor([[0.0, 1, 2, -3]]), torch.tensor([[0.5, 1, 0, 0]]))
        tensor(4.1250)
    """

    function = staticmethod(F.smooth_l1_loss)
    passes = ("beta",)
    paper = "https://arxiv.org/abs/1504.08083"

    beta: float = option(default=1.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class BalancedL1Loss(CoordinateLoss):
    """Balanced L1: smooth L1 whose gradient is promoted for inliers.

    With ``d = |pred - target|`` and ``b = (exp(gamma / alpha) - 1) / beta``: ``alpha / b (b d + 1) ln(b d + 1) -
    alpha d`` where ``d < beta``, else the line of slope ``gamma`` that continues it. Shapes and units: ``pred``
    and ``target`` of any equal shape and unit, as a rule deltas ``(n, 4)``; reduction ``'none'`` keeps the shape.

    Paper: Libra R-CNN, https://arxiv.org/abs/1904.02701. Differs from mmdet: for ``beta`` other than 1 mmdet's
    slope jumps at ``beta`` and is not 0 at a perfect match; here both are as for ``beta=1``.

    Args:
        alpha: Slope of the inliers; 0.5 as the paper and mmdet.
        gamma: Slope of the outliers; 1.5 as the paper and mmdet.
        beta: Where outliers begin, in the unit of the inputs; 1.0 as mmdet (mmdet's Libra RetinaNet: 0.11).
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import BalancedL1Loss
        >>> BalancedL1Loss(reduction="sum")(torch.tensor([[0.0, 1, 2, -3]]), torch.tensor([[0.5, 1, 0, 0]]))
        tensor(7.0578)
    """

    function = staticmethod(F.balanced_l1_loss)
    passes = ("alpha", "gamma", "beta")
    paper = "https://arxiv.org/abs/1904.02701"

    alpha: float = option(default=0.5, check=more_than(0))
    gamma: float = option(default=1.5, check=more_than(0))
    beta: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
