"""Values and gradients against the scalar reference and against differences of values."""

from __future__ import annotations

import warnings

import torch
from cases import Case, cast
from cases.regimes import REGIMES, touching
from torch import Tensor

from .core import Tally, measured, value_and_gradient
from .facts import (
    always,
    both,
    by_row,
    of_boxes,
    of_positions,
    of_probabilities,
    of_rotated,
    row_sums,
    rows_apart,
    sides,
    sizes,
    true_gradient,
)
from .inputs import batches, reference_gradients, reference_values, regimes


@measured(
    2,
    "scalar reference",
    "float64: value 1e-10, gradient 1e-8; float32: value 1e-5, gradient 1e-4",
    always,
    "float64 value, relative",
)
def scalar_reference(case: Case, scale: int, tally: Tally) -> None:
    """Value in every regime, and gradient on every fifth row, away from kinks."""
    rest = Tally()
    # The difference of two probabilities near 1 has few digits in float32.
    least = 1e-6 if of_positions(case) else 1e-2
    for regime, pred, target in batches(case, 100 * scale, 1, [*REGIMES, touching]):
        some = range(0, len(pred), 5)
        for dtype, tolerance, floor, slope in ((torch.float64, 1e-10, 1e-2, 1e-8), (torch.float32, 1e-5, 0.1, 1e-4)):
            given, given_target = pred.to(dtype), cast(target, dtype)
            value, gradient = value_and_gradient(case, given, given_target)
            rest.holds(f"dtype, {regime}", value.dtype == dtype)
            counted = tally if dtype == torch.float64 else rest
            expected = reference_values(case, given, given_target)
            counted.close(f"{dtype}, {regime}", by_row(value), expected, tolerance, floor)
            if regime != "touching":
                expected = reference_gradients(case, given, given_target, some)
                rest.rows_close(f"gradient, {dtype}, {regime}", by_row(gradient)[::5], expected, slope, least)
    merge(tally, rest)


def merge(tally: Tally, other: Tally) -> None:
    """Add the checks of another tally, not its error."""
    tally.checks += other.checks
    tally.failed += other.failed
    tally.failures = (tally.failures + other.failures)[:3]


@measured(
    4,
    "derivative",
    "float64 gradient equal to differences of values, 1e-6 of the row's largest",
    both(rows_apart, true_gradient),
    "relative to the row's largest",
)
def derivative(case: Case, scale: int, tally: Tally) -> None:
    """Central differences of fourth order, at two steps; rows in which the two disagree stand at a kink."""
    for regime, pred, target in regimes(case, 100 * scale, 2):
        _, gradient = value_and_gradient(case, pred, target)
        loss = case.build(reduction="none")
        unit = 0.1 if of_probabilities(case) else 1.0
        size = sides(pred).amin(1) if of_boxes(case) else torch.full((len(pred),), unit, dtype=torch.float64)
        if of_rotated(case):
            # a step of each length, and one of the angle
            size = torch.cat(
                [sizes(case, pred).amin(1, keepdim=True).expand(-1, 4), torch.full((len(pred), 1), 0.1)], 1
            )
        fine, coarse = (differences(loss, pred, target, step * size) for step in (2e-4, 1e-3))
        # Far from a target the digits of a small gradient are those of the values that differ.
        floor = 1e-4 / size.max().item()
        if of_rotated(case):
            # in the unit of the sides, so that no column hides behind that of the angle
            gradient, fine, coarse, floor = gradient * size, fine * size, coarse * size, 1e-4
        smooth = (fine - coarse).abs().amax(1) <= 1e-7 * fine.abs().amax(1).clamp(min=floor)
        tally.holds(f"smooth in 9 of 10 rows, {regime}", smooth.double().mean() > 0.9)
        tally.rows_close(regime, gradient[smooth].flatten(1), fine[smooth], 1e-6, floor)


def differences(loss, pred: Tensor, target, step: Tensor) -> Tensor:
    """Derivative of each row's loss by each of its coordinates, ``(n, coordinates)``."""
    columns = []
    with torch.no_grad():
        for j in range(pred[0].numel()):
            unit = torch.zeros_like(pred[0]).flatten()
            unit[j] = 1
            length = step[:, j] if step.ndim == 2 else step
            move = unit.reshape(pred[0].shape) * length.reshape(-1, *(1,) * (pred.ndim - 1))
            # Differences of the elements, summed after: a sum over classes would cancel first.
            at = {k: loss(pred + k * move, target) for k in (-2, -1, 1, 2)}
            change = row_sums(8 * (at[1] - at[-1]) - (at[2] - at[-2]))
            columns.append(change / (12 * length))
    return torch.stack(columns, 1)


@measured(
    6,
    "float32 gradient",
    "equal to the float64 gradient at the same rounded input, 1e-4 of the row's norm",
    rows_apart,
    "relative to the row's norm",
)
def single_gradient(case: Case, scale: int, tally: Tally) -> None:
    for regime, pred, target in regimes(case, 170 * scale, 3):
        pred, target = pred.float(), cast(target, torch.float32)
        _, single = value_and_gradient(case, pred, target)
        _, double = value_and_gradient(case, pred.double(), cast(target, torch.float64))
        norm = double.flatten(1).norm(dim=1)
        # A gradient of 1e-8 per side or less need not have digits.
        floor = torch.full_like(norm, 1e-33)
        if of_boxes(case) or of_rotated(case):
            floor = 1e-8 / sizes(case, target).amax(1).double()
        error = (single.double() - double).flatten(1).norm(dim=1) / torch.maximum(norm, floor + 1e-2 * norm.median())
        tally.within(regime, error, 1e-4)


@measured(
    7,
    "second order",
    "torch.autograd.gradgradcheck, float64",
    true_gradient,
)
def second_order(case: Case, scale: int, tally: Tally) -> None:
    for seed in range(5 * scale if scale < 10 else 50):
        pred, target = case.batch(4, torch.float64, seed=200 + seed)
        upstream = torch.ones((), dtype=torch.float64, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            good = torch.autograd.gradgradcheck(
                lambda x, target=target: case.build(reduction="sum")(x, target),
                (pred.requires_grad_(),),
                (upstream,),
                atol=1e-6,
                rtol=1e-4,
                fast_mode=True,
                raise_exception=False,
            )
        tally.holds("gradgradcheck", good)
