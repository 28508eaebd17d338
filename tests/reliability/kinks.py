"""What holds where a loss has corners, and at a perfect match."""

from __future__ import annotations

import math

import torch
from cases import Case
from cases.bad import DTYPES
from cases.regimes import box, touching
from cases.rotated import as_rotated, place
from torch import Tensor

from .core import Tally, generator, measured, value_and_gradient
from .facts import best_is_zero, both, of_boxes, of_positions, of_rotated, rows_apart, sides, sizes

NEAR = 48
"""Points around a kink at which the gradient is looked at."""


def kinks(case: Case, n: int) -> tuple[Tensor, Tensor]:
    """Boxes that touch, share edges, corners or centres, or are equal; coordinates that are equal or one apart."""
    g = generator(5)
    if not (of_boxes(case) or of_rotated(case)):
        target = torch.randn(n, 4, generator=g, dtype=torch.float64).round(decimals=1)
        apart = torch.randint(-1, 2, (n, 4), generator=g).double() * case.options.get("beta", 1.0)
        return target + apart, target
    pred, target = touching(g, n)
    kind = torch.arange(n) % 5
    same_corner = torch.cat([pred[:, :2], pred[:, :2] + sides(target)], 1)
    same_centre = box((pred[:, :2] + pred[:, 2:]) / 2, sides(target))
    same_edge = torch.cat([pred[:, :1], target[:, 1:2] - 3, pred[:, 2:3], target[:, 3:]], 1)
    for k, boxes in enumerate((pred, same_corner, same_centre, same_edge)):
        target = torch.where((kind == k)[:, None], boxes, target)
    if of_rotated(case):
        # at multiples of a right angle, at which sides stay equal to the bit
        angle = math.pi / 2 * (torch.arange(n) // 5 % 4).double()
        return tuple(place(as_rotated(boxes), torch.zeros(n, 2), angle) for boxes in (pred, target))
    return pred, target


@measured(
    5,
    "kinks",
    "gradient finite, and between the least and the largest of those around the kink",
    both(of_positions, rows_apart),
)
def subgradient(case: Case, scale: int, tally: Tally) -> None:
    pred, target = kinks(case, 40 * scale)
    value, gradient = value_and_gradient(case, pred, target)
    tally.holds("value finite", value.isfinite())
    tally.holds("gradient finite", gradient.isfinite())
    boxes = of_boxes(case) or of_rotated(case)
    size = sizes(case, pred).amin(1, keepdim=True) if boxes else torch.ones(len(pred), 1)
    if of_rotated(case):
        # so small an angle that the ends of a side move less than its middle
        size = torch.cat([size.expand(-1, 4), torch.full_like(size, 0.1)], 1)
    g = generator(6)
    low, high = torch.full_like(gradient, torch.inf), torch.full_like(gradient, -torch.inf)
    for _ in range(NEAR):
        nudge = 1e-7 * size * torch.randn(pred.shape, generator=g, dtype=torch.float64)
        around = value_and_gradient(case, pred + nudge, target)[1]
        low, high = torch.minimum(low, around), torch.maximum(high, around)
    slack = 0.02 * torch.maximum(low.abs(), high.abs()).amax(1, keepdim=True) + 1e-6
    tally.holds("subgradient", (gradient >= low - slack) & (gradient <= high + slack))


@measured(
    8,
    "perfect match",
    "0 to 1e-6, sides 1e-3 to 1e6, four dtypes; slope at most 20 per side",
    both(of_positions, best_is_zero),
    "absolute",
)
def perfect_match(case: Case, scale: int, tally: Tally) -> None:
    g = generator(8)
    n = 60 * scale
    for dtype in DTYPES:
        side = 10 ** (torch.rand(n, 1, generator=g, dtype=torch.float64) * 9 - 3)
        size = side * torch.exp(torch.rand(n, 2, generator=g, dtype=torch.float64) * 4 - 2)
        corner = side * torch.randn(n, 2, generator=g, dtype=torch.float64)
        target = torch.cat([corner, corner + size], 1).to(dtype)
        if of_rotated(case):
            target = torch.cat([corner, size, 6 * torch.rand(n, 1, generator=g, dtype=torch.float64)], 1).to(dtype)
            held = target.isfinite().all(1) & (target[:, 2:4] > 0).all(1)
        elif of_boxes(case):
            held = target.isfinite().all(1) & (sides(target.double()) > 0).all(1)
        else:
            held = target.isfinite().all(1)
        target = target[held]
        value, gradient = value_and_gradient(case, target, target)
        tally.within(f"value, {dtype}", value.abs(), 1e-6)
        tally.holds(f"gradient, {dtype}", gradient.isfinite())
        if (of_boxes(case) or of_rotated(case)) and dtype in (torch.float32, torch.float64):
            slope = gradient[:, :4] * sizes(case, target).amin(1, keepdim=True)
            tally.holds(f"slope, {dtype}", slope.abs() <= 20)
