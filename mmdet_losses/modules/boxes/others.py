"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ..base import Loss, published
from ..inputs import check_boxes, element_weight
from ..options import Shared, check_option
from .family import BoxLoss

WASSERSTEIN_MODES = ("exp", "sqrt", "log", "norm_sqrt", "w2")


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
        eps: Kept for mmdet's configs; quotients are exact here, and 0/0 is 0.
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

    function = staticmethod(F.extended_iou_loss)
    passes = ("smooth_point",)
    paper = "https://ieeexplore.ieee.org/document/9429909"
    bounds = (0.0, 1.95)

    def __init__(
        self,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        smooth_point: float = 0.1,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        check_option("eps", eps, eps >= 0, "0 or more")
        check_option("smooth_point", smooth_point, smooth_point > 0, "more than 0")
        self.eps = eps
        self.smooth_point = smooth_point


@published()
class BoundedIoULoss(Loss):
    """Bounded IoU loss: smooth L1 of four bounds of ``1 - IoU``, one for each of x, y, width and height.

    With ``dx`` the offset of the centres: ``l_x = 1 - max((W - 2 |dx|) / (W + 2 |dx| + eps), 0)`` and
    ``l_w = 1 - min(W / (w + eps), w / (W + eps))``, alike for y and h; then ``l**2 / (2 beta)`` where ``l < beta``,
    else ``l - beta / 2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n, 4)``, and ``'mean'`` without
    ``avg_factor`` divides by ``4 n``. The weight is ``(n,)``, ``(n, 1)`` or ``(n, 4)``, each of four for its own value;
    a row whose four are 0 is deleted. The unit matters for ``eps`` alone: pixels in two-stage heads, RetinaNet (with
    ``reg_decoded_bbox=True``), FCOS and ATSS, strides in GFL, LD and TOOD. Range: [0, 1). At a perfect match
    2.5e-8 for a side of 10, and more for smaller ones, because of ``eps``.

    Paper: https://arxiv.org/abs/1711.00164. Differs from mmdet: a weight ``(n,)`` is one weight per row; see also the
    ledger, general part.

    Args:
        beta: Where the square ends; 0.2 as mmdet.
        eps: Added to the denominators, in the unit of the boxes; 1e-3 as mmdet. With 0 every quotient is exact, and the
            loss 0 at a perfect match.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet (its configs use 10).
        debug: Names the first row with a value that is not finite.

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
    unit = "pixels"
    paper = "https://arxiv.org/abs/1711.00164"
    values = "sides"
    bounds = (0.0, 1.0)
    best = None

    def __init__(
        self,
        beta: float = 0.2,
        eps: float = 1e-3,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        check_option("beta", beta, beta > 0, "more than 0")
        check_option("eps", eps, eps >= 0, "0 or more")
        self.beta = beta
        self.eps = eps

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        check_boxes(pred, target)
        weight = element_weight(weight, pred)
        weight = None if weight is None else weight.expand(pred.shape).reshape(-1, 4)
        return (pred.reshape(-1, 4), target.reshape(-1, 4)), weight

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss.reshape(pred.shape)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        super().check_values(inputs, None if weight is None else weight.abs().amax(-1))


@published("WassersteinLoss")
class NWDLoss(BoxLoss):
    """Normalised Gaussian Wasserstein distance of boxes, for objects so small that they hardly overlap.

    With ``d = sqrt(rho**2 + ((w - W)**2 + (h - H)**2) / 4)``, ``rho`` the distance of the centres, by ``mode``:
    ``'exp'`` ``1 - exp(-d / constant)``, ``'sqrt'`` ``d``, ``'log'`` ``ln(d**2 + 1)``, ``'norm_sqrt'``
    ``1 - 1 / (gamma + d)``, ``'w2'`` ``d**2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n,)``. The boxes and ``constant`` are
    in pixels: RetinaNet, RPN and two-stage heads (with ``reg_decoded_bbox=True``), FCOS and ATSS pass pixels, while
    GFL, LD and TOOD divide boxes by the stride and FCOS with ``norm_on_bbox`` the sizes. Range: [0, 1) for ``'exp'``
    and ``'norm_sqrt'``, without a bound for the others; 0 at a perfect match, with gradient 0.

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
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import NWDLoss
        >>> NWDLoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(0.4244)
    """

    function = staticmethod(F.wasserstein_loss)
    passes = ("mode", "gamma", "constant")
    unit = "pixels"
    paper = "https://arxiv.org/abs/2110.13389"
    scale_invariant = False

    def __init__(
        self,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        mode: str = "exp",
        gamma: float = 1.0,
        constant: float = 12.8,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(reduction, loss_weight, **shared)
        check_option("eps", eps, eps >= 0, "0 or more")
        check_option("mode", mode, mode in WASSERSTEIN_MODES, f"one of {', '.join(map(repr, WASSERSTEIN_MODES))}")
        check_option("gamma", gamma, gamma >= 1, "1 or more")
        check_option("constant", constant, constant > 0, "more than 0")
        self.eps = eps
        self.mode = mode
        self.gamma = gamma
        self.constant = constant


WassersteinLoss = NWDLoss
