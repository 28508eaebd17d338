"""Losses of masks."""

from __future__ import annotations

from torch import Tensor

from .. import functional as F
from ..functional.reduce import REDUCTIONS
from .base import Loss, published
from .declared import at_least, option
from .errors import FormError
from .inputs import check_same_shape, row_weight

__all__ = ["DiceLoss"]


@published()
class DiceLoss(Loss):
    """Dice loss: 1 minus the overlap of a soft mask with its target, ``1 - 2 sum(p y) / (sum(p**2) + sum(y**2))``.

    With ``naive_dice=True`` ``1 - 2 sum(p y) / (sum(p) + sum(y))``, whose gradient does not vanish for an empty target.

    Shapes: ``pred`` logits ``(n, *)``, a mask in each row; ``target`` masks in the same shape, floating, integer or
    boolean; weight ``(n,)`` or ``(n, 1)``; ``'none'`` gives ``(n,)``. Because of ``eps``, a perfect mask costs a little
    more than 0; an empty target costs 1 with a gradient of 0, unless ``naive_dice``.

    Papers: V-Net, https://arxiv.org/abs/1606.04797. Differs from mmdet: sums of a large mask do not overflow in half
    precision (loss 1 and gradient 0 there), an empty batch is 0 (NaN there), a target of another shape raises
    (broadcast there), and the positional order is that of every other loss; mmdet's, with the reduction before
    ``avg_factor``, is understood too.

    Args:
        use_sigmoid: True; there is no softmax form, as in mmdet. Heads read this from the config.
        activate: Whether ``pred`` holds logits, of which the loss takes the sigmoid; True as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        naive_dice: Whether the denominator has the first powers, and not the squares; False as mmdet (MaskFormer and
            Mask2Former use True).
        loss_weight: Multiplies the loss; default as mmdet.
        eps: Added to the denominator and, with ``naive_dice``, to the numerator; to both sums of squares without it;
            1e-3 as mmdet (MaskFormer and Mask2Former use 1.0).
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import DiceLoss
        >>> DiceLoss()(torch.tensor([[0.0, 2, -1, 3]]), torch.tensor([[1.0, 1, 0, 0]]))
        tensor(0.3109)
    """

    function = staticmethod(F.dice_loss)
    passes = ("activate", "naive_dice", "eps")
    slot = "mask"
    tame = True
    paper = "https://arxiv.org/abs/1606.04797"
    bounds = (0.0, 1.0)
    best = None

    use_sigmoid: bool = True
    activate: bool = True
    reduction: str = "mean"
    naive_dice: bool = False
    loss_weight: float = 1.0
    eps: float = option(default=1e-3, check=at_least(0))

    def check_options(self) -> None:
        super().check_options()
        if self.activate and not self.use_sigmoid:
            raise FormError(
                "use_sigmoid must be True, since there is no softmax form, got False: write use_sigmoid=True, or "
                "activate=False for pred that holds probabilities."
            )

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`."""
        if isinstance(avg_factor, str) and avg_factor in REDUCTIONS:  # mmdet's order
            avg_factor, reduction_override = reduction_override, avg_factor
        return super().forward(pred, target, weight, avg_factor, reduction_override)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, *), with a mask in each row, got {tuple(pred.shape)}.")
        check_same_shape(pred, target)
        return (pred, target), row_weight(weight, pred.shape[:1])
