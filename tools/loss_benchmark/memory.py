"""Peak memory of a call beyond its input."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.profiler import ProfilerActivity, profile

from .clock import Action


def highest(changes: Iterable[int]) -> int:
    """Return the highest running sum of changes, from 0."""
    level = top = 0
    for change in changes:
        level += change
        top = max(top, level)
    return top


def peak_bytes(action: Action, device: str) -> int:
    """Return the peak of what ``action`` allocates, gradients included.

    Read from the allocator's events on a CPU, which include generated code, and from its statistics on CUDA.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        action()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    return highest(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
