"""Timing: providers take turns in one process; medians and quartiles are kept."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Action = Callable[[], object]
Timer = Callable[[Action, int], float]

BLOCK_SECONDS = 1e-3
"""Short calls are repeated until a sample takes this long."""
MOST_REPEATS = 100
SETTLING_SECONDS = 0.02
"""Calls shorter than this get an untimed one at the start of each turn."""


@dataclass(frozen=True)
class Budget:
    """Time to spend on a case.

    Attributes:
        seconds: For all providers of a case together; a round that has begun is completed.
        least: Least number of rounds, however long they take.
        most: Largest number of rounds.
    """

    seconds: float = 3.0
    least: int = 7
    most: int = 300


QUICK = Budget(0.1, 3, 10)


def cpu_timer(action: Action, repeats: int) -> float:
    """Return the seconds per call."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def cuda_timer(action: Action, repeats: int) -> float:
    """Return the seconds per call between two events on the stream, launch gaps included."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        action()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / repeats


TIMERS: dict[str, Timer] = {"cpu": cpu_timer, "cuda": cuda_timer}


def warm_up(action: Action, timer: Timer, calls: int = 3) -> float:
    """Call a few times, so that one-time work is done, and return roughly the seconds per call."""
    return min(timer(action, 1) for _ in range(calls))


def order(names: Sequence[str], round_number: int) -> list[str]:
    """Return the turns of a round, rotated by its number."""
    start = round_number % max(1, len(names))
    return [*names[start:], *names[:start]]


def interleave(
    actions: Mapping[str, Action], timer: Timer, budget: Budget, now: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return samples of each action in seconds per call, one per round.

    A turn begins with an untimed call, which removes the effect of the action before it on the caches.

    Args:
        actions: What to measure, by name; each is warmed up first.
        timer: Times a number of calls of an action.
        budget: When to stop.
        now: Clock of the budget.
    """
    repeats, settling = {}, []
    for name, action in actions.items():
        about = warm_up(action, timer)
        if about < SETTLING_SECONDS:
            settling.append(name)
        repeats[name] = max(1, min(MOST_REPEATS, math.ceil(BLOCK_SECONDS / max(about, 1e-9))))
    samples: dict[str, list[float]] = {name: [] for name in actions}
    start = now()
    for number in range(budget.most):
        if number >= budget.least and now() - start >= budget.seconds:
            break
        for name in order(list(actions), number):
            if name in settling:
                actions[name]()
            samples[name].append(timer(actions[name], repeats[name]))
    return samples


def spread(samples: Sequence[float]) -> dict[str, float | int]:
    """Return median and quartiles in milliseconds."""
    values = [1e3 * value for value in samples]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "q1": low, "q3": high, "least": min(values), "rounds": len(values)}
