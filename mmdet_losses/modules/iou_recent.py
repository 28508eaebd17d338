"""Members of the IoU family published since 2023."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from .. import functional as F
from .base import check_option, published
from .box import IoUTypeLoss, Modifiers
from .iou_modified import BasedIoULoss
from .state import Annealed


@published()
class MPDIoULoss(IoUTypeLoss):
    """MPDIoU loss: ``1 - IoU + d1**2 / D**2 + d2**2 / D**2``, with ``d1, d2`` the distances of the top left and of the
    bottom right corners and ``D`` the diagonal of the image.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``; ``'none'`` gives ``(n,)``. The boxes are in the unit of
    ``img_shape``: RetinaNet, RPN and two-stage heads (with ``reg_decoded_bbox=True``), FCOS and ATSS pass pixels, while
    GFL, LD and TOOD divide boxes by the stride of their level and FCOS with ``norm_on_bbox`` the sizes. Range: [0, 3]
    for boxes in the image, 0 at a perfect match.

    Paper: https://arxiv.org/abs/2307.07662. mmdet does not have it.

    Args:
        img_shape: Height and width that images have in the network, in pixels; (640, 640) as the YOLO ports. With
            images of several sizes, the largest.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import MPDIoULoss
        >>> MPDIoULoss(img_shape=(50, 100))(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.7734)
    """

    terms = staticmethod(F.mpdiou_terms)
    term_options = ("img_shape",)
    terms = staticmethod(F.mpdiou_terms)
    term_options = ("img_shape",)
    paper = "https://arxiv.org/abs/2307.07662"
    unit = "pixels"
    scale_invariant = False

    def __init__(
        self,
        img_shape: tuple[float, float] = (640, 640),
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(eps, reduction, loss_weight, **modifiers)
        sides = isinstance(img_shape, tuple | list) and len(img_shape) == 2 and min(img_shape) > 0
        check_option("img_shape", img_shape, sides, "(height, width), both more than 0")
        self.img_shape = tuple(img_shape)


@published()
class ShapeIoULoss(IoUTypeLoss):
    """Shape-IoU loss: distance and differences of the sides, weighed by the shape of the target.

    ``1 - IoU + (hh dx**2 + ww dy**2) / c**2 + Omega / 2`` with ``ww = 2 W**scale / (W**scale + H**scale)``,
    ``hh = 2 - ww``, ``c`` the diagonal of the enclosing box and
    ``Omega = (1 - exp(-hh |w - W| / max(w, W)))**4 + (1 - exp(-ww |h - H| / max(h, H)))**4``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: [0, 2.16) for
    ``scale=0``, below 3.28 for every scale; 0 at a perfect match.

    Paper: https://arxiv.org/abs/2312.17663. mmdet does not have it.

    Args:
        scale: Depends on the sizes of the objects in a data set; 0, with which all weights are 1, as the authors' code.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import ShapeIoULoss
        >>> ShapeIoULoss(scale=1)(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.8492)
    """

    terms = staticmethod(F.shape_terms)
    term_options = ("scale",)
    terms = staticmethod(F.shape_terms)
    term_options = ("scale",)
    paper = "https://arxiv.org/abs/2312.17663"
    bounds = (0.0, 3 + (1 - math.exp(-2)) ** 4 / 2)
    symmetric = False

    def __init__(
        self,
        scale: float = 0.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(eps, reduction, loss_weight, **modifiers)
        check_option("scale", scale, scale >= 0, "0 or more")
        self.scale = scale


@published()
class PowerfulIoULoss(IoUTypeLoss):
    """Powerful-IoU loss (PIoU): how far the four edges are off, in units of the target.

    ``2 - IoU - exp(-P**2)`` with ``P = ((|x1 - X1| + |x2 - X2|) / W + (|y1 - Y1| + |y2 - Y2|) / H) / 4`` in version 1;
    version 2 multiplies it by ``3 x exp(-x**2)``, ``x = lambd exp(-P)``, which favours boxes of medium quality. The
    same as version 1 with ``focus=dict(type='PowerfulFocus')``.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: [0, 2] in
    version 1, [0, 1.9) in version 2 with the default ``lambd``, below 2.58 with any; 0 at a perfect match.

    Paper: https://www.sciencedirect.com/science/article/pii/S0893608023006640 (Neural Networks, 2024). mmdet does not
    have it. Differs from the authors' code, which lets the gradient through version 2's factor: ``detach=False``.
    Pixels-IoU, also called PIoU, is another loss.

    Args:
        version: 1 or 2; 2 as the paper recommends.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        lambd: Of version 2; 1.3 as the authors' code.
        detach: Whether version 2's factor is a constant for the gradient, as the factors of the other losses are.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import PowerfulIoULoss
        >>> PowerfulIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(1.1744)
    """

    paper = "https://www.sciencedirect.com/science/article/pii/S0893608023006640"
    bounds = (0.0, 6 / math.sqrt(2 * math.e))
    symmetric = False
    terms = staticmethod(F.powerful_terms)

    def __init__(
        self,
        version: int = 2,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        lambd: float = 1.3,
        detach: bool = True,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(eps, reduction, loss_weight, **modifiers)
        check_option("version", version, version in (1, 2), "1 or 2")
        check_option("lambd", lambd, lambd > 0, "more than 0")
        self.version = version
        self.lambd = lambd
        self.detach = detach

    def arguments(self) -> dict[str, Any]:
        focus = F.powerful_multiplier(self.version, self.lambd, self.detach, self.focus)
        return {**super().arguments(), "focus": focus}


SCHEDULES = {
    "linear": lambda progress: 2 - 1.5 * progress,
    "cosine": lambda progress: 1.25 + 0.75 * math.cos(math.pi * progress),
    "fraction": lambda progress: 2 / (1 + 3 * progress),
}
"""Ratios of Unified-IoU from 2 at the beginning to 0.5 at the end of a training."""

FOCALS = (None, "focal", "focal-inv")


@published()
class UnifiedIoULoss(BasedIoULoss, Annealed):
    """Unified-IoU loss (UIoU): the base loss of both boxes scaled about their centres, by a ratio that falls.

    Grown boxes make differences between bad predictions count more, shrunk boxes those between good ones. The ratio is
    ``2 - 1.5 t`` (``'linear'``), ``1.25 + 0.75 cos(pi t)`` (``'cosine'``) or ``2 / (1 + 3 t)`` (``'fraction'``), with
    ``t`` the share of the training that is done: add ``custom_hooks = [dict(type='LossStateHook')]`` to the config
    (``tools/train.py`` does), or call ``set_progress(t)``. The ratio is a buffer that is saved with the model.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Range: that of the
    base, [0, 3) for CIoU; 0 at a perfect match.

    Paper: https://arxiv.org/abs/2408.06636. mmdet does not have it. Differs from the authors' code: the whole training
    takes the place of 300 epochs, and its schedules other than the linear one can be had.

    Args:
        ratio: A ratio that stays; None, one that falls from 2 to 0.5, as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        schedule: How the ratio falls: ``'linear'``, ``'cosine'`` or ``'fraction'``; ``'linear'`` as the authors' code.
        focal: A multiplier, a constant for the gradient: ``'focal'`` is ``1 - IoU**gamma``, ``'focal-inv'``
            ``IoU**gamma``, with the IoU of the scaled boxes; None by default.
        gamma: Power of the multiplier; 0.5.
        base: The loss that is computed, one of ``mmdet_losses.functional.BASES``; ``'ciou'`` as the authors' code.
        eps: See :class:`IoUTypeLoss`.
        **modifiers: ``power``, ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`, all
            of the scaled boxes.

    Example:
        >>> import torch
        >>> from mmdet_losses import UnifiedIoULoss
        >>> pred, target = torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]])
        >>> loss = UnifiedIoULoss()
        >>> loss(pred, target)
        tensor(0.7094)
        >>> loss.set_progress(1.0)
        >>> loss(pred, target)
        tensor(1.1854)
    """

    paper = "https://arxiv.org/abs/2408.06636"
    bounds = (0.0, 4.0)

    def __init__(
        self,
        ratio: float | None = None,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        schedule: str = "linear",
        focal: str | None = None,
        gamma: float = 0.5,
        base: str = "ciou",
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(base, reduction, loss_weight, eps=eps, **modifiers)
        check_option("ratio", ratio, ratio is None or ratio > 0, "None or more than 0")
        check_option("schedule", schedule, schedule in SCHEDULES, f"one of {', '.join(map(repr, SCHEDULES))}")
        check_option("focal", focal, focal in FOCALS, f"one of {', '.join(map(repr, FOCALS))}")
        check_option("gamma", gamma, gamma >= 0, "0 or more")
        self.ratio = ratio
        self.schedule = schedule
        self.focal = focal
        self.gamma = gamma
        if ratio is None:
            self.register_buffer("annealed_ratio", torch.tensor(SCHEDULES[schedule](0.0)))

    def set_progress(self, progress: float) -> None:
        if self.ratio is None:
            self.annealed_ratio.fill_(SCHEDULES[self.schedule](min(max(progress, 0.0), 1.0)))

    @property
    def current_ratio(self) -> float | Tensor:
        """The ratio at this point of the training."""
        return self.annealed_ratio if self.ratio is None else self.ratio

    def observed_pair(self, pred: Tensor, target: Tensor) -> F.BoxPair:
        return super().observed_pair(pred, target).scaled(self.current_ratio)

    def arguments(self) -> dict[str, Any]:
        focus = F.unified_multiplier(self.focal, self.gamma, self.focus)
        return {**super().arguments(), "focus": focus, "ratio": self.current_ratio}
