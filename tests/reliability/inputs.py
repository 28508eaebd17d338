"""Input of a case, by regime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from cases import Case, target_rows
from cases.case import Target
from cases.regimes import REGIMES
from oracle.dual import freeze, value_and_grad
from torch import Tensor

from .core import generator
from .facts import of_boxes


def regimes(case: Case, n: int, seed: int, boxes: Sequence[Callable] = REGIMES) -> Iterator[tuple[str, Tensor, Target]]:
    """Boxes in every regime, ``n`` of each; as many rows in all of what else a case draws."""
    if of_boxes(case):
        for regime in boxes:
            yield (regime.__name__, *regime(generator(seed), n))
    else:
        yield ("random", *case.draw(generator(seed), n * len(boxes)))


def reference_values(case: Case, pred: Tensor, target: Target) -> Tensor:
    """Values of the scalar reference, one row each."""
    rows = zip(pred.tolist(), target_rows(target), strict=True)
    return torch.tensor([[freeze(x) for x in case.reference(p, t)] for p, t in rows], dtype=torch.float64)


def reference_gradients(case: Case, pred: Tensor, target: Target) -> Tensor:
    """Gradients of the scalar reference, one row each."""
    rows = zip(pred.tolist(), target_rows(target), strict=True)
    return torch.tensor(
        [value_and_grad(lambda x, t=t: sum(case.reference(x, t), start=0.0), p)[1] for p, t in rows],
        dtype=torch.float64,
    )
