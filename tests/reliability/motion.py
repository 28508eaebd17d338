"""Where a box goes when it follows the gradient."""

from __future__ import annotations

import math

import torch
from cases import Case
from cases.draw import uniform
from cases.pull import pull_share
from cases.regimes import box, contained, disjoint, draw_boxes, overlap, tall_and_wide
from cases.rotated import ROTATED_REGIMES
from torch import Tensor

from mmdet_losses.functional import rotated_iou

from .core import Tally, generator, measured
from .facts import both, of_areas, of_rotated, row_sums, rows_apart

STEPS = 50
"""Points of a path."""


def share(rows: Tensor) -> float:
    return rows.double().mean().item()


@measured(
    13,
    "pull",
    "of disjoint pairs, none is pushed away from its target",
    both(of_areas, rows_apart),
)
def pull(case: Case, scale: int, tally: Tally) -> None:
    n = (1000 if of_rotated(case) else 10_000) * scale
    shares = pull_share(case, n)
    tally.shares = {"towards": shares.towards, "zero": shares.still, "away": shares.away}
    tally.checks += n
    away = round(shares.away * n)
    if away:
        tally.failed += away
        tally.failures.append(f"away: {away} of {n}")


@measured(
    14,
    "monotone",
    "no rise above 1e-6 along the straight path to the target, 50 points",
    both(of_areas, rows_apart),
    "largest rise",
)
def monotone(case: Case, scale: int, tally: Tally) -> None:
    """The corners go to those of the target, all at the same time; of rotated boxes centre, sizes and angle."""
    loss = case.build(reduction="none")
    for regime in (overlap, contained, disjoint, tall_and_wide, draw_boxes):
        draw = ROTATED_REGIMES[regime.__name__] if of_rotated(case) else regime
        pred, target = draw(generator(14), 200 * scale)
        share = torch.linspace(0, 1, STEPS, dtype=torch.float64)[:, None, None]
        path = pred + share * (target - pred)
        with torch.no_grad():
            value = row_sums(loss(path.flatten(0, 1), target.repeat(STEPS, 1))).reshape(STEPS, -1)
        rise = (value[1:] - value[:-1]).clamp(min=0).amax(0)
        tally.within(regime.__name__, rise, 1e-6)


RATIOS = (1 / 4, 1 / 3, 1 / 2, 1, 2, 3, 4)
AREAS = (0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0)


def simulated(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Cases of the simulation of the DIoU paper (https://arxiv.org/abs/1911.08287): centre, width and height."""

    def draw(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[torch.randint(0, len(values), (n,), generator=g)]

    area, ratio, ratio_gt = draw(AREAS), draw(RATIOS), draw(RATIOS)
    radius, angle = 3 * uniform(g, n).sqrt(), 2 * math.pi * uniform(g, n)
    ten = torch.full((n,), 10.0, dtype=torch.float64)
    start = (10 + radius * angle.cos(), 10 + radius * angle.sin(), (area * ratio).sqrt(), (area / ratio).sqrt())
    return torch.stack(start, 1), torch.stack((ten, ten, ratio_gt.sqrt(), 1 / ratio_gt.sqrt()), 1)


def corners(state: Tensor) -> Tensor:
    return box(state[:, :2], state[:, 2:])


def iou(first: Tensor, second: Tensor) -> Tensor:
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) for b in (first, second)]
    common = (high - low).clamp(min=0).prod(1)
    return common / (sum(areas) - common)


@measured(
    15,
    "descent",
    "gradient descent of boxes: finite, and the mean loss falls; shares are published",
    both(of_areas, rows_apart),
)
def descent(case: Case, scale: int, tally: Tally) -> None:
    """The protocol of the paper, 200 steps of (2 - IoU) times the exact gradient in centre, width and height.

    Rotated boxes also begin up to 0.7 from the target's angle, and descend in it.
    """
    n = 250 * scale
    state, goal = simulated(generator(15), n)
    as_boxes, overlap_of = corners, iou
    if of_rotated(case):
        as_boxes, overlap_of = torch.Tensor.clone, rotated_iou
        angle = uniform(generator(16), n, 1, low=-0.7, high=0.7)
        state, goal = torch.cat([state, angle], 1), torch.cat([goal, torch.zeros_like(angle)], 1)
    loss, target = case.build(reduction="none"), as_boxes(goal)
    first = loss(as_boxes(state), target).mean()
    for t in range(200):
        rate = 0.1 if t < 160 else 0.01 if t < 180 else 0.001
        leaf = state.clone().requires_grad_()
        boxes = as_boxes(leaf)
        (gradient,) = torch.autograd.grad(loss(boxes, target).sum(), leaf)
        state = state - rate * (2 - overlap_of(boxes.detach(), target))[:, None] * gradient
    fit = overlap_of(as_boxes(state), target)
    tally.holds("finite", state.isfinite().all(1))
    tally.holds("mean loss falls", bool(loss(as_boxes(state), target).mean() < first))
    tally.shares = {"IoU above 0.9": share(fit > 0.9), "IoU above 0.5": share(fit > 0.5)}
