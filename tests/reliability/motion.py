"""Where a box goes when it follows the gradient."""

from __future__ import annotations

import math

import torch
from cases import Case
from cases.draw import uniform
from cases.regimes import box, contained, disjoint, draw_boxes, overlap, tall_and_wide
from torch import Tensor

from .core import Tally, generator, measured, value_and_gradient
from .facts import both, of_boxes, row_sums, rows_apart

STEPS = 50
"""Points of a path."""


def disjoint_pairs(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Sides of 10 to 110, without a common point, by up to 500 apart."""
    sizes = [uniform(g, n, 2, low=10, high=110) for _ in range(2)]
    gap = sum(sizes) / 2 + 1 + uniform(g, n, 2, high=500)
    near = uniform(g, n, 2, low=-1, high=1) * sum(sizes) / 2
    # apart in x, in y, or in both
    kind = torch.randint(0, 3, (n, 1), generator=g)
    apart = torch.cat([kind != 1, kind != 0], 1)
    sign = torch.randint(0, 2, (n, 2), generator=g) * 2.0 - 1
    offset = torch.where(apart, sign * gap, near)
    center = uniform(g, n, 2, high=1000)
    return box(center, sizes[0]), box(center + offset, sizes[1])


def pull_shares(case: Case, n: int) -> dict[str, float]:
    """Shares of random disjoint pairs whose prediction moves towards the target, stays, and moves away."""
    pred, target = disjoint_pairs(generator(13), n)
    _, gradient = value_and_gradient(case, pred, target)
    step = -(gradient[:, :2] + gradient[:, 2:])
    offset = (target - pred).unflatten(1, (2, 2)).mean(1)
    size = (pred[:, 2:] - pred[:, :2]).amin(1)
    still = gradient.abs().amax(1) * size <= 1e-9
    cosine = (step * offset).sum(1) / (step.norm(dim=1) * offset.norm(dim=1)).clamp(min=1e-300)
    away = ~still & (cosine < -1e-9)
    towards = ~still & (cosine > 1e-9)
    return {"towards": share(towards), "zero": share(~away & ~towards), "away": share(away)}


def share(rows: Tensor) -> float:
    return rows.double().mean().item()


@measured(
    13,
    "pull",
    "of disjoint pairs, none is pushed away from its target",
    both(of_boxes, rows_apart),
)
def pull(case: Case, scale: int, tally: Tally) -> None:
    n = 2000 * scale
    tally.shares = pull_shares(case, n)
    tally.checks += n
    away = round(tally.shares["away"] * n)
    if away:
        tally.failed += away
        tally.failures.append(f"away: {away} of {n}")


@measured(
    14,
    "monotone",
    "no rise above 1e-6 along the straight path to the target, 50 points",
    both(of_boxes, rows_apart),
    "largest rise",
)
def monotone(case: Case, scale: int, tally: Tally) -> None:
    """The corners go to those of the target, all at the same time."""
    loss = case.build(reduction="none")
    for regime in (overlap, contained, disjoint, tall_and_wide, draw_boxes):
        pred, target = regime(generator(14), 200 * scale)
        share = torch.linspace(0, 1, STEPS, dtype=torch.float64)[:, None, None]
        path = pred + share * (target - pred)
        with torch.no_grad():
            value = row_sums(loss(path.reshape(-1, 4), target.repeat(STEPS, 1))).reshape(STEPS, -1)
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
    both(of_boxes, rows_apart),
)
def descent(case: Case, scale: int, tally: Tally) -> None:
    """The protocol of the paper, 200 steps of (2 - IoU) times the exact gradient in centre, width and height."""
    n = 250 * scale
    state, goal = simulated(generator(15), n)
    loss, target = case.build(reduction="none"), corners(goal)
    first = loss(corners(state), target).mean()
    for t in range(200):
        rate = 0.1 if t < 160 else 0.01 if t < 180 else 0.001
        leaf = state.clone().requires_grad_()
        boxes = corners(leaf)
        (gradient,) = torch.autograd.grad(loss(boxes, target).sum(), leaf)
        state = state - rate * (2 - iou(boxes.detach(), target))[:, None] * gradient
    fit = iou(corners(state), target)
    tally.holds("finite", state.isfinite().all(1))
    tally.holds("mean loss falls", bool(loss(corners(state), target).mean() < first))
    tally.shares = {"IoU above 0.9": share(fit > 0.9), "IoU above 0.5": share(fit > 0.5)}
