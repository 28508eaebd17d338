"""A copy of 16 MB, timed before, between and after: whether the machine was idle enough for a run to count."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import torch

from .clock import TIMERS

BYTES = 16 * 2**20
BAR_MS = 1.0
"""On a CPU, a run counts where the median of its copies is below this."""


def verdict(medians: list[float], device: str) -> dict[str, object]:
    """What the run's JSON says of its copies, in milliseconds."""
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
    """Times the copy whenever it is called."""

    device: str
    medians: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = torch.ones(BYTES // 4, device=self.device)
        self.target = torch.zeros_like(self.source)

    def __call__(self, rounds: int = 11) -> float:
        """Median of some copies in milliseconds, kept for the verdict."""
        timer = TIMERS[self.device]
        samples = [timer(lambda: self.target.copy_(self.source), 1) for _ in range(rounds)]
        self.medians.append(1e3 * statistics.median(samples))
        return self.medians[-1]

    def verdict(self) -> dict[str, object]:
        return verdict(self.medians, self.device)
