"""Regimes of box pairs, ``n`` rows each in float64: what a loss of boxes meets, away from kinks unless it says so."""

from __future__ import annotations

import torch
from torch import Tensor

from .draw import draw_boxes, uniform

Pairs = tuple[Tensor, Tensor]


def box(center: Tensor, size: Tensor) -> Tensor:
    return torch.cat([center - size / 2, center + size / 2], 1)


def sign(g: torch.Generator, n: int) -> Tensor:
    return torch.randint(0, 2, (n, 2), generator=g) * 2.0 - 1


def overlap(g: torch.Generator, n: int) -> Pairs:
    """Sides of 8 to 300, shifted by 5 to 40 % of them."""
    size = uniform(g, n, 2, low=8, high=300)
    shift = sign(g, n) * uniform(g, n, 2, low=0.05, high=0.4) * size
    center = torch.tensor([100.0, 80.0], dtype=torch.float64).expand(n, 2)
    return box(center, size), box(center + shift, size * uniform(g, n, 2, low=0.7, high=1.5))


def close(g: torch.Generator, n: int) -> Pairs:
    """Nearly the target: shifted by 2.5 to 4 % of its sides, which are 1 to 3 % longer or shorter, so no edges meet."""
    size = uniform(g, n, 2, low=8, high=300)
    shift = sign(g, n) * uniform(g, n, 2, low=0.025, high=0.04) * size
    center = torch.tensor([100.0, 80.0], dtype=torch.float64).expand(n, 2)
    return box(center, size), box(center + shift, size * (1 + sign(g, n) * uniform(g, n, 2, low=0.01, high=0.03)))


def contained(g: torch.Generator, n: int) -> Pairs:
    """One box within the other, the larger being prediction and target in turn."""
    size = uniform(g, n, 2, low=20, high=300)
    shift = sign(g, n) * uniform(g, n, 2, low=0.01, high=0.1) * size
    outer = box(torch.zeros(n, 2, dtype=torch.float64) + 50, size)
    inner = box(50 + shift, size * uniform(g, n, 2, low=0.2, high=0.7))
    swap = (torch.arange(n) % 2 == 0)[:, None]
    return torch.where(swap, outer, inner), torch.where(swap, inner, outer)


def disjoint(g: torch.Generator, n: int) -> Pairs:
    """Sides of 5 to 100, apart by up to 1000, in x, in y or in both."""
    sizes = [uniform(g, n, 2, low=5, high=100) for _ in range(2)]
    apart = sign(g, n) * uniform(g, n, 2, low=110, high=1000)
    near = uniform(g, n, 2, low=-500, high=500)
    along = (torch.arange(n) % 2)[:, None] == torch.arange(2)
    return box(torch.full((n, 2), 200.0, dtype=torch.float64), sizes[0]), box(
        200 + torch.where(along, near, apart), sizes[1]
    )


def tiny(g: torch.Generator, n: int) -> Pairs:
    """Sides of 1e-4 to 3e-3."""
    return tuple(boxes * 1e-5 for boxes in overlap(g, n))


def huge(g: torch.Generator, n: int) -> Pairs:
    """Sides of 2e4 to 6e5, around 6e5."""
    return tuple(boxes * 2000 + 4e5 for boxes in overlap(g, n))


def tall_and_wide(g: torch.Generator, n: int) -> Pairs:
    """Crossed boxes, 5 to 300 times as long as they are wide."""
    long, short = uniform(g, n, 1, low=100, high=600), uniform(g, n, 1, low=2, high=20)
    center = torch.full((n, 2), 300.0, dtype=torch.float64)
    shift = torch.cat([uniform(g, n, 1, low=1, high=30), uniform(g, n, 1, low=-30, high=-1)], 1)
    other = torch.cat([short, long], 1) * uniform(g, n, 2, low=0.5, high=2)
    return box(center, torch.cat([long, short], 1)), box(center + shift, other)


def touching(g: torch.Generator, n: int) -> Pairs:
    """Whole numbers, so that edges, and every third time corners, meet exactly: a kink."""
    first, second = (torch.randint(4, 91, (n, 2), generator=g).double() for _ in range(2))
    part = torch.rand(n, generator=g, dtype=torch.float64)
    down = torch.stack([torch.zeros(n, dtype=torch.float64), (first[:, 1] * part).ceil(), first[:, 1]], 1)
    down = down.gather(1, (torch.arange(n) % 3)[:, None]).squeeze(1)
    corner = torch.tensor([10.0, 20.0], dtype=torch.float64).expand(n, 2)
    start = corner + torch.stack([first[:, 0], down], 1)
    return torch.cat([corner, corner + first], 1), torch.cat([start, start + second], 1)


def anywhere(g: torch.Generator, n: int) -> Pairs:
    """Boxes of very different sizes (0.01 to 1000) anywhere, most of them disjoint."""
    centers = [uniform(g, n, 2, high=1000) for _ in range(2)]
    sizes = [10 ** uniform(g, n, 2, low=-2, high=3) for _ in range(2)]
    return tuple(box(center, size) for center, size in zip(centers, sizes, strict=True))


REGIMES = [overlap, close, contained, disjoint, tiny, huge, tall_and_wide]
"""Where value and gradient are defined and compared with the reference."""

ALL_REGIMES = [*REGIMES, touching, anywhere, draw_boxes]
