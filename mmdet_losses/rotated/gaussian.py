"""Losses that compare rotated boxes as Gaussians, whose axes are those of the box."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from .. import functional as F
from ..modules.base import check_floating, published
from ..modules.declared import BOOLEAN, at_least, more_than, one_of, option
from ..modules.facts import Fact, fact
from .base import COLUMNS, RotatedBoxLoss

__all__ = ["GDLoss", "GWDLoss", "JDLoss", "KFIoULoss", "KFLoss", "KLDLoss", "ProbIoULoss"]

FUNCTIONS = ("log1p", "sqrt", "none")
TYPES = ("gwd", "kld", "jd", "kld_symmax", "kld_symmin")
LEAST_KALMAN = {"none": 2 / 3, "ln": math.log(3), "exp": math.expm1(2 / 3)}
"""KFIoU loss at a perfect match, where KFIoU is 1/3."""
LARGEST_KALMAN = {"none": 1.0, "ln": math.inf, "exp": math.expm1(1)}


def least(loss: Any) -> float:
    """Value of a perfect match."""
    return 1 - 1 / loss.tau if loss.tau >= 1 else 0.0


class DistanceLoss(RotatedBoxLoss):
    """Base of what turns a distance of Gaussians into a loss by ``fun`` and ``tau``."""

    best = fact(0.0, least)
    bounds = Fact(lambda cls: (0.0, 1.0), lambda loss: (loss.best, 1.0 if loss.tau >= 1 else math.inf))


@published()
class ProbIoULoss(RotatedBoxLoss):
    """ProbIoU loss: Hellinger distance of two Gaussians, ``sqrt(1 - exp(-B))``, or their Bhattacharyya distance ``B``.

    ``B = D^T (S + T)^-1 D / 4 + ln(det(S + T) / (4 sqrt(det S det T))) / 2`` with ``D`` the offset of the centres and
    the covariances ``S``, ``T`` of uniform boxes: variances ``w**2 / 12`` and ``h**2 / 12`` along the sides.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, any unit, the angle in radians; ``'none'``
    gives ``(n,)``. Exactly 0 at a perfect match, and below 1 in mode ``'l1'``, whose gradient fades with the distance.
    A side counts as at least 1e-9 of the longest of the pair. Squares have no gradient in the angle.

    Paper: https://arxiv.org/abs/2106.06072. mmdet does not have it; Ultralytics clamps B to [1e-7, 100] and adds 1e-7
    under the root.

    Args:
        mode: ``'l1'`` for the Hellinger distance, as Ultralytics, or ``'l2'`` for B, which the paper starts with where
            boxes are far from their targets; names as PaddleDetection.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import ProbIoULoss
        >>> ProbIoULoss()(torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]]))
        tensor(0.3426)
    """

    function = staticmethod(F.probiou_loss)
    passes = ("mode",)
    paper = "https://arxiv.org/abs/2106.06072"
    bounds = fact((0.0, 1.0), lambda loss: (0.0, 1.0 if loss.mode == "l1" else math.inf))

    mode: str = option(default="l1", check=one_of(("l1", "l2")))
    reduction: str = "mean"
    loss_weight: float = 1.0


@published()
class KLDLoss(DistanceLoss):
    """Kullback-Leibler divergence of two Gaussians: ``1 - 1 / (tau + f(K))`` with ``f`` a function of its root.

    ``K = D^T S^-1 D / (2 alpha**2) + tr(S^-1 T) / 2 + ln(det S / det T) / 2 - 1`` with ``D`` the offset of the centres
    and the covariances ``S`` of the prediction and ``T`` of the target: variances ``w**2 / 4`` and ``h**2 / 4`` along
    the sides. Then ``d = sqrt(K)``, or ``K`` with ``sqrt=False``; ``f(d)`` is ``log1p(d)``, ``sqrt(d)`` or ``d``; the
    loss is ``1 - 1 / (tau + f)``, or ``f`` where ``tau`` is less than 1.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, any unit, the angle in radians; ``'none'``
    gives ``(n,)``. At a perfect match exactly 0 with the defaults, ``1 - 1 / tau`` for a larger ``tau``, and without a
    bound for ``tau`` below 1. A side counts as at least 1e-9 of the longest of the pair. Squares have no gradient in
    the angle; the gradient of a perfect match is 0, although the root's is not defined there.

    Paper: https://arxiv.org/abs/2106.01883. mmdet does not have it. In MMRotate it is ``GDLoss`` with
    ``loss_type='kld'``, which clamps K to 1e-7 under the root.

    Args:
        fun: ``f``: ``'log1p'``, ``'sqrt'`` or ``'none'``; ``'log1p'`` as MMRotate.
        tau: 1 as MMRotate's function and configs; 0 returns ``f`` itself.
        alpha: Divides the offset of the centres; 1 as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; MMRotate's configs use 5.5.
        sqrt: Whether the root of K is taken first; True as MMRotate, False in its "stable" configs.
        order: ``'pred'`` inverts the covariance of the prediction, as MMRotate, ``'target'`` that of the target;
            ``'max'`` and ``'min'`` take the larger or smaller of both, which is symmetric.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import KLDLoss
        >>> KLDLoss(sqrt=False)(torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]]))
        tensor(0.2253)
    """

    function = staticmethod(F.kld_loss)
    passes = ("fun", "tau", "alpha", "sqrt", "order")
    paper = "https://arxiv.org/abs/2106.01883"
    symmetric = fact(False, lambda loss: loss.order in ("max", "min"))

    fun: str = option(default="log1p", check=one_of(FUNCTIONS))
    tau: float = option(default=1.0, check=at_least(0))
    alpha: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    sqrt: bool = option(default=True, check=BOOLEAN)
    order: str = option(default="pred", check=one_of(("pred", "target", "max", "min")), kw_only=True)


@published()
class JDLoss(DistanceLoss):
    """Jeffreys divergence of two Gaussians: the mean of the two Kullback-Leibler divergences of :class:`KLDLoss`.

    ``J = (K(pred, target) + K(target, pred)) / 2``, and then ``sqrt``, ``fun`` and ``tau`` as there.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, any unit, the angle in radians; ``'none'``
    gives ``(n,)``. At a perfect match exactly 0 with the defaults. A side counts as at least 1e-9 of the longest of
    the pair. Squares have no gradient in the angle.

    Paper: https://arxiv.org/abs/2106.01883. mmdet does not have it. In MMRotate it is ``GDLoss`` with
    ``loss_type='jd'``, which clamps J to 1e-7 under the root.

    Args:
        fun: ``'log1p'``, ``'sqrt'`` or ``'none'`` of the distance; ``'log1p'`` as MMRotate.
        tau: 1 as MMRotate's function and configs; 0 returns ``f`` itself.
        alpha: Divides the offset of the centres; 1 as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        sqrt: Whether the root of J is taken first; True as MMRotate.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import JDLoss
        >>> JDLoss()(torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]]))
        tensor(0.3062)
    """

    function = staticmethod(F.jd_loss)
    passes = ("fun", "tau", "alpha", "sqrt")
    paper = "https://arxiv.org/abs/2106.01883"

    fun: str = option(default="log1p", check=one_of(FUNCTIONS))
    tau: float = option(default=1.0, check=at_least(0))
    alpha: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    sqrt: bool = option(default=True, check=BOOLEAN)


@published()
class GWDLoss(DistanceLoss):
    """Gaussian Wasserstein distance of two Gaussians: ``1 - 1 / (tau + f(d))`` with ``f`` a function of the distance.

    ``d**2 = |D|**2 + alpha**2 (tr S + tr T - 2 tr (S^1/2 T S^1/2)^1/2)`` with ``D`` the offset of the centres and the
    covariances ``S``, ``T``: variances ``w**2 / 4`` and ``h**2 / 4`` along the sides. With ``normalize`` it is divided
    by ``(w h W H)**(1/4)``, the geometric mean of the four sides. ``f(d)`` is ``log1p(d)``, ``sqrt(d)`` or ``d``; the
    loss is ``1 - 1 / (tau + f)``, or ``f`` where ``tau`` is less than 1.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, the angle in radians, in any unit with
    ``normalize``, else in pixels; ``'none'`` gives ``(n,)``. At a perfect match exactly 0 with the defaults. A side
    counts as at least 1e-9 of the longest of the pair. Squares have no gradient in the angle; that of a perfect match
    is 0.

    Paper: https://arxiv.org/abs/2101.11952. mmdet does not have it. In MMRotate it is ``GDLoss`` with
    ``loss_type='gwd'``, which clamps every radicand to 1e-7.

    Args:
        fun: ``f``: ``'log1p'``, ``'sqrt'`` or ``'none'``; ``'log1p'`` as MMRotate.
        tau: 1 as MMRotate's function; 0 returns ``f`` itself.
        alpha: Multiplies the distance of the shapes; 1 as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss; MMRotate's configs use 5.
        normalize: Whether the distance is divided by the sides; True as MMRotate.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import GWDLoss
        >>> GWDLoss()(torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]]))
        tensor(0.2025)
    """

    function = staticmethod(F.gwd_loss)
    passes = ("fun", "tau", "alpha", "normalize")
    paper = "https://arxiv.org/abs/2101.11952"
    scale_invariant = fact(True, lambda loss: loss.normalize)

    fun: str = option(default="log1p", check=one_of(FUNCTIONS))
    tau: float = option(default=1.0, check=at_least(0))
    alpha: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    normalize: bool = option(default=True, check=BOOLEAN)


@published()
class GDLoss(DistanceLoss):
    """Gaussian distance loss, under the name and with the options of MMRotate's class: one of the distances below.

    ``loss_type='kld'`` is :class:`KLDLoss`, ``'kld_symmax'`` and ``'kld_symmin'`` the same with ``order='max'`` and
    ``'min'``, ``'jd'`` is :class:`JDLoss` and ``'gwd'`` :class:`GWDLoss`. All but the default of ``tau`` is as there.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, the angle in radians, in any unit, or in
    pixels for ``'gwd'`` with ``normalize=False``; ``'none'`` gives ``(n,)``.

    Papers: https://arxiv.org/abs/2101.11952, https://arxiv.org/abs/2106.01883. mmdet does not have it; for the
    differences from MMRotate see the losses named. MMRotate's ``GDLoss_v1``, an older class that ignores reduction and
    weights, has no counterpart.

    Args:
        loss_type: ``'gwd'``, ``'kld'``, ``'jd'``, ``'kld_symmax'`` or ``'kld_symmin'``; has to be given.
        representation: ``'xy_wh_r'``; MMRotate's ``'xy_stddev_pearson'``, which none of its configs uses, is not there.
        fun: ``'log1p'``, ``'sqrt'`` or ``'none'`` of the distance; ``'log1p'`` as MMRotate.
        tau: 0 as MMRotate's class: the loss is ``f`` itself; 1 in most of its configs of KLD.
        alpha: Weighs the offset of the centres against the shape; 1 as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as MMRotate.
        loss_weight: Multiplies the loss; default as MMRotate.
        sqrt: Whether the root of the divergence is taken first; True as MMRotate. ``'gwd'`` does not read it.
        normalize: Whether ``'gwd'`` is divided by the sides; True as MMRotate. The others do not read it.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import GDLoss
        >>> pred, target = torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]])
        >>> GDLoss(loss_type="kld", fun="log1p", tau=1, sqrt=False)(pred, target)
        tensor(0.2253)
    """

    function = staticmethod(F.gaussian_distance_loss)
    passes = ("loss_type", "fun", "tau", "alpha", "normalize", "sqrt")
    paper = "https://arxiv.org/abs/2101.11952"
    bounds = Fact(lambda cls: (0.0, math.inf), lambda loss: (loss.best, 1.0 if loss.tau >= 1 else math.inf))
    symmetric = fact(False, lambda loss: loss.loss_type != "kld")
    scale_invariant = fact(True, lambda loss: loss.loss_type != "gwd" or loss.normalize)

    loss_type: str = option(default="", check=one_of(TYPES))
    representation: str = option(default="xy_wh_r", check=one_of(("xy_wh_r",)))
    fun: str = option(default="log1p", check=one_of(FUNCTIONS))
    tau: float = option(default=0.0, check=at_least(0))
    alpha: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = 1.0
    sqrt: bool = option(default=True, check=BOOLEAN, kw_only=True)
    normalize: bool = option(default=True, check=BOOLEAN, kw_only=True)


@published("KFLoss")
class KFIoULoss(RotatedBoxLoss):
    """KFIoU loss: ``1 - KFIoU``, ``-ln KFIoU`` or ``exp(1 - KFIoU) - 1``, the overlap of two Gaussians by area.

    ``KFIoU = V / (w h + W H - V)`` with ``V = 4 sqrt(det S det T / det(S + T))``, the area of the product of the two
    Gaussians of variances ``w**2 / 4`` and ``h**2 / 4`` along the sides. Centres have no part in it.

    Shapes and units: rotated boxes ``(cx, cy, w, h, angle)``, ``(n, 5)``, any unit, the angle in radians; ``'none'``
    gives ``(n,)``. KFIoU is at most 1/3, so a perfect match costs 2/3, ln 3 or 0.948, by ``fun``. Centres are not
    pulled: where a head passes decoded boxes alone, add a loss that does. A head with ``loss_bbox_type='kfiou'``
    (MMRotate's) passes deltas as ``pred`` and ``target``, and boxes as ``pred_decode`` and ``targets_decode``; then
    smooth L1 of the centre's two deltas is added. A side counts as at least 1e-9 of the longest of the pair.

    Paper: https://arxiv.org/abs/2201.12558. mmdet does not have it. MMRotate has it as ``KFLoss``, which adds 1e-6
    twice and clamps a determinant to 1e-6 of a pixel.

    Args:
        fun: ``'none'``, ``'ln'`` or ``'exp'``; ``'none'`` as MMRotate.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as MMRotate.
        loss_weight: Multiplies the loss; default as MMRotate (its configs use 5).
        beta: Where the square of the smooth L1 of the centre's deltas ends; 1/9 as MMRotate.
        debug: Names the first row with a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import KFIoULoss
        >>> KFIoULoss()(torch.tensor([[0.0, 0, 10, 4, 0]]), torch.tensor([[1.0, 1, 10, 4, 0.3]]))
        tensor(0.6863)
    """

    function = staticmethod(F.kfiou_loss)
    passes = ("fun", "beta")
    paper = "https://arxiv.org/abs/2201.12558"
    best = fact(2 / 3, lambda loss: LEAST_KALMAN[loss.fun])
    bounds = fact((2 / 3, 1.0), lambda loss: (LEAST_KALMAN[loss.fun], LARGEST_KALMAN[loss.fun]))

    fun: str = option(default="none", check=one_of(tuple(LEAST_KALMAN)))
    reduction: str = "mean"
    loss_weight: float = 1.0
    beta: float = option(default=1 / 9, check=more_than(0), kw_only=True)

    def forward(
        self,
        pred: Tensor,
        target: Any,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        *,
        pred_decode: Tensor | None = None,
        targets_decode: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward`.

        Args:
            pred: Boxes, or deltas where ``pred_decode`` has the boxes.
            target: Target of the same.
            weight: Weight of each row.
            avg_factor: Divisor of reduction ``'mean'``.
            reduction_override: Reduction of this call.
            pred_decode: Predicted boxes, ``(n, 5)``.
            targets_decode: Target boxes, ``(n, 5)``.
        """
        if pred_decode is None and targets_decode is None:
            return super().forward(pred, target, weight, avg_factor, reduction_override)
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        check_floating("pred", pred)
        boxes = {"pred_decode": pred_decode, "targets_decode": targets_decode}
        for name, tensor in boxes.items():
            if not isinstance(tensor, Tensor) or tensor.shape != pred.shape:
                came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise ValueError(
                    f"{name} must hold the boxes of the deltas in pred, in its shape {tuple(pred.shape)}, got {came}: "
                    "pred_decode and targets_decode go together."
                )
        check_floating("pred_decode", pred_decode)
        deltas, weight = self.align(pred, target, weight)
        decoded = (tensor.reshape(-1, COLUMNS) for tensor in boxes.values())
        loss = self.evaluate_aligned((*deltas, *decoded), weight, avg_factor, reduction)
        return self.shaped(loss, pred) if loss.ndim else loss


KFLoss = KFIoULoss
