"""Input of a case, by regime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from cases import Case, target_rows
from cases.case import Target
from cases.regimes import REGIMES
from cases.rotated import ROTATED_REGIMES
from oracle.dual import freeze, value_and_grad
from torch import Tensor

from .core import generator
from .facts import by_row, of_boxes, of_rotated, ranks, rows_apart


def regimes(case: Case, n: int, seed: int, boxes: Sequence[Callable] = REGIMES) -> Iterator[tuple[str, Tensor, Target]]:
    """Boxes in every regime, ``n`` of each; as many rows in all of what else a case draws."""
    if of_boxes(case):
        for regime in boxes:
            yield (regime.__name__, *regime(generator(seed), n))
    elif of_rotated(case):
        for regime in boxes:
            if (turned := ROTATED_REGIMES.get(regime.__name__)) is not None:
                yield (regime.__name__, *turned(generator(seed), n))
    else:
        yield ("random", *case.draw(generator(seed), n * len(boxes)))


def batches(case: Case, n: int, seed: int, boxes: Sequence[Callable] = REGIMES) -> Iterator[tuple[str, Tensor, Target]]:
    """As :func:`regimes`, in small batches where the reference needs the whole of one."""
    if rows_apart(case):
        yield from regimes(case, n, seed, boxes)
    else:
        for k in range(max(1, n // 100)):
            yield ("random", *case.draw(generator(seed, k), 40 if case.whole else 16))


def ranking(case: Case, pred: Tensor, target: Tensor) -> tuple[list[float], list[list[float]]]:
    """Errors of all entries, and the gradients that each assigns, from the scalar reference."""
    if target.shape != pred.shape:
        hot = (target[:, None] == torch.arange(pred.shape[1])).double()
        target = torch.where(target[:, None] < 0, -1, hot)
    return case.reference(pred.flatten().tolist(), target.double().flatten().tolist())


def reference_values(case: Case, pred: Tensor, target: Target) -> Tensor:
    """Values of the scalar reference, a row each."""
    if ranks(case):
        return by_row(torch.tensor(ranking(case, pred, target)[0], dtype=torch.float64).reshape(pred.shape))
    rows = case.reference_rows(pred.tolist(), target_rows(target))
    return torch.tensor([[freeze(x) for x in row] for row in rows], dtype=torch.float64)


def reference_gradients(case: Case, pred: Tensor, target: Target, some: Iterable[int]) -> Tensor:
    """Gradients of the scalar reference in some rows, a row each; of a row's own loss, unless losses are ranked."""
    if ranks(case):
        assigned = torch.tensor(ranking(case, pred, target)[1], dtype=torch.float64)
        return by_row(assigned.sum(0).reshape(pred.shape))[list(some)]
    rows, targets = pred.tolist(), target_rows(target)

    def total(x: Sequence, i: int):
        if case.whole:
            return sum(case.reference([*rows[:i], x, *rows[i + 1 :]], targets)[i], start=0.0)
        return sum(case.reference(x, targets[i]), start=0.0)

    grads = [value_and_grad(lambda x, i=i: total(x, i), rows[i])[1] for i in some]
    return torch.tensor(grads, dtype=torch.float64)
