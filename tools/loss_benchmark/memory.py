"""Peak of the memory that a call takes beyond its input."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.profiler import ProfilerActivity, profile

from .clock import Action


def highest(changes: Iterable[int]) -> int:
    """Highest level that changes reach from 0."""
    level = top = 0
    for change in changes:
        level += change
        top = max(top, level)
    return top


def peak_bytes(action: Action, device: str) -> int:
    """Peak of what ``action`` allocates, its gradients included.

    On a CPU the allocator's own events, so that generated code counts too; on CUDA the allocator's statistics.
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
