"""Losses of rotated boxes, ``(cx, cy, w, h, angle)``: their cases, and the regimes of pairs of boxes turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from oracle import rotated
from torch import Tensor

from .bad import BAD_BOXES
from .case import Case
from .draw import uniform
from .regimes import REGIMES, anywhere, draw_boxes

Pairs = tuple[Tensor, Tensor]


def draw_rotated(g: torch.Generator, n: int) -> Pairs:
    """Boxes of 4 to 200 pixels at any angle, with predictions from close to far off."""
    center, size, angle = uniform(g, n, 2, high=500), uniform(g, n, 2, low=4, high=200), uniform(g, n, 1, high=6.3)
    target = torch.cat([center, size, angle], 1)
    center = center + size * uniform(g, n, 2, low=-0.7, high=0.7)
    size = size * torch.exp(uniform(g, n, 2, low=-0.7, high=0.7))
    return torch.cat([center, size, angle + uniform(g, n, 1, low=-1.5, high=1.5)], 1), target


def turned(regime: Callable[[torch.Generator, int], Pairs], apart: float) -> Callable[[torch.Generator, int], Pairs]:
    """Boxes ``(x1, y1, x2, y2)`` of a regime as rotated ones, each at an angle, ``apart`` radians from one another."""

    def turn(g: torch.Generator, n: int) -> Pairs:
        pred, target = (as_rotated(boxes) for boxes in regime(g, n))
        angle = uniform(g, n, low=-3.2, high=3.2)
        # about a point between the two, so that what is near stays near
        middle = (pred[:, :2] + target[:, :2]) / 2
        pred, target = (place(boxes, middle, angle) for boxes in (pred, target))
        pred[:, 4] += apart * (2 * torch.randint(0, 2, (n,), generator=g) - 1) * uniform(g, n, low=0.5, high=1.5)
        return pred, target

    turn.__name__ = regime.__name__
    return turn


def as_rotated(boxes: Tensor, angle: float = 0.0) -> Tensor:
    """Boxes ``(x1, y1, x2, y2)`` as ``(cx, cy, w, h, angle)``."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return torch.cat([(low + high) / 2, high - low, torch.full_like(boxes[:, :1], angle)], 1)


def place(boxes: Tensor, middle: Tensor, angle: Tensor) -> Tensor:
    """Rotated boxes turned by angles about points."""
    (x, y), cos, sin = (boxes[:, :2] - middle).unbind(1), angle.cos(), angle.sin()
    center = middle + torch.stack([x * cos - y * sin, x * sin + y * cos], 1)
    return torch.cat([center, boxes[:, 2:4], boxes[:, 4:] + angle[:, None]], 1)


def with_options(function: Callable, **options: Any) -> Callable:
    return lambda p, t: function(p, t, **options)


def rotated_case(name: str, function: Callable, **options: Any) -> Case:
    def reference(p: Sequence, t: Sequence) -> list:
        return [function(p, t, **options)]

    return Case(name, draw_rotated, True, reference, options, kind="rotated")


DISTANCE = dict(fun="none", tau=0.0)

ROTATED_CASES = [
    rotated_case("ProbIoULoss", rotated.probiou),
    rotated_case("ProbIoULoss", rotated.probiou, mode="l2"),
    rotated_case("KLDLoss", rotated.kld),
    rotated_case("KLDLoss", rotated.kld, fun="sqrt", tau=2.0, alpha=1.5, sqrt=False, order="target"),
    rotated_case("KLDLoss", rotated.kld, **DISTANCE, sqrt=False, order="max"),
    rotated_case("JDLoss", rotated.jd),
    rotated_case("JDLoss", rotated.jd, **DISTANCE, sqrt=False, alpha=2.0),
    rotated_case("GWDLoss", rotated.gwd),
    rotated_case("GWDLoss", rotated.gwd, **DISTANCE, normalize=False, alpha=0.5),
    rotated_case("GDLoss", rotated.gd, loss_type="kld_symmin"),
    rotated_case("GDLoss", rotated.gd, loss_type="gwd", fun="sqrt"),
    rotated_case("GDLoss", rotated.gd, loss_type="jd", tau=1.0),
    rotated_case("KFIoULoss", rotated.kfiou),
    rotated_case("KFIoULoss", rotated.kfiou, fun="ln"),
    rotated_case("KFIoULoss", rotated.kfiou, fun="exp"),
    rotated_case("RotatedIoULoss", rotated.rotated_iou),
    rotated_case("RotatedIoULoss", rotated.rotated_iou, mode="linear"),
    rotated_case("RotatedIoULoss", rotated.rotated_iou, mode="square"),
]

REQUIRED = {"GDLoss": {"loss_type": "kld"}}
"""Options without a default that could be used."""

BAD_ROTATED = {
    name: [as_rotated(torch.tensor([box], dtype=torch.float64), 0.3)[0].tolist() for box in pair]
    for name, pair in BAD_BOXES.items()
}
"""The boxes of ``bad.py``, at an angle."""


APART = {
    "touching": 0.8,
    "overlap": 0.2,
    "close": 0.02,
    "contained": 0.3,
    "disjoint": 1.0,
    "tiny": 0.2,
    "huge": 0.2,
    "draw_boxes": 0.4,
}
"""Angle between the boxes of a pair."""
ROTATED_REGIMES = {
    regime.__name__: turned(regime, APART.get(regime.__name__, 0.1)) for regime in (*REGIMES, anywhere, draw_boxes)
}
"""The regimes of ``regimes.py`` with boxes that are turned, by name; none of them touch then."""
