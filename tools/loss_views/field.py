"""Where a loss of boxes pushes the centre of a predicted box, all around its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .box_curves import ROTATED_ASPECT, value_and_gradient
from .choice import Chosen
from .curves import ready
from .paths import CENTRE, SIDE, corners

REACH, EDGE = 2.0, 2.15
"""How far the centres go that have arrows, and those of the contours, in sides of the target."""
FINE, COARSE = 97, 13
"""Centres along a side: for contours, and for arrows. Odd, so that the target's own is one."""
ANGLE = math.radians(30)
"""Of rotated boxes, target and prediction."""


@dataclass(frozen=True)
class Field:
    """A loss over the centres of a predicted box; lengths in sides of the target, from its centre, y downwards.

    Attributes:
        label: The loss.
        at: Coordinates of the values, the same for x and y.
        value: The loss, ``(y, x)``.
        start: Centres that have an arrow, ``(n, 2)``.
        push: Minus the gradient with respect to the centre times the side, ``(n, 2)``.
        target: Corners of the target, ``(4, 2)``.
        box: Those of the predicted box, its centre at 0.
    """

    label: str
    at: np.ndarray
    value: np.ndarray
    start: np.ndarray
    push: np.ndarray
    target: np.ndarray
    box: np.ndarray


def field_of(chosen: Chosen, size: Sequence[float] = (1.0, 1.0)) -> Field:
    """The field of a loss of boxes, rotated or not.

    Args:
        chosen: The loss.
        size: Width and height of the predicted box over the target's.
    """
    loss = ready(chosen)
    rotated = chosen.cls.slot == "rbox"
    aspect, angle = (ROTATED_ASPECT, ANGLE) if rotated else (1.0, 0.0)
    sides = torch.tensor([SIDE * aspect**0.5, SIDE / aspect**0.5], dtype=torch.float64)
    box = sides * torch.tensor(size, dtype=torch.float64)
    fine = torch.linspace(-EDGE, EDGE, FINE, dtype=torch.float64)
    coarse = torch.linspace(-REACH, REACH, COARSE, dtype=torch.float64)
    value, _ = around(loss, fine, box, sides, angle, rotated)
    _, push = around(loss, coarse, box, sides, angle, rotated)
    return Field(
        chosen.label,
        fine.numpy(),
        value.reshape(FINE, FINE).numpy(),
        grid(coarse).numpy(),
        push.numpy(),
        outline(sides, angle),
        outline(box, angle),
    )


def grid(at: Tensor) -> Tensor:
    """All pairs of x and y, ``(n, 2)``; x moves first."""
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def around(
    loss: nn.Module, at: Tensor, box: Tensor, sides: Tensor, angle: float, rotated: bool
) -> tuple[Tensor, Tensor]:
    """Value and push at all centres of a grid."""
    centres = grid(at) * SIDE + torch.tensor(CENTRE, dtype=torch.float64)
    rest = torch.tensor([*box, angle], dtype=torch.float64).expand(len(centres), 3)
    here = torch.cat([centres, rest], 1)
    there = torch.tensor([*CENTRE, *sides, angle], dtype=torch.float64).repeat(len(centres), 1)
    if rotated:
        value, gradient = value_and_gradient(loss, here, there)
        return value, -SIDE * gradient[:, :2]
    value, gradient = value_and_gradient(loss, corners(here), corners(there))
    return value, -SIDE * (gradient[:, :2] + gradient[:, 2:])


def outline(sides: Tensor, angle: float) -> np.ndarray:
    """Corners of a box about 0, in sides of the target."""
    width, height = (sides / SIDE / 2).tolist()
    box = np.array([[-width, -height], [width, -height], [width, height], [-width, height]])
    cos, sin = math.cos(angle), math.sin(angle)
    return box @ np.array([[cos, sin], [-sin, cos]])
