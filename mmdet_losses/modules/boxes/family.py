"""Losses of pairs of boxes: the contract, and the slots of the IoU family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import Unpack

from ... import functional as F
from ...functional.iou import Terms
from ...functional.reduce import mean_of_columns
from ..base import Loss
from ..declared import (
    Check,
    Option,
    are_numbers,
    at_least,
    declared,
    keep_options,
    more_than,
    none_or,
    option,
    take_options,
)
from ..facts import Fact
from ..inputs import check_boxes, check_corners, row_weight
from ..options import Shared
from ..state import Stateful
from .focus import build_focus

__all__ = ["BoxLoss", "IoUTypeLoss"]


class BoxLoss(Loss):
    """Base of losses of one value per pair of boxes.

    ``pred`` and ``target`` are boxes ``(x1, y1, x2, y2)`` of shape ``(n, 4)`` (or ``(*, 4)``), in any unit. The
    weight is ``(n,)``, ``(n, 1)`` or ``(n, 4)``, whose mean over the last axis counts.
    """

    slot = "bbox"
    boxes = True
    values = "rows"
    scale_invariant = True
    symmetric = True

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        check_boxes(pred, target)
        weight = row_weight(weight, pred.shape[:-1], last=4)
        if pred.ndim != 2:
            pred, target = pred.reshape(-1, 4), target.reshape(-1, 4)
        return (pred, target), weight

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        return loss.reshape(pred.shape[:-1])

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        weight = None if weight is None else mean_of_columns(weight)
        super().check_values(inputs, weight)
        for name, boxes in zip(("pred", "target"), inputs, strict=True):
            check_corners(f"{type(self).__name__}: {name}", boxes, weight)


class Modifiers(Shared, total=False):
    """Keywords that every member of the IoU family takes, see :class:`IoUTypeLoss`."""

    power: float
    inner_ratio: float
    focaler: tuple[float, float] | None
    focus: Mapping | nn.Module | None


INTERVAL = Check(
    lambda value: are_numbers(value) and len(value) == 2 and 0 <= value[0] < value[1] <= 1,
    "an interval (d, u) with 0 <= d < u <= 1",
)

ONE_SIDED = (F.interp_terms, F.powerful_terms, F.shape_terms)
"""Terms that tell the prediction from the target."""


@declared
class IoUTypeLoss(BoxLoss):
    """Base of the IoU family: ``focus * ((1 - overlap**power) + sum(term**power))``.

    The overlap is the IoU, unless ``inner_ratio`` or ``focaler`` put another measure in its place. A member says its
    terms; the modifiers work with each of them.

    Args:
        eps: Kept for mmdet's configs. Quotients are exact here and 0/0 is 0, so only the log form of
            :class:`IoULoss` uses it.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        power: alpha-IoU's power on the overlap and on each term (https://arxiv.org/abs/2110.13675); 1 is the loss
            as published.
        inner_ratio: Inner-IoU's ratio: the overlap is that of both boxes with sides times this ratio
            (https://arxiv.org/abs/2311.02877), the terms are those of the boxes as they are; 1 is plain IoU.
        focaler: Focaler-IoU's interval ``(d, u)``: the overlap is ``clamp((overlap - d) / (u - d), 0, 1)``
            (https://arxiv.org/abs/2401.10525), ``(0.0, 0.95)`` as its code; None leaves it as it is.
        focus: A multiplier of each row, for example ``dict(type='IoUFocus', gamma=0.5)``.
        debug: Names the first row with a value that is not finite, or a box that ends before it begins.
    """

    function = staticmethod(F.box_iou_loss)
    passes = ("terms", "power", "inner_ratio", "focaler", "focus")
    term_bounds: ClassVar[tuple[float, ...]] = ()
    """The largest value of each term."""
    bounds = Fact(lambda cls: (0.0, 1 + sum(cls.term_bounds)), lambda loss: (0.0, loss.largest()))
    symmetric = Fact(
        lambda cls: cls.terms not in (F.shape_terms, F.powerful_terms, F.interp_terms), lambda loss: loss.exchangeable()
    )
    terms: ClassVar[Terms] = staticmethod(F.no_terms)
    """What the loss adds to the overlap; its own options stand in :attr:`passes`, too."""

    rules: ClassVar = {"eps": Option(check=at_least(0))}

    power: float = option(default=1.0, check=more_than(0), kw_only=True)
    inner_ratio: float = option(default=1.0, check=more_than(0), kw_only=True)
    focaler: tuple[float, float] | None = option(
        default=None, check=none_or(INTERVAL), convert=lambda value: value and tuple(value), kw_only=True
    )
    focus: Mapping | nn.Module | None = option(default=None, convert=build_focus, kw_only=True)

    def __init__(
        self,
        eps: float = 1e-6,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **modifiers: Unpack[Modifiers],
    ) -> None:
        own = take_options(IoUTypeLoss, modifiers)
        super().__init__(reduction, loss_weight, **modifiers)
        keep_options(self, {"eps": eps, **own})

    def largest(self) -> float:
        """Upper bound of one value: that of the focus times that of the sum."""
        return (1 + sum(bound**self.power for bound in self.term_bounds)) * self.largest_focus()

    def largest_focus(self) -> float:
        """Upper bound of the focus."""
        return 1.0 if self.focus is None else getattr(self.focus, "bound", math.inf)

    def exchangeable(self) -> bool:
        """Whether neither terms nor focus tell the prediction from the target."""
        by_target = self.terms in (F.powerful_terms, F.interp_terms) or (
            self.terms is F.shape_terms and getattr(self, "scale", 0) != 0
        )
        return not by_target and (self.focus is None or getattr(self.focus, "symmetric", False))

    def observed_pair(self, pred: Tensor, target: Tensor) -> F.BoxPair:
        """The geometry that the focus observes: the one that the loss is computed on."""
        return F.box_pair(pred, target)

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        if isinstance(self.focus, Stateful):
            (pred, target), weight = self.align(pred, target, weight)
            self.focus.observe(self.observed_pair(pred, target), None if weight is None else mean_of_columns(weight))
