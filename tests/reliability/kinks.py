"""What holds where a loss has corners, and at a perfect match."""

from __future__ import annotations

import torch
from cases import Case
from cases.bad import DTYPES
from cases.regimes import box, touching
from torch import Tensor

from .core import Tally, generator, measured, value_and_gradient
from .facts import best_is_zero, both, of_boxes, of_positions, rows_apart, sides

NEAR = 48
"""Points around a kink at which the gradient is looked at."""


def kinks(case: Case, n: int) -> tuple[Tensor, Tensor]:
    """Boxes that touch, share edges, corners or centres, or are equal; coordinates that are equal or one apart."""
    g = generator(5)
    if not of_boxes(case):
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
    size = sides(pred).amin(1, keepdim=True) if of_boxes(case) else torch.ones(len(pred), 1)
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
        if of_boxes(case):
            held = target.isfinite().all(1) & (sides(target.double()) > 0).all(1)
        else:
            held = target.isfinite().all(1)
        target = target[held]
        value, gradient = value_and_gradient(case, target, target)
        tally.within(f"value, {dtype}", value.abs(), 1e-6)
        tally.holds(f"gradient, {dtype}", gradient.isfinite())
        if of_boxes(case) and dtype in (torch.float32, torch.float64):
            slope = gradient * sides(target).amin(1, keepdim=True)
            tally.holds(f"slope, {dtype}", slope.abs() <= 20)
