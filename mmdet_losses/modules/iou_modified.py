"""Published modifiers of the IoU family under their own names: thin declarations over its slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .. import functional as F
from .base import check_option, published
from .box import IoUTypeLoss
from .focus import IoUFocus
from .iou import EIoULoss

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .box import Modifiers


class BasedIoULoss(IoUTypeLoss):
    """Base of the forms that modify another loss of the family, ``base``, whose terms they take."""

    def __init__(
        self,
        base: str,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        check_option("base", base, base in F.BASES, f"one of {', '.join(map(repr, F.BASES))}")
        super().__init__(eps, reduction, loss_weight, **modifiers)
        self.base = base

    def terms(self, pair: F.BoxPair) -> Sequence[Tensor]:
        """Terms of the base loss."""
        return F.BASES[self.base](pair)


@published()
class AlphaIoULoss(BasedIoULoss):
    """alpha-IoU loss: ``1 - IoU**alpha`` and the base's terms, each to the power ``alpha``.

    The same as the base loss with ``power=alpha``; for CIoU, ``(beta v)**alpha`` with ``beta`` from the plain IoU.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: [0, 1] for
    base ``'iou'``, below 2 for ``'giou'`` and ``'diou'``, below 3 for ``'ciou'``; 0 at a perfect match.

    Paper: https://arxiv.org/abs/2110.13675. mmdet does not have it.

    Args:
        alpha: The power; 3 as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        base: The loss whose terms are taken, one of ``mmdet_losses.functional.BASES``: ``'iou'``, ``'giou'``,
            ``'diou'`` and ``'ciou'`` as the paper, and the others.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import AlphaIoULoss
        >>> AlphaIoULoss(base="giou")(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 20, 30, 30]]))
        tensor(1.4705)
    """

    paper = "https://arxiv.org/abs/2110.13675"
    bounds = (0.0, 3.0)
    fixed = ("power",)

    def __init__(
        self,
        alpha: float = 3.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        base: str = "iou",
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        check_option("alpha", alpha, alpha > 0, "more than 0")
        super().__init__(base, reduction, loss_weight, eps=eps, power=alpha, **modifiers)

    @property
    def alpha(self) -> float:
        """The power, under the paper's name."""
        return self.power


@published()
class FocalEIoULoss(EIoULoss):
    """Focal-EIoU loss: ``IoU**gamma`` times the Efficient-IoU loss, the multiplier a constant for the gradient.

    The same as ``EIoULoss(focus=dict(type='IoUFocus', gamma=gamma))``. Well-fitting boxes count more; disjoint ones
    have neither loss nor gradient.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: [0, 4),
    0 at a perfect match and for disjoint boxes.

    Paper: https://arxiv.org/abs/2101.08158. mmdet does not have it.

    Args:
        gamma: Power of the IoU; 0.5 as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        detach: Whether the multiplier is a constant for the gradient, as in the known implementations.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalEIoULoss
        >>> FocalEIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.6123)
    """

    fixed = ("focus", "smooth_point")

    def __init__(
        self,
        gamma: float = 0.5,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        detach: bool = True,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(eps, reduction, loss_weight, focus=IoUFocus(gamma, detach=detach), **modifiers)
