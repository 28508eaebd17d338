"""A copy of 16 MB, timed throughout a run, tells whether the machine was idle enough."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import torch

from .clock import TIMERS

BYTES = 16 * 2**20
BAR_MS = 1.0
"""A run on a CPU is valid where the median of its copies is below this."""


def verdict(medians: list[float], device: str) -> dict[str, object]:
    """Return the copies of a run as its JSON has them, in milliseconds."""
    middle = statistics.median(medians)
    return {
        "bytes": BYTES,
        "bar_ms": BAR_MS if device == "cpu" else None,
        "medians_ms": medians,
        "median_ms": middle,
        "gigabytes_per_second": 2 * BYTES / middle / 1e6,
        "counts": middle < BAR_MS if device == "cpu" else True,
    }


@dataclass
class Probe:
    """Time the copy at every call."""

    device: str
    medians: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = torch.ones(BYTES // 4, device=self.device)
        self.target = torch.zeros_like(self.source)

    def __call__(self, rounds: int = 11) -> float:
        """Return the median of some copies in milliseconds, and keep it for the verdict."""
        timer = TIMERS[self.device]
        samples = [timer(lambda: self.target.copy_(self.source), 1) for _ in range(rounds)]
        self.medians.append(1e3 * statistics.median(samples))
        return self.medians[-1]

    def verdict(self) -> dict[str, object]:
        """Return :func:`verdict` of all copies."""
        return verdict(self.medians, self.device)
