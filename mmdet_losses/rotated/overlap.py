"""The loss of rotated boxes that compares them as they are: their intersection over union."""

from __future__ import annotations

import math
import warnings

from .. import functional as F
from ..modules.base import published
from ..modules.declared import at_least, one_of, option
from ..modules.facts import fact
from ..modules.options import check_option
from .base import RotatedBoxLoss

__all__ = ["RotatedIoULoss"]

MODES = ("linear", "square", "log")


@published()
class RotatedIoULoss(RotatedBoxLoss):
    """Rotated IoU loss: ``-ln(max(IoU, eps))``, ``1 - IoU`` or ``1 - IoU**2``, with the exact IoU of rotated boxes.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, any unit, the angle in radians; ``'none'``
    gives ``(n,)``. At most 1, in the log form -ln eps = 13.8. Exactly 0 at a perfect match. Disjoint boxes, and boxes
    without area, have no gradient.

    Paper: https://arxiv.org/abs/1908.03851. mmdet does not have it. Differs from MMRotate's class of this name: it
    needs no operator of MMCV and runs on every device, the linear and square forms have no floor under the IoU, and
    the gradient of a perfect match is 0.

    Args:
        linear: Deprecated, as in MMRotate: the same as ``mode='linear'``.
        eps: Least IoU of the log form, which bounds the loss; 1e-6 as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as MMRotate.
        loss_weight: Multiplies the loss; default as MMRotate.
        mode: ``'log'``, ``'linear'`` or ``'square'``; ``'log'`` as MMRotate.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import RotatedIoULoss
        >>> pred, target = torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]])
        >>> RotatedIoULoss(mode="linear")(pred, target)
        tensor(0.4704)
    """

    function = staticmethod(F.rotated_iou_loss)
    passes = ("mode", "eps")
    paper = "https://arxiv.org/abs/1908.03851"
    bounds = fact((0.0, -math.log(1e-6)), lambda loss: (0.0, loss.largest()))

    linear: bool = option(default=False, frozen="it only sets mode")
    eps: float = option(default=1e-6, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    mode: str = option(default="log", check=one_of(MODES))

    def __post_init__(self) -> None:
        if self.linear:
            warnings.warn("linear=True is deprecated, write mode='linear'.", DeprecationWarning, stacklevel=3)
            self.mode = "linear"

    def check_options(self) -> None:
        super().check_options()
        check_option("eps", self.eps, self.mode != "log" or self.eps > 0, "more than 0 in mode 'log'")

    def largest(self) -> float:
        """Upper bound of one value."""
        return max(0.0, -math.log(self.eps)) if self.mode == "log" else 1.0
