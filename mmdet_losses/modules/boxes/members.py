"""The members of the IoU family: those with terms of their own."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import functional as F
from ...functional.iou import IOU_MODES
from ..base import published
from ..declared import FLAG, Check, at_least, between, more_than, none_or, one_of, option
from ..facts import fact
from ..options import check_option
from .family import IoUTypeLoss
from .focus import PowerfulFocus
from .image_shape import SIZE, YOLO_SHAPE, check_inside, image_shape

__all__ = [
    "CIoULoss",
    "DIoULoss",
    "EIoULoss",
    "EfficientIoULoss",
    "GIoULoss",
    "IoULoss",
    "MPDIoULoss",
    "PowerfulIoULoss",
    "SIoULoss",
    "ShapeIoULoss",
]

LARGEST_SHAPE = (2.0, (1 - math.exp(-2)) ** 4 / 2)
EQUAL_SHAPE = (1.0, (1 - math.exp(-1)) ** 4)
"""Largest terms of Shape-IoU, with any scale and with scale 0."""

NO_POINT = Check(
    lambda value: value is None,
    "left out, since EIoULoss is Efficient-IoU here (arXiv 2101.08158): write type='ExtendedIoULoss' for Extended-IoU, "
    "which mmdet calls EIoULoss and which has it",
)

NEGATIVE = Check(
    lambda value: FLAG.holds(value) and bool(value),
    "True or left out, since with the other sign the loss falls as boxes move apart",
)


@published()
class IoULoss(IoUTypeLoss):
    """IoU loss: ``-ln(max(IoU, eps))``, ``1 - IoU`` or ``1 - IoU**2``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most 1, in the log
    form -ln eps = 13.8. Disjoint boxes have no gradient.

    Paper: UnitBox, https://arxiv.org/abs/1608.01471. Differs from mmdet: the linear and square forms have no
    floor under the IoU; see also "All losses" in docs/deviations.md.

    Args:
        linear: Deprecated, as in mmdet: the same as ``mode='linear'``.
        eps: Least IoU of the log form, which bounds the loss; 1e-6 as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        mode: ``'log'``, ``'linear'`` or ``'square'``; ``'log'`` as mmdet and the paper.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import IoULoss
        >>> IoULoss(mode="linear")(torch.tensor([[0.0, 0, 10, 8]]), torch.tensor([[0.0, 0, 10, 10]]))
        tensor(0.2000)
    """

    function = staticmethod(F.iou_loss)
    passes = ("mode", "eps", *IoUTypeLoss.passes)
    paper = "https://arxiv.org/abs/1608.01471"
    bounds = fact((0.0, -math.log(1e-6)), lambda loss: (0.0, loss.largest()))

    linear: bool = option(default=False, frozen="it only sets mode")
    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0
    mode: str = option(default="log", check=one_of(IOU_MODES))

    def __post_init__(self) -> None:
        if self.linear:
            warnings.warn("linear=True is deprecated, write mode='linear'.", DeprecationWarning, stacklevel=3)
            self.mode = "linear"

    def check_options(self) -> None:
        super().check_options()
        check_option("eps", self.eps, self.mode != "log" or self.eps > 0, "more than 0 in mode 'log'")

    def largest(self) -> float:
        return (max(0.0, -math.log(self.eps)) if self.mode == "log" else 1.0) * self.largest_focus()


@published()
class GIoULoss(IoUTypeLoss):
    """Generalized IoU loss: ``1 - IoU + (C - U) / C``, with ``C`` the area of the enclosing box, ``U`` the union.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Two equal points cost
    1.

    Paper: https://arxiv.org/abs/1902.09630. Differs from mmdet: see "All losses" in docs/deviations.md. torchvision
    adds its eps to the denominators.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import GIoULoss
        >>> GIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(1.0794)
    """

    paper = "https://arxiv.org/abs/1902.09630"
    term_bounds = (1.0,)
    terms = staticmethod(F.giou_terms)

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class DIoULoss(IoUTypeLoss):
    """Distance-IoU loss: ``1 - IoU + rho**2 / c**2``, with ``rho`` the distance of the centres, ``c`` the diagonal of
    the enclosing box.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``.

    Paper: https://arxiv.org/abs/1911.08287. Differs from mmdet: see "All losses" in docs/deviations.md.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import DIoULoss
        >>> DIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]]))
        tensor(0.9683)
    """

    paper = "https://arxiv.org/abs/1911.08287"
    term_bounds = (1.0,)
    terms = staticmethod(F.diou_terms)

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class CIoULoss(IoUTypeLoss):
    """Complete-IoU loss: DIoU's and the aspect ratio, ``1 - IoU + rho**2 / c**2 + alpha v``.

    ``v = 4 / pi**2 (atan(W / H) - atan(w / h))**2`` and ``alpha = v / (1 - IoU + v)``, detached.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``.

    Papers: https://arxiv.org/abs/1911.08287; with the gate https://arxiv.org/abs/2005.03572. Differs from mmdet:
    mmdet is NaN at a perfect match of ordinary size and sets alpha to 0 where IoU <= 0.5 (here ``alpha_gate=0.5``).
    torchvision has no gate either, and is NaN for a zero box.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        alpha_gate: IoU that has to be exceeded for the aspect term to count; None, the conference paper's form,
            by default, 0.5 is the journal's and mmdet's. Alpha is that of the plain IoU, whatever the modifiers.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import CIoULoss
        >>> CIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.8511)
    """

    paper = "https://arxiv.org/abs/1911.08287"
    term_bounds = (1.0, 1.0)
    terms = staticmethod(F.ciou_terms)
    passes = (*IoUTypeLoss.passes, "alpha_gate")

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0
    alpha_gate: float | None = option(default=None, check=none_or(between(0, 1)), kw_only=True)


@published("EfficientIoULoss")
class EIoULoss(IoUTypeLoss):
    """Efficient-IoU loss: DIoU's and the differences of the sides,
    ``1 - IoU + rho**2 / c**2 + (w - W)**2 / cw**2 + (h - H)**2 / ch**2``, with ``cw, ch`` the enclosing box.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``.

    Paper: Focal-EIoU, https://arxiv.org/abs/2101.08158. Differs from mmdet: mmdet's class of this name is another
    loss, Extended-IoU, here :class:`ExtendedIoULoss`. Also registered as ``EfficientIoULoss``.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        smooth_point: Not an option of this loss: raises, and names :class:`ExtendedIoULoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import EIoULoss
        >>> EIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(1.2745)
    """

    paper = "https://arxiv.org/abs/2101.08158"
    term_bounds = (1.0, 1.0, 1.0)
    terms = staticmethod(F.eiou_terms)

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0
    smooth_point: None = option(default=None, check=NO_POINT)


EfficientIoULoss = EIoULoss


@published()
class SIoULoss(IoUTypeLoss):
    """SCYLLA-IoU loss: ``1 - IoU + (distance + shape) / 2``, the distance weighed by the angle between the centres.

    With centre offsets ``dx, dy``, ``sigma**2 = dx**2 + dy**2`` and ``gamma = 2 - 2 |dx dy| / sigma**2``: distance
    ``2 - exp(-gamma (dx / cw)**2) - exp(-gamma (dy / ch)**2)``; shape ``(1 - exp(-|w - W| / max(w, W)))**4`` and
    alike for the heights.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``.

    Paper: https://arxiv.org/abs/2205.12740. Differs from mmdet: mmdet's default inverts the sign of the exponents,
    so that its loss falls as boxes move apart; its ``neg_gamma=True`` is the paper's form and the only one here. mmdet
    also cuts the loss, and its gradient, at 2.

    Args:
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        neg_gamma: True, the paper's sign; False, mmdet's default, raises.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import SIoULoss
        >>> SIoULoss()(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 20, 30, 30]]))
        tensor(1.3588)
    """

    paper = "https://arxiv.org/abs/2205.12740"
    term_bounds = (1 - math.exp(-2), (1 - math.exp(-1)) ** 4)
    terms = staticmethod(F.siou_terms)

    eps: float = 1e-6
    reduction: str = "mean"
    loss_weight: float = 1.0
    neg_gamma: bool = option(default=True, check=NEGATIVE)


@published()
class MPDIoULoss(IoUTypeLoss):
    """MPDIoU loss: ``1 - IoU + d1**2 / D**2 + d2**2 / D**2``, with ``d1, d2`` the distances of the top left and of the
    bottom right corners and ``D`` the diagonal of the image.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n,)``. The boxes are in the unit of
    ``img_shape``: RetinaNet, RPN and two-stage heads (with ``reg_decoded_bbox=True``), FCOS and ATSS pass pixels, while
    GFL, LD and TOOD divide boxes by the stride of their level and FCOS with ``norm_on_bbox`` the sizes. At most 3 for
    boxes in the image.

    Paper: https://arxiv.org/abs/2307.07662. mmdet does not have it.

    Args:
        img_shape: Height and width that images have in the network, in pixels; (640, 640) as the YOLO ports, with a
            warning where it is not given. With images of several sizes, the largest.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import MPDIoULoss
        >>> MPDIoULoss(img_shape=(50, 100))(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.7734)
    """

    terms = staticmethod(F.mpdiou_terms)
    passes = (*IoUTypeLoss.passes, "img_shape")
    term_bounds = (math.inf, math.inf)
    paper = "https://arxiv.org/abs/2307.07662"
    scale_invariant = False

    img_shape: tuple[float, float] = option(default=YOLO_SHAPE, check=SIZE)
    reduction: str = "mean"
    loss_weight: float = 1.0
    eps: float = option(default=1e-6, kw_only=True)

    def __post_init__(self) -> None:
        self.img_shape = image_shape(self.img_shape, type(self).__name__)

    def check_values(self, inputs: tuple[Any, ...], weight: Any) -> None:
        super().check_values(inputs, weight)
        check_inside(f"{type(self).__name__}: target", inputs[1], self.img_shape, weight)


@published()
class ShapeIoULoss(IoUTypeLoss):
    """Shape-IoU loss: distance and differences of the sides, weighed by the shape of the target.

    ``1 - IoU + (hh dx**2 + ww dy**2) / c**2 + Omega / 2`` with ``ww = 2 W**scale / (W**scale + H**scale)``,
    ``hh = 2 - ww``, ``c`` the diagonal of the enclosing box and
    ``Omega = (1 - exp(-hh |w - W| / max(w, W)))**4 + (1 - exp(-ww |h - H| / max(h, H)))**4``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Below 2.16 for
    ``scale=0``.

    Paper: https://arxiv.org/abs/2312.17663. mmdet does not have it.

    Args:
        scale: Depends on the sizes of the objects in a data set; 0, with which all weights are 1, as the authors' code.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import ShapeIoULoss
        >>> ShapeIoULoss(scale=1)(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.8492)
    """

    terms = staticmethod(F.shape_terms)
    passes = (*IoUTypeLoss.passes, "scale")
    # With scale 0 all weights are 1.
    term_bounds = fact(LARGEST_SHAPE, lambda loss: EQUAL_SHAPE if loss.scale == 0 else LARGEST_SHAPE)
    paper = "https://arxiv.org/abs/2312.17663"

    scale: float = option(default=0.0, check=at_least(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    eps: float = option(default=1e-6, kw_only=True)


@published()
class PowerfulIoULoss(IoUTypeLoss):
    """Powerful-IoU loss (PIoU): how far the four edges are off, in units of the target.

    ``2 - IoU - exp(-P**2)`` with ``P = ((|x1 - X1| + |x2 - X2|) / W + (|y1 - Y1| + |y2 - Y2|) / H) / 4`` in version 1;
    version 2 multiplies it by ``3 x exp(-x**2)``, ``x = lambd exp(-P)``, which favours boxes of medium quality. The
    same as version 1 with ``focus=dict(type='PowerfulFocus')``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most 2 in version
    1, and below 1.9 in version 2 with the default ``lambd``.

    Paper: https://www.sciencedirect.com/science/article/pii/S0893608023006640 (Neural Networks, 2024). mmdet does not
    have it. Differs from the authors' code, which lets the gradient through version 2's factor: ``detach=False``.
    Pixels-IoU, also called PIoU, is another loss.

    Args:
        version: 1 or 2; 2 as the paper recommends.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        lambd: Of version 2; 1.3 as the authors' code.
        detach: Whether version 2's factor is detached, as the factors of the other losses are.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import PowerfulIoULoss
        >>> PowerfulIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(1.1744)
    """

    paper = "https://www.sciencedirect.com/science/article/pii/S0893608023006640"
    term_bounds = (1.0,)
    bounds = fact((0.0, 2 * PowerfulFocus.most), lambda loss: (0.0, loss.largest()))
    terms = staticmethod(F.powerful_terms)

    version: int = option(default=2, check=one_of((1, 2)))
    reduction: str = "mean"
    loss_weight: float = 1.0
    lambd: float = option(default=1.3, check=more_than(0), kw_only=True)
    detach: bool = option(default=True, kw_only=True)
    eps: float = option(default=1e-6, kw_only=True)

    def largest_focus(self) -> float:
        own = PowerfulFocus(self.lambd).bound if self.version == 2 else 1.0
        return own * super().largest_focus()

    def arguments(self) -> dict[str, Any]:
        focus = F.powerful_multiplier(self.version, self.lambd, self.detach, self.focus)
        return {**super().arguments(), "focus": focus}
