"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

import math

from torch import Tensor

from ... import functional as F
from ..base import Loss, published
from ..declared import at_least, more_than, one_of, option
from ..facts import fact
from ..inputs import check_boxes, check_corners, element_weight
from .family import BoxLoss

__all__ = ["BoundedIoULoss", "ExtendedIoULoss", "NWDLoss", "WassersteinLoss"]

WASSERSTEIN_MODES = ("exp", "sqrt", "log", "norm_sqrt", "w2")


def largest_smooth(smooth_point: float) -> float:
    """Smooth L1 of 2, which ``1 - IoU`` reaches with the signed intersection of boxes far apart."""
    return 2 - smooth_point / 2 if smooth_point < 2 else 2 / smooth_point


@published()
class ExtendedIoULoss(BoxLoss):
    """Extended-IoU loss: smooth L1 of ``1 - IoU``, with a signed intersection that goes on where boxes are disjoint.

    With ``l = 1 - I / (A + B - I)`` and ``I`` the intersection, negative for disjoint boxes:
    ``l**2 / (2 smooth_point)`` where ``l < smooth_point``, else ``l - smooth_point / 2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Below 2 with any
    ``smooth_point``.

    Paper: A Systematic IoU-Related Method, https://ieeexplore.ieee.org/document/9429909. mmdet has it under the name
    ``EIoULoss``; see "All losses" in docs/deviations.md.

    Args:
        eps: Kept for mmdet's configs; quotients are exact here, and 0/0 is 0.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        smooth_point: Where the square ends; 0.1 as mmdet.
        debug: Names the first row with a value that is not finite, or a box that ends before it begins.

    Example:
        >>> import torch
        >>> from mmdet_losses import ExtendedIoULoss
        >>> ExtendedIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 20, 30, 30]]))
        tensor(1.7000)
    """

    function = staticmethod(F.extended_iou_loss)
    passes = ("smooth_point",)
    paper = "https://ieeexplore.ieee.org/document/9429909"
    bounds = fact((0.0, 1.95), lambda loss: (0.0, largest_smooth(loss.smooth_point)))

    eps: float = option(default=1e-6, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    smooth_point: float = option(default=0.1, check=more_than(0))


@published()
class BoundedIoULoss(Loss):
    """Bounded IoU loss: smooth L1 of four bounds of ``1 - IoU``, one for each of x, y, width and height.

    With ``dx`` the offset of the centres: ``l_x = 1 - max((W - 2 |dx|) / (W + 2 |dx| + eps), 0)`` and
    ``l_w = 1 - min(W / (w + eps), w / (W + eps))``, alike for y and h; then ``l**2 / (2 beta)`` where ``l < beta``,
    else ``l - beta / 2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n, 4)``, and ``'mean'`` without
    ``avg_factor`` divides by ``4 n``. The weight is ``(n,)``, ``(n, 1)`` or ``(n, 4)``, each of four for its own value;
    a row whose four are 0 is deleted. The unit matters for ``eps`` alone: pixels in two-stage heads, RetinaNet (with
    ``reg_decoded_bbox=True``), FCOS and ATSS, strides in GFL, LD and TOOD. At a perfect match 2.5e-8 for a side of 10,
    and more for smaller ones, because of ``eps``.

    Paper: https://arxiv.org/abs/1711.00164. Differs from mmdet: a weight ``(n,)`` is one weight per row; see also "All
    losses" in docs/deviations.md.

    Args:
        beta: Where the square ends; 0.2 as mmdet.
        eps: Added to the denominators, in the unit of the boxes; 1e-3 as mmdet. With 0 every quotient is exact, and the
            loss 0 at a perfect match.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (its configs use 10).
        debug: Names the first row with a value that is not finite, or a box that ends before it begins.

    Example:
        >>> import torch
        >>> from mmdet_losses import BoundedIoULoss
        >>> BoundedIoULoss(reduction="none")(torch.tensor([[2.0, 3, 9, 11]]), torch.tensor([[1.0, 2, 11, 10]]))
        tensor([[8.2712e-02, 3.0006e-01, 2.0007e-01, 3.9053e-08]])
    """

    function = staticmethod(F.bounded_iou_loss)
    passes = ("beta", "eps")
    slot = "bbox"
    boxes = True
    paper = "https://arxiv.org/abs/1711.00164"
    values = "sides"
    bounds = (0.0, 1.0)
    best = fact(None, lambda loss: 0.0 if loss.eps == 0 else None)
    scale_invariant = fact(False, lambda loss: loss.eps == 0)

    beta: float = option(default=0.2, check=more_than(0))
    eps: float = option(default=1e-3, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        check_boxes(pred, target)
        weight = element_weight(weight, pred)
        weight = None if weight is None else weight.expand(pred.shape).reshape(-1, 4)
        return (pred.reshape(-1, 4), target.reshape(-1, 4)), weight

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss.reshape(pred.shape)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        weight = None if weight is None else weight.abs().amax(-1)
        super().check_values(inputs, weight)
        for name, boxes in zip(("pred", "target"), inputs, strict=True):
            check_corners(f"{type(self).__name__}: {name}", boxes, weight)


@published("WassersteinLoss")
class NWDLoss(BoxLoss):
    """Normalised Gaussian Wasserstein distance of boxes, for objects so small that they hardly overlap.

    With ``d = sqrt(rho**2 + ((w - W)**2 + (h - H)**2) / 4)``, ``rho`` the distance of the centres, by ``mode``:
    ``'exp'`` ``1 - exp(-d / constant)``, ``'sqrt'`` ``d``, ``'log'`` ``ln(d**2 + 1)``, ``'norm_sqrt'``
    ``1 - 1 / (gamma + d)``, ``'w2'`` ``d**2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n,)``. The boxes and ``constant`` are
    in pixels: RetinaNet, RPN and two-stage heads (with ``reg_decoded_bbox=True``), FCOS and ATSS pass pixels, while
    GFL, LD and TOOD divide boxes by the stride and FCOS with ``norm_on_bbox`` the sizes. Below 1 for ``'exp'`` and
    ``'norm_sqrt'``, without a bound for the others; the gradient of a perfect match is 0.

    Paper: https://arxiv.org/abs/2110.13389. mmdet does not have it; its authors' fork calls it ``WassersteinLoss``,
    which is registered too.

    Args:
        eps: Kept for configs of the authors' fork, which adds it under the root; nothing is added here.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        mode: ``'exp'``, ``'sqrt'``, ``'log'``, ``'norm_sqrt'`` or ``'w2'``; ``'exp'`` as the paper.
        gamma: Of ``'norm_sqrt'``, 1 or more; 1, with which a perfect match is 0, as the fork's function
            (its class has 2).
        constant: Of ``'exp'``, in pixels: the mean size of the objects, 12.8 for AI-TOD.
        debug: Names the first row with a value that is not finite, or a box that ends before it begins.

    Example:
        >>> import torch
        >>> from mmdet_losses import NWDLoss
        >>> NWDLoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(0.4244)
    """

    function = staticmethod(F.wasserstein_loss)
    passes = ("mode", "gamma", "constant")
    paper = "https://arxiv.org/abs/2110.13389"
    bounds = fact((0.0, math.inf), lambda loss: (loss.best, 1.0 if loss.mode in ("exp", "norm_sqrt") else math.inf))
    best = fact(0.0, lambda loss: 1 - 1 / loss.gamma if loss.mode == "norm_sqrt" else 0.0)
    scale_invariant = False

    eps: float = option(default=1e-6, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    mode: str = option(default="exp", check=one_of(WASSERSTEIN_MODES))
    gamma: float = option(default=1.0, check=at_least(1))
    constant: float = option(default=12.8, check=more_than(0))


WassersteinLoss = NWDLoss
