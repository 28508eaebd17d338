"""What a property is, how its checks are counted, and what may be excepted from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from cases import CASES, RANK_CASES, Case, run
from torch import Tensor

ALL_CASES = CASES + RANK_CASES

EXAMPLES = 3
"""Failures of which the text is kept."""


@dataclass
class Tally:
    """Checks of one property on one case.

    Attributes:
        checks: Values, rows or calls that were looked at.
        failed: Those that did not hold.
        failures: What the first failures were.
        worst: The largest error; what it is in, the property says.
        shares: Figures that are published and not judged.
    """

    checks: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    worst: float | None = None
    shares: dict[str, float] = field(default_factory=dict)

    def holds(self, what: str, good: Tensor | bool) -> None:
        """Count the entries of ``good``."""
        good = torch.as_tensor(good)
        self.checks += good.numel()
        missed = int(good.numel() - good.sum())
        if missed:
            self.failed += missed
            self.failures.append(f"{what}: {missed} of {good.numel()}")
            del self.failures[EXAMPLES:]

    def within(self, what: str, error: Tensor, tolerance: float) -> None:
        """Count errors, which have to be numbers of at most the tolerance."""
        error = error.detach().double()
        if error.numel():
            largest = error.nan_to_num(nan=torch.inf).max().item()
            self.worst = largest if self.worst is None else max(self.worst, largest)
            what = f"{what} (up to {largest:.2g})"
        self.holds(what, error <= tolerance)

    def close(self, what: str, value: Tensor, expected: Tensor, tolerance: float, floor: float = 1.0) -> None:
        """Count values that differ by at most the tolerance, relative to what is expected or, below it, the floor."""
        if value.shape != expected.shape:
            self.holds(f"{what}: shape {tuple(value.shape)} for {tuple(expected.shape)}", False)
            return
        value, expected = value.detach().double(), expected.detach().double()
        self.within(what, (value - expected).abs() / expected.abs().clamp(min=floor), tolerance)

    def rows_close(self, what: str, value: Tensor, expected: Tensor, tolerance: float, floor: float = 0.0) -> None:
        """Count rows that differ by at most the tolerance, relative to the row's largest expected entry."""
        value, expected = (x.detach().double().reshape(x.shape[0], x.shape[1:].numel()) for x in (value, expected))
        scale = expected.abs().amax(1).clamp(min=max(floor, 1e-300))
        self.within(what, (value - expected).abs().amax(1) / scale, tolerance)

    def equal(self, what: str, value: Tensor, expected: Tensor) -> None:
        """Count entries that are equal to the bit."""
        same_kind = value.shape == expected.shape and value.dtype == expected.dtype
        self.holds(what, value == expected if same_kind else False)


@dataclass(frozen=True)
class Property:
    """A property of losses, measured.

    Attributes:
        number: Its number in the table.
        title: What holds.
        line: Where it passes.
        applies: Whether it means anything for a case, by the facts of the class and the case.
        check: ``(case, scale, tally)``: the work; ``scale`` multiplies the number of random rows.
        unit: What the largest error is in; empty where there is none.
    """

    number: int
    title: str
    line: str
    applies: Callable[[Case], bool]
    check: Callable[[Case, int, Tally], None]
    unit: str = ""

    def measure(self, case: Case, scale: int = 1) -> Tally:
        tally = Tally()
        self.check(case, scale, tally)
        return tally


@dataclass(frozen=True)
class Elsewhere:
    """A property that tests of their own hold: ``tests`` are run for the table, or only named where they are long."""

    number: int
    title: str
    line: str
    tests: tuple[str, ...]
    run: bool = True


@dataclass(frozen=True)
class NotShown:
    """A property that nothing here shows, and why."""

    number: int
    title: str
    line: str
    why: str


PROPERTIES: dict[int, Property | Elsewhere | NotShown] = {}


def add(entry: Property | Elsewhere | NotShown) -> None:
    assert entry.number not in PROPERTIES, entry
    PROPERTIES[entry.number] = entry


def measured(
    number: int, title: str, line: str, applies: Callable[[Case], bool], unit: str = ""
) -> Callable[[Callable[[Case, int, Tally], None]], Callable[[Case, int, Tally], None]]:
    """Decorator of the check of a property."""

    def decorate(check: Callable[[Case, int, Tally], None]) -> Callable[[Case, int, Tally], None]:
        add(Property(number, title, line, applies, check, unit))
        return check

    return decorate


def measured_properties() -> Iterator[Property]:
    return (entry for _, entry in sorted(PROPERTIES.items()) if isinstance(entry, Property))


def generator(*seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(s * 1009**k for k, s in enumerate(seed)))


def value_and_gradient(case: Case, pred: Tensor, target: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Unreduced loss and the gradient of its sum."""
    return run(case.build(reduction="none", **options), pred, target)
