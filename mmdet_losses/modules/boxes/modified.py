"""Published modifiers of the IoU family under their own names: each sets a slot of another member."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ...functional.compiling import is_compiling
from ...functional.iou import Terms
from ...functional.modified_iou import FOCALS
from ..base import CATALOGUE, published
from ..declared import at_least, declared, more_than, none_or, one_of, option
from ..facts import fact
from ..state import Annealed
from .family import IoUTypeLoss, Modifiers
from .focus import IoUFocus, WiseFocus, of_focus
from .members import EIoULoss

__all__ = ["AlphaIoULoss", "FocalEIoULoss", "FocalerIoULoss", "InnerIoULoss", "UnifiedIoULoss", "WIoULoss"]

MEMBERS = [cls for cls in CATALOGUE.values() if issubclass(cls, IoUTypeLoss)]
BOUNDS_OF_BASES = {cls.terms: cls().term_bounds for cls in MEMBERS if cls.terms in F.BASES.values()}
"""Largest values of the terms that :class:`BasedIoULoss` may take."""

OVER_BASES = fact((0.0, 1 + max(map(sum, BOUNDS_OF_BASES.values()))), lambda loss: (0.0, loss.largest()))


@declared
class BasedIoULoss(IoUTypeLoss):
    """Base of the forms that modify another loss of the family, ``base``, whose terms they take."""

    @property
    def terms(self) -> Terms:
        """Terms of the base loss."""
        return F.BASES[self.base]

    @property
    def term_bounds(self) -> tuple[float, ...]:
        """Those of the base loss."""
        return BOUNDS_OF_BASES[self.terms]

    base: str = option(default="iou", check=one_of(F.BASES), kw_only=True)
    eps: float = option(default=1e-6, kw_only=True)


@published()
class AlphaIoULoss(BasedIoULoss):
    """alpha-IoU loss: ``1 - IoU**alpha`` and the base's terms, each to the power ``alpha``.

    The same as the base loss with ``power=alpha``; for CIoU, ``(beta v)**alpha`` with ``beta`` from the plain IoU.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most 1 for base
    ``'iou'``, below 2 for ``'giou'`` and ``'diou'`` and below 3 for ``'ciou'``.

    Paper: https://arxiv.org/abs/2110.13675. mmdet does not have it.

    Args:
        alpha: The power; 3 as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        base: The loss whose terms are taken, one of ``mmdet_losses.functional.BASES``: ``'iou'``, ``'giou'``,
            ``'diou'`` and ``'ciou'`` as the paper, and the others.
        **modifiers: ``inner_ratio``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import AlphaIoULoss
        >>> AlphaIoULoss(base="giou")(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[20.0, 20, 30, 30]]))
        tensor(1.4705)
    """

    paper = "https://arxiv.org/abs/2110.13675"
    bounds = OVER_BASES
    power: float = option(default=3.0, check=more_than(0), alias="alpha")
    reduction: str = "mean"
    loss_weight: float = 1.0

    @property
    def alpha(self) -> float:
        """The power, under the paper's name."""
        return self.power

    @alpha.setter
    def alpha(self, value: float) -> None:
        self.power = value


@published()
class InnerIoULoss(BasedIoULoss):
    """Inner-IoU loss: the base loss with the IoU of both boxes shrunk, or grown, about their centres.

    The same as the base loss with ``inner_ratio=ratio``: the base's terms, and CIoU's alpha, are those of the boxes as
    they are. A ratio below 1 is for boxes that fit well already, one above 1 for boxes that fit badly.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most 1 for base
    ``'iou'``, and what the base is for the others.

    Paper: https://arxiv.org/abs/2311.02877. mmdet does not have it.

    Args:
        ratio: Ratio of the sides, from 0.5 to 1.5 in the paper; 0.7, where the authors' code has 1, which is the base
            loss itself.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        base: The loss whose terms are taken, one of ``mmdet_losses.functional.BASES``.
        **modifiers: ``power``, ``focaler``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import InnerIoULoss
        >>> InnerIoULoss(ratio=0.7)(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.8800)
    """

    paper = "https://arxiv.org/abs/2311.02877"
    bounds = OVER_BASES
    inner_ratio: float = option(default=0.7, check=more_than(0), alias="ratio")
    reduction: str = "mean"
    loss_weight: float = 1.0

    @property
    def ratio(self) -> float:
        """The ratio, under the paper's name."""
        return self.inner_ratio

    @ratio.setter
    def ratio(self, value: float) -> None:
        self.inner_ratio = value


@published()
class FocalerIoULoss(BasedIoULoss):
    """Focaler-IoU loss: the base loss with the IoU mapped from the interval ``[d, u]`` to [0, 1].

    The same as the base loss with ``focaler=(d, u)``: ``clamp((IoU - d) / (u - d), 0, 1)`` stands for the IoU, so that
    boxes outside of the interval have no gradient from it. Intervals near 1 are for easy, near 0 for hard boxes.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most 1 for base
    ``'iou'``, and what the base is for the others.

    Paper: https://arxiv.org/abs/2401.10525. mmdet does not have it.

    Args:
        d: Lower end of the interval; 0 as the authors' code.
        u: Upper end; 0.95 as the authors' code.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        base: The loss whose terms are taken, one of ``mmdet_losses.functional.BASES``.
        **modifiers: ``power``, ``inner_ratio``, ``focus`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalerIoULoss
        >>> FocalerIoULoss()(torch.tensor([[0.0, 0, 10, 8]]), torch.tensor([[0.0, 0, 10, 10]]))
        tensor(0.1579)
    """

    paper = "https://arxiv.org/abs/2401.10525"
    bounds = OVER_BASES
    fixed = ("focaler",)

    def __init__(
        self,
        d: float = 0.0,
        u: float = 0.95,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        base: str = "iou",
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        super().__init__(reduction=reduction, loss_weight=loss_weight, base=base, eps=eps, focaler=(d, u), **modifiers)

    @property
    def d(self) -> float:
        """Lower end of the interval."""
        return self.focaler[0]

    @d.setter
    def d(self, value: float) -> None:
        self.focaler = (value, self.u)

    @property
    def u(self) -> float:
        """Upper end of the interval."""
        return self.focaler[1]

    @u.setter
    def u(self, value: float) -> None:
        self.focaler = (self.d, value)


@published()
class WIoULoss(IoUTypeLoss):
    """Wise-IoU loss: ``1 - IoU`` times a factor that looks at the distance of the centres and at ordinary quality.

    ``R (1 - IoU)`` in version 1, ``b**gamma R (1 - IoU)`` in version 2, ``b / (delta alpha**(b - delta)) R (1 - IoU)``
    in version 3, with ``R = exp(rho**2 / c**2)``, ``rho`` the distance of the centres, ``c`` the diagonal of the
    enclosing box, ``b = (1 - IoU) / mean``, and ``mean`` a running mean of ``1 - IoU``; ``c`` and the factor of ``b``
    are detached. The same as ``IoULoss(mode='linear', focus=dict(type='WiseFocus', ...))``.

    Versions 2 and 3 keep a statistic. It is gathered over all calls and processes of an iteration and used from the
    next one on; only a training loop of one's own in several processes has to call
    ``mmdet_losses.commit_statistics(model)`` for that. Scoring calls (``eval()``, no gradient,
    ``reduction_override='none'``) leave it alone, and rows of weight 0 do not count.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. Below e in version 1,
    and below 3.6 in version 3 with the default options; without a bound in version 2, as the mean falls.

    Paper: https://arxiv.org/abs/2301.10051. mmdet does not have it. Differs from the authors' code: there the mean is a
    number of the process, moves at every call, and before it is used; see docs/deviations.md.

    Args:
        version: See :class:`WiseFocus`, as the next four.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        alpha: Of version 3; 1.9 as the paper.
        delta: Of version 3; 3 as the paper.
        gamma: Of version 2; 0.5 as the authors' code.
        momentum: Of the running mean; 0.01 as the authors' later code.
        **modifiers: ``power``, ``inner_ratio``, ``focaler`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import WIoULoss
        >>> WIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.8748)
    """

    paper = "https://arxiv.org/abs/2301.10051"
    bounds = fact((0.0, math.inf), lambda loss: (0.0, loss.largest()))
    fixed = ("focus",)
    version, alpha, delta, gamma, momentum = map(of_focus, ("version", "alpha", "delta", "gamma", "momentum"))

    def __init__(
        self,
        version: int = 3,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        *,
        alpha: float = 1.9,
        delta: float = 3.0,
        gamma: float = 0.5,
        momentum: float = 0.01,
        eps: float = 1e-6,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        focus = WiseFocus(version, alpha=alpha, delta=delta, gamma=gamma, momentum=momentum)
        super().__init__(eps, reduction, loss_weight, focus=focus, **modifiers)


@published()
class FocalEIoULoss(EIoULoss):
    """Focal-EIoU loss: ``IoU**gamma`` times the Efficient-IoU loss, the multiplier detached.

    The same as ``EIoULoss(focus=dict(type='IoUFocus', gamma=gamma))``. Well-fitting boxes count more; disjoint ones
    have neither loss nor gradient.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. 0 for disjoint boxes,
    too.

    Paper: https://arxiv.org/abs/2101.08158. mmdet does not have it.

    Args:
        gamma: Power of the IoU; 0.5 as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        detach: Whether the multiplier is detached, as in the known implementations.
        **modifiers: ``power``, ``inner_ratio``, ``focaler`` and ``debug`` of :class:`IoUTypeLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalEIoULoss
        >>> FocalEIoULoss()(torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]]))
        tensor(0.6123)
    """

    fixed = ("focus", "smooth_point")
    gamma, detach = of_focus("gamma"), of_focus("detach")

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


SCHEDULES = {
    "linear": lambda progress: 2 - 1.5 * progress,
    "cosine": lambda progress: 1.25 + 0.75 * math.cos(math.pi * progress),
    "fraction": lambda progress: 2 / (1 + 3 * progress),
}
"""Ratios of Unified-IoU from 2 at the beginning to 0.5 at the end of a training."""


@published()
class UnifiedIoULoss(BasedIoULoss, Annealed):
    """Unified-IoU loss (UIoU): the base loss of both boxes scaled about their centres, by a ratio that falls.

    Grown boxes make differences between bad predictions count more, shrunk boxes those between good ones. The ratio is
    ``2 - 1.5 t`` (``'linear'``), ``1.25 + 0.75 cos(pi t)`` (``'cosine'``) or ``2 / (1 + 3 t)`` (``'fraction'``), with
    ``t`` the share of the training that is done, which MMEngine's runner tells it; a training loop of one's own calls
    ``set_progress(t)``. The ratio is a buffer that is saved with the model.

    Shapes and units: boxes ``(x1, y1, x2, y2)``, ``(n, 4)``, any unit; ``'none'`` gives ``(n,)``. At most what the base
    is, 3 for CIoU.

    Paper: https://arxiv.org/abs/2408.06636. mmdet does not have it. Differs from the authors' code: the whole training
    takes the place of 300 epochs, and its schedules other than the linear one can be had.

    Args:
        ratio: A ratio that stays; None, one that falls from 2 to 0.5, as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        schedule: How the ratio falls: ``'linear'``, ``'cosine'`` or ``'fraction'``; ``'linear'`` as the authors' code.
        focal: A detached multiplier: ``'focal'`` is ``1 - IoU**gamma``, ``'focal-inv'``
            ``IoU**gamma``, with the IoU of the scaled boxes; None by default.
        gamma: Power of the multiplier; 0.5.
        base: The loss that is computed, one of ``mmdet_losses.functional.BASES``; ``'ciou'`` as the authors' code.
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
    bounds = OVER_BASES

    ratio: float | None = option(default=None, check=none_or(more_than(0)))
    reduction: str = "mean"
    loss_weight: float = 1.0
    schedule: str = option(
        default="linear", check=one_of(SCHEDULES), frozen="the ratio has followed it so far", kw_only=True
    )
    focal: str | None = option(default=None, check=one_of(FOCALS), kw_only=True)
    gamma: float = option(default=0.5, check=at_least(0), kw_only=True)
    base: str = option(default="ciou", check=one_of(F.BASES), kw_only=True)

    def __post_init__(self) -> None:
        if self.ratio is None:
            self.keep_buffers(annealed_ratio=())
            self.reset_statistics()

    def reset_statistics(self) -> None:
        if self.ratio is None:
            self.annealed_ratio.fill_(SCHEDULES[self.schedule](0.0))

    def check_options(self) -> None:
        super().check_options()
        if self.ratio is None and "annealed_ratio" not in self._buffers:
            raise AttributeError(
                "ratio of a loss built with a number cannot become None, one that falls over the training: build the "
                "loss again, with ratio=None."
            )

    def set_progress(self, progress: float) -> None:
        self.by_hand = True
        if self.ratio is None:
            self.annealed_ratio.fill_(SCHEDULES[self.schedule](min(max(progress, 0.0), 1.0)))

    @property
    def observes(self) -> bool:
        return self.ratio is None or super().observes

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        super().observe(pred, target, weight)
        if not is_compiling():
            self.called = True

    @property
    def current_ratio(self) -> float | Tensor:
        """The ratio at this point of the training."""
        return self.annealed_ratio if self.ratio is None else self.ratio

    def observed_pair(self, pred: Tensor, target: Tensor) -> F.BoxPair:
        return super().observed_pair(pred, target).scaled(self.current_ratio)

    def arguments(self) -> dict[str, Any]:
        focus = F.unified_multiplier(self.focal, self.gamma, self.focus)
        return {**super().arguments(), "focus": focus, "ratio": self.current_ratio}
