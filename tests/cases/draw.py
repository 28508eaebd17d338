"""Valid input of ``n`` rows for every kind of loss, float64, away from kinks."""

from __future__ import annotations

import torch
from torch import Tensor

CLASSES = 5
BINS = 9


def uniform(g: torch.Generator, n: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(n, *shape, generator=g, dtype=torch.float64) * (high - low) + low


def draw_boxes(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Boxes of 4 to 200 pixels with predictions from close to far off."""
    center, size = uniform(g, n, 2, high=500), uniform(g, n, 2, low=4, high=200)
    target = torch.cat([center - size / 2, center + size / 2], 1)
    center = center + size * uniform(g, n, 2, low=-0.7, high=0.7)
    size = size * torch.exp(uniform(g, n, 2, low=-0.7, high=0.7))
    return torch.cat([center - size / 2, center + size / 2], 1), target


def draw_deltas(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 4, generator=g, dtype=torch.float64), torch.randn(n, 4, generator=g, dtype=torch.float64)


def draw_logits(g: torch.Generator, n: int) -> Tensor:
    return 3 * torch.randn(n, CLASSES, generator=g, dtype=torch.float64)


def draw_labels(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Labels of softmax losses, without background."""
    return draw_logits(g, n), torch.randint(0, CLASSES, (n,), generator=g)


def draw_labels_background(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Labels in which the number of classes stands for background."""
    return draw_logits(g, n), torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_objectness(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """A further logit for background."""
    logits = 3 * torch.randn(n, CLASSES + 1, generator=g, dtype=torch.float64)
    return logits, torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_seesaw(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Two further logits, for object and background."""
    logits = 3 * torch.randn(n, CLASSES + 2, generator=g, dtype=torch.float64)
    return logits, torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_one_hot(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return draw_logits(g, n), (uniform(g, n, CLASSES) < 0.3).double()


def draw_soft(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Qualities between 0 and 1, most of them 0."""
    return draw_logits(g, n), uniform(g, n, CLASSES) * (uniform(g, n, CLASSES) < 0.4)


def draw_probability_labels(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return uniform(g, n, CLASSES, low=0.02, high=0.98), torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_probability_soft(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    _, target = draw_soft(g, n)
    return uniform(g, n, CLASSES, low=0.02, high=0.98), target


def draw_quality(g: torch.Generator, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    pred, label = draw_labels_background(g, n)
    return pred, (label, uniform(g, n))


def draw_probability_quality(g: torch.Generator, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    pred, label = draw_probability_labels(g, n)
    return pred, (label, uniform(g, n))


def draw_distribution(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Probabilities of the classes that add up."""
    pred = draw_logits(g, n)
    return pred, draw_logits(g, n).softmax(-1)


def draw_probability_softmax(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return uniform(g, n, CLASSES, low=0.02, high=0.98), torch.randint(0, CLASSES, (n,), generator=g)


def draw_heat(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Probabilities against a heat map with some peaks of exactly 1."""
    peak = uniform(g, n, CLASSES) < 0.3
    return uniform(g, n, CLASSES, low=0.02, high=0.98), torch.where(peak, 1.0, uniform(g, n, CLASSES, high=0.9))


def draw_heat_logits(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    _, target = draw_heat(g, n)
    return draw_logits(g, n), target


def draw_range(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Distances from -1.5 to 4.5."""
    return 2 * torch.randn(n, BINS, generator=g, dtype=torch.float64), uniform(g, n, low=-1.5, high=4.5)


def draw_bins(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(n, BINS, generator=g, dtype=torch.float64), uniform(g, n, high=BINS - 1)


def draw_teacher(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Logits over bins of a student and a teacher."""
    return tuple(2 * torch.randn(n, BINS, generator=g, dtype=torch.float64) for _ in range(2))
