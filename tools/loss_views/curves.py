"""What is drawn of losses, as plain numbers: a panel for each quantity that is varied, in it a line for each loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from .choice import Chosen

Function = Callable[[Tensor], Tensor]
WATCHED = ("debug", "fused")
"""Options that do not change a loss."""
DERIVATIVE = "derivative"
"""Label of plots of the derivative along the axis."""


@dataclass(frozen=True)
class Line:
    """One loss along one quantity.

    Attributes:
        label: The loss, for the legend.
        x: The quantity.
        value: The loss.
        slope: Its derivative, or the norm of its gradient.
    """

    label: str
    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray


@dataclass(frozen=True)
class Panel:
    """Losses along the same quantity.

    Attributes:
        title: What is varied, in a few words.
        x_label: Its name and unit.
        value_label: What the upper plot shows.
        slope_label: What the lower plot shows.
        lines: A line for each loss that has one.
        log: Whether the axis of the quantity is logarithmic.
        alone: Whether its values have a range of their own, and not that of the panels beside it.
    """

    title: str
    x_label: str
    value_label: str
    slope_label: str
    lines: tuple[Line, ...]
    log: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Curves:
    """All panels of a picture.

    Attributes:
        panels: From left to right.
        notes: Sentences that go below them.
    """

    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = field(default=())


def differentiated(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """Value of each row, and the derivative of the sum of all with respect to ``x``."""
    x = x.detach().clone().requires_grad_()
    value = function(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope


def line(label: str, function: Function, x: Tensor) -> Line:
    """A loss along one quantity, ``(n,)``, of which it is a function."""
    value, slope = differentiated(function, x)
    return Line(label, x.numpy(), value.numpy(), slope.numpy())


def row_sums(loss: Tensor) -> Tensor:
    """One value per row; values of the sides of a box, or of the elements of a row, are added."""
    return loss.reshape(len(loss), -1).sum(1)


def ready(chosen: Chosen) -> nn.Module:
    """A loss that is built without its warnings, which speak of training, to be evaluated and not to be watched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return chosen.build(**{name: False for name in WATCHED if name in chosen.options}).eval()


def joined(names: Sequence[str]) -> str:
    """``A, B and C``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
