"""To which cases a property applies, by what class and case say of themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case
from torch import Tensor

Applies = Callable[[Case], bool]


def always(case: Case) -> bool:
    """every loss"""
    return True


def of_boxes(case: Case) -> bool:
    """losses of boxes"""
    return case.loss_class.boxes


def of_rotated(case: Case) -> bool:
    """losses of rotated boxes"""
    return case.kind == "rotated"


def of_areas(case: Case) -> bool:
    """losses of boxes, rotated or not"""
    return of_boxes(case) or of_rotated(case)


def of_positions(case: Case) -> bool:
    """losses of boxes, rotated or not, or of coordinates"""
    return case.loss_class.slot in ("bbox", "rbox")


def ranks(case: Case) -> bool:
    """losses that rank all logits of a call together"""
    return case.kind == "ranking"


def rows_apart(case: Case) -> bool:
    """losses whose rows do not depend on each other"""
    return not (ranks(case) or case.whole)


def true_gradient(case: Case) -> bool:
    """losses without a factor that is a constant in the gradient"""
    return not case.frozen


def scale_invariant(case: Case) -> bool:
    """losses that say they are scale invariant"""
    return case.build().scale_invariant


def best_is_zero(case: Case) -> bool:
    """losses that say they are 0 at a match"""
    return case.build().best == 0


def both(*facts: Applies) -> Applies:
    """All of the facts."""

    def applies(case: Case) -> bool:
        return all(fact(case) for fact in facts)

    applies.__doc__ = "; ".join(fact.__doc__ or fact.__name__ for fact in facts)
    return applies


def of_probabilities(case: Case) -> bool:
    """Predictions are probabilities and not logits."""
    pred, _ = case.batch(200)
    return not of_positions(case) and bool((pred > 0).all() and (pred < 1).all())


def parts(target: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return target if isinstance(target, tuple) else (target,)


def has_labels(case: Case) -> bool:
    """The target holds class labels."""
    return any(not x.is_floating_point() for x in parts(case.batch(2)[1]))


def has_scores(case: Case) -> bool:
    """A classification target holds qualities between 0 and 1, and not only 0 and 1."""
    target = [x for x in parts(case.batch(200)[1]) if x.is_floating_point()]
    return case.loss_class.slot == "cls" and any(bool(((x > 0) & (x < 1)).any()) for x in target)


def by_row(x: Tensor) -> Tensor:
    """Two axes, the first as it is."""
    return x.flatten(1) if x.ndim > 1 else x[:, None]


def row_sums(value: Tensor) -> Tensor:
    return by_row(value).sum(1)


def sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]


def sizes(case: Case, boxes: Tensor) -> Tensor:
    """Widths and heights of boxes, rotated or not."""
    return boxes[:, 2:4] if of_rotated(case) else sides(boxes)


def random_rows(n: int, seed: int, dtype: torch.dtype = torch.float32, zeros: float = 0.0) -> Tensor:
    """Weights of rows, some of them 0."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.rand(n, generator=g, dtype=torch.float64) + 0.1
    weight[torch.rand(n, generator=g) < zeros] = 0
    return weight.to(dtype)
