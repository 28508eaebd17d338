"""Bounds and invariances, from the facts of the classes."""

from __future__ import annotations

import torch
from cases import Case
from cases.regimes import ALL_REGIMES, REGIMES, anywhere, contained, disjoint, draw_boxes, overlap, tall_and_wide
from torch import Tensor

from .core import Tally, measured, value_and_gradient
from .facts import always, both, of_boxes, of_positions, of_rotated, row_sums, rows_apart, scale_invariant
from .inputs import regimes

PIXELS = [overlap, contained, disjoint, tall_and_wide, draw_boxes]
"""Boxes of the sizes that images have."""


def lengths(case: Case, x: Tensor) -> int:
    """How many of the columns are lengths; behind those of a rotated box stands its angle."""
    return 4 if of_rotated(case) else x.shape[1]


def shifted(case: Case, x: Tensor, dx: float, dy: float) -> Tensor:
    """Boxes, or coordinates, moved."""
    shift = [dx, dy, 0.0, 0.0, 0.0] if of_rotated(case) else [dx, dy] * 2
    return x + torch.tensor(shift, dtype=x.dtype)


def scaled_by(case: Case, x: Tensor, factor: float) -> Tensor:
    """Boxes, or coordinates, with every length times a factor."""
    count = lengths(case, x)
    return torch.cat([x[:, :count] * factor, x[:, count:]], 1)


@measured(9, "bounds", "values within the class's bounds, 1e-6", always, "beyond the bounds")
def bounds(case: Case, scale: int, tally: Tally) -> None:
    low, high = case.build().bounds
    for regime, pred, target in regimes(case, 200 * scale, 9, ALL_REGIMES):
        value = case.build(reduction="none")(pred, target)
        beyond = torch.maximum(low - value, value - high).clamp(min=0)
        tally.within(regime, beyond.flatten(), 1e-6)


@measured(
    10,
    "translation",
    "float64, by 1e4: 1e-9; float32, by 1e3: 1e-4",
    both(of_positions, rows_apart),
    "float64, relative",
)
def translation(case: Case, scale: int, tally: Tally) -> None:
    for regime, pred, target in regimes(case, 40 * scale, 10, PIXELS):
        value, gradient = value_and_gradient(case, pred, target)
        for dx, dy in ((1e4, -1e4), (-7321.0, 123.0)):
            moved, moved_gradient = value_and_gradient(case, *(shifted(case, x, dx, dy) for x in (pred, target)))
            tally.close(regime, moved, value, 1e-9)
            tally.holds(
                f"gradient, {regime}",
                (moved_gradient - gradient).abs().amax(1) <= 1e-6 * gradient.abs().amax(1) + 1e-8,
            )
        # Coordinates that are multiples of 1/64, so that a shift leaves the boxes as they are.
        single, single_target = ((x * 64).round().float() / 64 for x in (pred, target))
        value, _ = value_and_gradient(case, single, single_target)
        moved, _ = value_and_gradient(case, *(shifted(case, x, 1000.0, -1000.0) for x in (single, single_target)))
        tally.holds(f"float32, {regime}", (moved - value).abs() <= 1e-4 * value.abs().clamp(min=1))


@measured(
    11,
    "scale",
    "float64, by 1e-3 to 1e3: 1e-9; float32: 1e-6",
    both(of_positions, rows_apart, scale_invariant),
    "float64, relative",
)
def scaling(case: Case, scale: int, tally: Tally) -> None:
    for regime, pred, target in regimes(case, 30 * scale, 11, [*PIXELS, anywhere]):
        value, gradient = value_and_gradient(case, pred, target)
        for factor in (1e-3, 0.37, 1e3):
            scaled, scaled_gradient = value_and_gradient(case, *(scaled_by(case, x, factor) for x in (pred, target)))
            tally.close(regime, scaled, value, 1e-9)
            tally.holds(
                f"gradient, {regime}",
                (scaled_by(case, scaled_gradient, factor) - gradient).abs().amax(1)
                <= 1e-6 * gradient.abs().amax(1) + 1e-9,
            )
        single, single_target = pred.float(), target.float()
        value, _ = value_and_gradient(case, single, single_target)
        for factor in (2.0**-10, 2.0**10):
            scaled, _ = value_and_gradient(case, *(scaled_by(case, x, factor) for x in (single, single_target)))
            tally.holds(f"float32, {regime}", (scaled - value).abs() <= 1e-6 * value.abs().clamp(min=1))


@measured(
    12,
    "symmetry",
    "transpose, mirror, and exchange where the class says so: 1e-6",
    both(of_positions, rows_apart),
    "relative",
)
def symmetry(case: Case, scale: int, tally: Tally) -> None:
    def transposed(x: Tensor) -> Tensor:
        return x[:, [1, 0, 3, 2]]

    def mirrored(x: Tensor) -> Tensor:
        return torch.stack([-x[:, 2], x[:, 1], -x[:, 0], x[:, 3]], 1)

    def turned_over(x: Tensor) -> Tensor:
        return x * torch.tensor([-1.0, 1, 1, 1, -1], dtype=x.dtype)

    def exchanged(x: Tensor) -> Tensor:
        return x[:, [1, 0, 3, 2, 4]] * torch.tensor([1.0, 1, 1, 1, -1], dtype=x.dtype)

    # A value of each side moves with its side.
    of_rows = row_sums if of_boxes(case) else torch.clone
    moves = {"transpose": transposed, "mirror": mirrored} if of_boxes(case) else {"negation": torch.neg}
    if of_rotated(case):
        moves = {"transpose": exchanged, "mirror": turned_over}
    for regime, pred, target in regimes(case, 40 * scale, 12, [*REGIMES, anywhere]):
        value, gradient = value_and_gradient(case, pred, target)
        value = of_rows(value)
        for name, move in moves.items():
            result, slope = value_and_gradient(case, move(pred), move(target))
            result = of_rows(result)
            tally.close(f"{name}, {regime}", result, value, 1e-6)
            apart = (move(slope) - gradient).abs().amax(1)
            tally.holds(f"gradient, {name}, {regime}", apart <= 1e-6 * gradient.abs().amax(1) + 1e-9)
        if case.build().symmetric:
            tally.close(f"exchange, {regime}", of_rows(value_and_gradient(case, target, pred)[0]), value, 1e-6)
