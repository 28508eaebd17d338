"""Losses of embeddings."""

from __future__ import annotations

import torch
from oracle import embedding
from torch import Tensor

from .case import Case
from .draw import CLASSES, uniform


def draw_multi(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Positives, negatives and some ignored."""
    logits = 2 * torch.randn(n, CLASSES, generator=g, dtype=torch.float64)
    return logits, torch.randint(-1, 2, (n, CLASSES), generator=g).double()


def draw_similarities(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return uniform(g, n, CLASSES, low=0.15, high=0.95), (uniform(g, n, CLASSES) < 0.3).double()


EMBEDDING_CASES = [
    Case("MultiPosCrossEntropyLoss", draw_multi, True, lambda p, t: [embedding.multi_pos(p, t)], kind="embedding"),
    *(
        Case(
            name,
            draw_similarities,
            False,
            lambda p, t: [embedding.margin_l2(*row) for row in zip(p, t, strict=True)],
            kind="embedding",
            whole=True,
        )
        for name in ("MarginL2Loss", "L2Loss")
    ),
]


def draw_identities(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 6, generator=g, dtype=torch.float64), torch.randint(0, 3, (n,), generator=g)


TRIPLET_CASE = Case(
    "TripletLoss",
    draw_identities,
    True,
    lambda p, t: [[x] for x in embedding.triplets(p, t)],
    kind="embedding",
    whole=True,
)

OTHER = {"AssociativeEmbeddingLoss", "TripletLoss"}
"""Losses of whole batches or of another form, which have tests of their own in ``tests/losses/test_embedding.py``."""
