"""Published modifications of the IoU family under their own names, and the multipliers that they are made of."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from .arguments import check_choice, check_modifiers
from .geometry import BoxPair, divide, peak_to_peak, squared_length
from .iou import (
    BASES,
    TERM_OPTIONS,
    Focus,
    OverlapModifiers,
    box_iou_loss,
    eiou_loss,
    powerful_penalty,
    powerful_terms,
    raise_to,
    without,
)

__all__ = [
    "alpha_iou_loss",
    "focal_eiou_loss",
    "focaler_iou_loss",
    "inner_iou_loss",
    "iou_focus",
    "powerful_focus",
    "powerful_iou_loss",
    "powerful_multiplier",
    "unified_focus",
    "unified_iou_loss",
    "unified_multiplier",
    "wise_focus",
    "wise_iou_loss",
]


VERSIONS = (1, 2, 3)
FOCALS = (None, "focal", "focal-inv")
OF_PAIRS = without("focus")
"""Keywords of the functions that set the multiplier themselves."""


def check_based(function: str, base: str, own: str, given: dict[str, Any]) -> None:
    """Raise for a base that is none, and for a keyword that neither it nor :func:`box_iou_loss` takes."""
    check_choice(function, "base", base, BASES)
    check_modifiers(function, (*without(own), *TERM_OPTIONS[BASES[base]]), given)


def product(first: Focus, second: Focus | None) -> Focus:
    """Product of two multipliers per row."""
    return first if second is None else lambda pair: first(pair) * second(pair)


def iou_focus(pair: BoxPair, gamma: float = 0.5, detach: bool = True) -> Tensor:
    """Focal-EIoU's multiplier ``IoU**gamma``, detached unless ``detach`` is False."""
    weight = raise_to(pair.iou, gamma)
    return weight.detach() if detach else weight


def focal_eiou_loss(
    pred: Tensor, target: Tensor, *, gamma: float = 0.5, detach: bool = True, **modifiers: Unpack[OverlapModifiers]
) -> Tensor:
    """Focal-EIoU loss, see :class:`~mmdet_losses.FocalEIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_modifiers("focal_eiou_loss", OF_PAIRS, modifiers)
    return eiou_loss(pred, target, focus=partial(iou_focus, gamma=gamma, detach=detach), **modifiers)


def wise_focus(
    pair: BoxPair,
    mean: float | Tensor = 1.0,
    *,
    version: int = 3,
    alpha: float = 1.9,
    delta: float = 3.0,
    gamma: float = 0.5,
) -> Tensor:
    """Wise-IoU's multiplier, see :class:`~mmdet_losses.WiseFocus`; ``mean`` is the running mean of ``1 - IoU``."""
    with torch.no_grad():
        # Over all corners, which keeps the quotient at most 1 for inverted boxes too.
        width = peak_to_peak(pair.pred.x1, pair.pred.x2, pair.target.x1, pair.target.x2)
        height = peak_to_peak(pair.pred.y1, pair.pred.y2, pair.target.y1, pair.target.y2)
        diagonal = squared_length(width, height)
    attention = divide(pair.squared_offset(), diagonal).exp()
    if version == 1:
        return attention
    with torch.no_grad():
        outlier = (1 - pair.iou) / mean
        factor = raise_to(outlier, gamma) if version == 2 else outlier / delta * alpha ** (delta - outlier)
    return factor * attention


def wise_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    mean: float | Tensor = 1.0,
    version: int = 3,
    alpha: float = 1.9,
    delta: float = 3.0,
    gamma: float = 0.5,
    **modifiers: Unpack[OverlapModifiers],
) -> Tensor:
    """Wise-IoU loss, see :class:`~mmdet_losses.WIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_choice("wise_iou_loss", "version", version, VERSIONS)
    if "terms" not in modifiers:
        check_modifiers("wise_iou_loss", OF_PAIRS, modifiers)
    focus = partial(wise_focus, mean=mean, version=version, alpha=alpha, delta=delta, gamma=gamma)
    return box_iou_loss(pred, target, focus=focus, **modifiers)


def powerful_focus(pair: BoxPair, lambd: float = 1.3, detach: bool = True) -> Tensor:
    """Powerful-IoU v2's multiplier ``u(lambd q)`` with ``q = exp(-P)``, ``u(x) = 3 x exp(-x**2)``."""
    x = lambd * torch.exp(-powerful_penalty(pair))
    weight = 3 * x * torch.exp(-x.square())
    return weight.detach() if detach else weight


def powerful_multiplier(version: int, lambd: float, detach: bool, focus: Focus | None) -> Focus | None:
    """The ``focus`` of Powerful-IoU: version 2's own, times the one given."""
    return focus if version == 1 else product(lambda pair: powerful_focus(pair, lambd, detach), focus)


def powerful_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    version: int = 2,
    lambd: float = 1.3,
    detach: bool = True,
    focus: Focus | None = None,
    **modifiers: Unpack[OverlapModifiers],
) -> Tensor:
    """Powerful-IoU loss, see :class:`~mmdet_losses.PowerfulIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_choice("powerful_iou_loss", "version", version, (1, 2))
    check_modifiers("powerful_iou_loss", OF_PAIRS, modifiers)
    focus = powerful_multiplier(version, lambd, detach, focus)
    return box_iou_loss(pred, target, powerful_terms, focus=focus, **modifiers)


def unified_focus(pair: BoxPair, focal: str, gamma: float = 0.5) -> Tensor:
    """Unified-IoU's multiplier, detached: ``1 - IoU**gamma`` for ``'focal'``, ``IoU**gamma`` for ``'focal-inv'``."""
    weight = iou_focus(pair, gamma)
    return 1 - weight if focal == "focal" else weight


def unified_multiplier(focal: str | None, gamma: float, focus: Focus | None) -> Focus | None:
    """The ``focus`` of Unified-IoU: its own, where it has one, times the one given."""
    return focus if focal is None else product(lambda pair: unified_focus(pair, focal, gamma), focus)


def unified_iou_loss(
    pred: Tensor,
    target: Tensor,
    *,
    ratio: float | Tensor,
    focal: str | None = None,
    gamma: float = 0.5,
    base: str = "ciou",
    focus: Focus | None = None,
    **modifiers: Unpack[OverlapModifiers],
) -> Tensor:
    """Unified-IoU loss, see :class:`~mmdet_losses.UnifiedIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_choice("unified_iou_loss", "focal", focal, FOCALS)
    check_based("unified_iou_loss", base, "ratio", modifiers)
    focus = unified_multiplier(focal, gamma, focus)
    return box_iou_loss(pred, target, BASES[base], focus=focus, ratio=ratio, **modifiers)


def alpha_iou_loss(pred: Tensor, target: Tensor, *, alpha: float = 3.0, base: str = "iou", **modifiers: Any) -> Tensor:
    """alpha-IoU loss, see :class:`~mmdet_losses.AlphaIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_based("alpha_iou_loss", base, "power", modifiers)
    return box_iou_loss(pred, target, BASES[base], power=alpha, **modifiers)


def inner_iou_loss(pred: Tensor, target: Tensor, *, ratio: float = 0.7, base: str = "iou", **modifiers: Any) -> Tensor:
    """Inner-IoU loss, see :class:`~mmdet_losses.InnerIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_based("inner_iou_loss", base, "inner_ratio", modifiers)
    return box_iou_loss(pred, target, BASES[base], inner_ratio=ratio, **modifiers)


def focaler_iou_loss(
    pred: Tensor, target: Tensor, *, d: float = 0.0, u: float = 0.95, base: str = "iou", **modifiers: Any
) -> Tensor:
    """Focaler-IoU loss, see :class:`~mmdet_losses.FocalerIoULoss`; ``modifiers`` as in :func:`box_iou_loss`."""
    check_based("focaler_iou_loss", base, "focaler", modifiers)
    return box_iou_loss(pred, target, BASES[base], focaler=(d, u), **modifiers)
