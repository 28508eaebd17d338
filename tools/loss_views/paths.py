"""Named paths of a predicted box past its target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tool_runtime.errors import ToolError
from torch import Tensor

SIDE = 32.0
"""Side of the target, in pixels; what is not square has the same area."""
CENTRE = (320.0, 320.0)
"""Where the target is, in pixels."""
POINTS = 240
Boxes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Path:
    """A family of pairs of boxes along one quantity.

    Attributes:
        title: What the predicted box does.
        x_label: The quantity and its unit.
        x: Its values, ``(n,)``, float64.
        boxes: Prediction and target ``(cx, cy, w, h, angle)`` at such values, ``(n, 5)`` each.
        log: Whether the quantity goes by factors.
        turned: Whether it is for rotated boxes alone.
    """

    title: str
    x_label: str
    x: Tensor
    boxes: Callable[[Tensor, float], Boxes]
    log: bool = False
    turned: bool = False


def evenly(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, POINTS, dtype=torch.float64)


def by_factors(low: float, high: float) -> Tensor:
    """Even in the logarithm; of an even number of points none is the middle, where gradients jump."""
    return torch.logspace(math.log10(low), math.log10(high), POINTS, dtype=torch.float64)


def target(like: Tensor, aspect: float) -> Tensor:
    """The target, once for each value; ``aspect`` is its width over its height."""
    sides = (SIDE * aspect**0.5, SIDE / aspect**0.5)
    return torch.tensor([*CENTRE, *sides, 0.0], dtype=torch.float64).repeat(len(like), 1)


def moved(direction: tuple[float, float]) -> Callable[[Tensor, float], Boxes]:
    """The target, shifted along a direction by a number of sides."""
    way = torch.tensor([*direction, 0.0, 0.0, 0.0], dtype=torch.float64) * SIDE / math.hypot(*direction)

    def boxes(x: Tensor, aspect: float) -> Boxes:
        there = target(x, aspect)
        return there + x[:, None] * way, there

    return boxes


def scaled(width: float, height: float) -> Callable[[Tensor, float], Boxes]:
    """The target, its sides multiplied by powers of the quantity."""

    def boxes(x: Tensor, aspect: float) -> Boxes:
        there, one = target(x, aspect), torch.ones_like(x)
        return there * torch.stack([one, one, x**width, x**height, one], 1), there

    return boxes


def fitting(x: Tensor, aspect: float) -> Boxes:
    """Twice the target, with a side of the quantity."""
    there = target(x, aspect)
    there[:, 2:4] *= x[:, None] / SIDE
    return there, there.clone()


def turned(x: Tensor, aspect: float) -> Boxes:
    """The target, turned by degrees."""
    there = target(x, aspect)
    here = there.clone()
    here[:, 4] = x.deg2rad()
    return here, there


AWAY = "offset of the centre / side of the target"
PATHS = {
    "away": Path("a box slides to the right", AWAY, evenly(0.0, 3.0), moved((1.0, 0.0))),
    "diagonal": Path("a box slides along the diagonal", AWAY, evenly(0.0, 3.0), moved((1.0, 1.0))),
    "grows": Path("a box grows", "its sides / sides of the target", by_factors(0.25, 4.0), scaled(1.0, 1.0), log=True),
    "aspect": Path(
        "a box changes its aspect ratio",
        "its width/height, over the target's",
        by_factors(0.125, 8.0),
        scaled(0.5, -0.5),
        log=True,
    ),
    "turns": Path("a box turns", "angle in degrees", evenly(0.0, 180.0), turned, turned=True),
    "scales": Path("a box fits exactly", "side in pixels", by_factors(1e-2, 1e4), fitting, log=True),
}
"""Every path by its name."""
CHOSEN = ("away", "grows", "aspect", "turns", "scales")
"""What is drawn where nothing is chosen."""


def chosen_paths(names: Sequence[str] | None, rotated: bool) -> list[Path]:
    """The paths of some names, by default :data:`CHOSEN`.

    Args:
        names: Keys of :data:`PATHS`.
        rotated: Whether the boxes can be turned.

    Raises:
        ToolError: For an unknown name, or one that such boxes do not have.
    """
    known = [name for name, path in PATHS.items() if rotated or not path.turned]
    for name in names or ():
        if name not in PATHS:
            raise ToolError(f"--paths: there is no path {name!r}; there are {', '.join(known)}")
        if name not in known:
            raise ToolError(f"--paths: {name!r} is for rotated boxes; there are {', '.join(known)}")
    return [PATHS[name] for name in names or CHOSEN if name in known]


def corners(boxes: Tensor) -> Tensor:
    """``(cx, cy, w, h, angle)`` of angle 0 as ``(x1, y1, x2, y2)``."""
    centre, half = boxes[:, :2], boxes[:, 2:4] / 2
    return torch.cat([centre - half, centre + half], 1)
