"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

from torch import Tensor

from .. import functional as F
from .base import check_option, published
from .box import BoxLoss


@published()
class ExtendedIoULoss(BoxLoss):
    """Extended-IoU loss: smooth L1 of ``1 - IoU``, with a signed intersection that goes on where boxes are disjoint.

    With ``l = 1 - I / (A + B - I)`` and ``I`` the intersection, negative for disjoint boxes:
    ``l**2 / (2 smooth_point)`` where ``l < smooth_point``, else ``l - smooth_point / 2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: [0, 2),
    0 at a perfect match.

    Paper: A Systematic IoU-Related Method, https://ieeexplore.ieee.org/document/9429909. mmdet has it under the
    name ``EIoULoss``; see the ledger, general part.

    Args:
        eps: See :class:`IoUTypeLoss`.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        smooth_point: Where the square ends; 0.1 as mmdet.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import ExtendedIoULoss
        >>> ExtendedIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 20, 30, 30]]))
        tensor(1.7000)
    """

    paper = "https://ieeexplore.ieee.org/document/9429909"
    bounds = (0.0, 1.95)

    def __init__(
        self,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        smooth_point: float = 0.1,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight, debug=debug)
        check_option("eps", eps, eps >= 0, "0 or more")
        check_option("smooth_point", smooth_point, smooth_point > 0, "more than 0")
        self.eps = eps
        self.smooth_point = smooth_point

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.extended_iou_loss(pred, target, smooth_point=self.smooth_point)
