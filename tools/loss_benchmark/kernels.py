"""How many kernels a call takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from .clock import Action

UNCOUNTED = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "alias", "_unsafe_view", "lift_fresh")
"""What moves no data."""


class Operations(TorchDispatchMode):
    """Counts operations that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping | None = None) -> Any:
        name = func._schema.name.partition("::")[2]
        self.count += not (func.is_view or name in UNCOUNTED)
        return func(*args, **(kwargs or {}))


def operations(action: Action) -> int:
    """Operations that PyTorch dispatches, views aside."""
    with Operations() as mode:
        action()
    return mode.count


def launches(action: Action) -> int:
    """Kernels launched on a CUDA device, memory sets and copies included."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        action()
        torch.cuda.synchronize()
    on_device = [event for event in record.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not getattr(event, "is_user_annotation", False) for event in on_device)


def generated_kernels() -> int:
    """Kernels that torch.compile has generated in this process so far."""
    from torch._inductor import metrics

    return metrics.generated_kernel_count


def compiled_graphs() -> int:
    """Graphs that torch.compile has captured in this process so far."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
