"""Whether a box loss moves a prediction towards its target, for pairs that do not overlap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cases import Case
from cases.draw import uniform
from cases.rotated import as_rotated

PAIRS = 200_000


class PullShare(NamedTuple):
    """Shares of the pairs whose gradient moves the prediction towards the target, away from it, or not at all."""

    towards: float
    away: float
    still: float


def disjoint_pairs(count: int = PAIRS, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes of 4 to 300 pixels in an image of 1000, drawn until ``count`` pairs do not overlap; float64."""
    g = torch.Generator().manual_seed(seed)
    centre = torch.rand(3 * count, 2, 2, generator=g, dtype=torch.float64) * 1000
    size = 4 * 75 ** torch.rand(3 * count, 2, 2, generator=g, dtype=torch.float64)
    low, high = centre - size / 2, centre + size / 2
    apart = (torch.maximum(low[:, 0], low[:, 1]) > torch.minimum(high[:, 0], high[:, 1])).any(-1)
    kept = torch.cat([low, high], -1)[apart][:count]
    assert len(kept) == count
    return kept[:, 0], kept[:, 1]


def turned_pairs(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes of :func:`disjoint_pairs` as rotated ones, each at any angle, whose circles do not overlap."""
    g = torch.Generator().manual_seed(seed)
    pred, target = (as_rotated(boxes) for boxes in disjoint_pairs(3 * count, seed))
    for boxes in (pred, target):
        boxes[:, 4] = uniform(g, len(boxes), low=-3.2, high=3.2)
    radii = pred[:, 2:4].norm(dim=1) + target[:, 2:4].norm(dim=1)
    kept = (pred[:, :2] - target[:, :2]).norm(dim=1) > radii / 2
    pred, target = pred[kept][:count], target[kept][:count]
    assert len(pred) == count
    return pred, target


def pull_share(case: Case, count: int = PAIRS) -> PullShare:
    """Directions of the translation gradient of a loss over random disjoint pairs.

    The translation gradient is the sum of those of both corners: what moves the box as a whole. Its scalar product with
    the way to the target is positive, negative or zero; a product below the rounding of its size counts as zero.
    """
    turned = case.kind == "rotated"
    pred, target = turned_pairs(count) if turned else disjoint_pairs(count)
    pred.requires_grad_()
    case.build(reduction="sum")(pred, target).backward()
    pull, way = -pred.grad[:, :2], (target - pred.detach())[:, :2]
    if not turned:
        pull = pull - pred.grad[:, 2:]
        way = (way + (target - pred.detach())[:, 2:]) / 2
    product = (pull * way).sum(-1)
    rounding = 1e-12 * (pred.grad.abs().sum(-1) * way.abs().sum(-1))
    kinds = (product > rounding, product < -rounding, product.abs() <= rounding)
    return PullShare(*(kind.double().mean().item() for kind in kinds))
