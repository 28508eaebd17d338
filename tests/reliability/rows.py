"""Laws of rows, of weights and of repetition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import Case, NoWaiting, map_target, never_select, run, spoil
from torch import Tensor

from .core import Tally, generator, measured, value_and_gradient
from .facts import always, by_row, random_rows, rows_apart

PRIME = 997


@measured(
    16,
    "rows",
    "order, split, sizes 0, 1, 2, 997 and memory layout change nothing, float64, 1e-9",
    rows_apart,
    "relative",
)
def rows(case: Case, scale: int, tally: Tally) -> None:
    pred, target = case.batch(PRIME * scale, torch.float64, seed=16)
    value, gradient = value_and_gradient(case, pred, target)

    def part(what: str, index) -> None:
        some_value, some_gradient = value_and_gradient(case, pred[index], map_target(target, lambda x: x[index]))
        tally.close(what, some_value, value[index], 1e-9, 1e-2)
        tally.rows_close(f"gradient, {what}", some_gradient, gradient[index], 1e-9, 1e-3 * gradient.abs().max().item())

    part("order", torch.randperm(len(pred), generator=generator(16)))
    for name, index in {
        "none": slice(0, 0),
        "one": slice(5, 6),
        "two": slice(6, 8),
        "first half": slice(0, PRIME // 2),
        "second half": slice(PRIME // 2, None),
        "every third": slice(None, None, 3),
    }.items():
        if name != "none":
            part(name, index)
    empty, _ = value_and_gradient(case, pred[:0], map_target(target, lambda x: x[:0]))
    tally.holds("none", empty.shape == value[:0].shape)

    def strided(x: Tensor) -> Tensor:
        return torch.stack([x, torch.full_like(x, 7)], -1).flatten(-2)[..., ::2]

    def transposed(x: Tensor) -> Tensor:
        return x.t().contiguous().t() if x.ndim == 2 else x

    for layout in (strided, transposed):
        other = case.build(reduction="none")(layout(pred), map_target(target, layout))
        tally.close(layout.__name__, other, value, 1e-9, 1e-2)
    expanded = [map_target(x, lambda x: x[:1].expand(64, *x.shape[1:])) for x in (pred, target)]
    other = case.build(reduction="none")(*expanded)
    tally.close("expanded", other, value[:1].expand(64, *value.shape[1:]), 1e-9, 1e-2)


def paths() -> Iterator[str]:
    """Both ways to delete rows: they are picked on a CPU, and replaced where picking would wait for the device."""
    yield "select"
    with pytest.MonkeyPatch.context() as patch:
        never_select(patch)
        yield "replace"


@measured(17, "weight 0", "value and gradient as if the row were not there, bit for bit, with NaN or inf in it", always)
def weight_zero(case: Case, scale: int, tally: Tally) -> None:
    n = 100 * scale
    for path in paths():
        for seed, zeros in enumerate((0.2, 0.6, 0.97)):
            pred, target = case.batch(n, seed=seed)
            weight = random_rows(n, seed, zeros=zeros)
            weight[seed] = 1.0
            gone = weight == 0
            junk = spoil(pred, target, gone)
            kept = pred[~gone], map_target(target, lambda x, gone=gone: x[~gone]), weight[~gone]
            for call in ({"reduction_override": "sum"}, {"avg_factor": 3.0}):
                value, gradient = run(case.build(), *junk, weight, **call)
                tally.holds(f"gradient 0, {path}", by_row(gradient[gone] == 0).all(1))
                # A sum over more rows may round differently, so it is compared with the same rows, harmless.
                other = kept if path == "select" else (pred, target, weight)
                expected, expected_gradient = run(case.build(), *other, **call)
                tally.equal(f"value, {path}", value, expected)
                good = gradient[~gone] == (expected_gradient if path == "select" else expected_gradient[~gone])
                tally.holds(f"gradient, {path}", by_row(good).all(1))
            value, _ = run(case.build(reduction="none"), *junk, weight)
            tally.holds(f"unreduced 0, {path}", value[gone] == 0)
            # What is left is as if the others were not there; by itself it may be rounded in another order.
            alone, _ = run(case.build(reduction="none"), *kept)
            tally.close(f"unreduced, {path}", value[~gone], alone, 1e-6)
            value, gradient = run(case.build(), *spoil(pred, target, gone | True), torch.zeros(n))
            tally.holds(f"all 0, {path}", torch.cat([value.reshape(1), gradient.flatten()]) == 0)


@measured(22, "no waiting", "no operation that reads a value back, forward and backward", always)
def no_waiting(case: Case, scale: int, tally: Tally) -> None:
    """Every operation that reaches torch's dispatcher where rows are replaced, as on CUDA."""
    pred, target = case.batch(7)
    with pytest.MonkeyPatch.context() as patch:
        never_select(patch)
        for weight in (None, random_rows(7, 0, zeros=0.4), torch.zeros(7)):
            calls = [{"avg_factor": torch.tensor(3.0)}, {"avg_factor": 2}, {}, {"reduction_override": "none"}]
            for call in calls:
                leaf = pred.clone().requires_grad_()
                loss = case.build()
                mode = NoWaiting()
                try:
                    with mode:
                        loss(leaf, target, weight, **call).sum().backward()
                except AssertionError as error:
                    tally.holds(str(error), False)
                tally.checks += mode.operations
                tally.holds("connected", leaf.grad is not None)


@measured(25, "determinism", "10 repeats are equal to the bit, also with deterministic algorithms", always)
def determinism(case: Case, scale: int, tally: Tally) -> None:
    n = 100 * scale
    pred, target = case.batch(n, seed=25)
    weight = random_rows(n, 25, zeros=0.3)
    expected, expected_gradient = run(case.build(), pred, target, weight)
    before = torch.are_deterministic_algorithms_enabled()
    for strict in (False, True):
        torch.use_deterministic_algorithms(strict)
        try:
            for _ in range(5):
                value, gradient = run(case.build(), pred, target, weight)
                tally.equal("value", value, expected)
                tally.equal("gradient", gradient, expected_gradient)
        finally:
            torch.use_deterministic_algorithms(before)
