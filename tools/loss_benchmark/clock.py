"""Time: providers take turns in one process, and what is kept is the median and its spread."""

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
"""Short calls are repeated within a sample until it lasts so long."""
MOST_REPEATS = 100
SETTLING_SECONDS = 0.02
"""Calls of less than this are made once more, untimed, at the begin of a turn."""


@dataclass(frozen=True)
class Budget:
    """How long a case is measured.

    Attributes:
        seconds: Time for all providers of one case together; a round that has begun is completed.
        least: Rounds at the least, whatever they take.
        most: Rounds at the most.
    """

    seconds: float = 3.0
    least: int = 7
    most: int = 300


QUICK = Budget(0.1, 3, 10)


def cpu_timer(action: Action, repeats: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def cuda_timer(action: Action, repeats: int) -> float:
    """Seconds per call between two events on the stream, so with the gaps that launching leaves."""
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
    """Call until what is done once is done; returns about how long a call takes."""
    return min(timer(action, 1) for _ in range(calls))


def order(names: Sequence[str], round_number: int) -> list[str]:
    """The turns of a round: each begins with another, so that none always follows the same one."""
    start = round_number % max(1, len(names))
    return [*names[start:], *names[:start]]


def interleave(
    actions: Mapping[str, Action], timer: Timer, budget: Budget, now: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Samples of each action in seconds per call, one per round.

    A turn begins with a call that is not timed: after an action that went through hundreds of megabytes the caches are
    empty, after one that did not they are full, and neither is a property of the action whose turn it is.

    Args:
        actions: What to measure, by name; each is warmed up first.
        timer: Measures so many calls of an action.
        budget: When to stop.
        now: A clock, for the budget alone.
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
    """Median and quartiles in milliseconds."""
    values = [1e3 * value for value in samples]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "q1": low, "q3": high, "least": min(values), "rounds": len(values)}
