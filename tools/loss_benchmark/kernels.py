"""Number of kernels of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from .clock import Action

UNCOUNTED = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "alias", "_unsafe_view", "lift_fresh")
"""Operations that move no data."""


class Operations(TorchDispatchMode):
    """Count operations, except views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping | None = None) -> Any:
        name = func._schema.name.partition("::")[2]
        self.count += not (func.is_view or name in UNCOUNTED)
        return func(*args, **(kwargs or {}))


def operations(action: Action) -> int:
    """Return the number of operations that PyTorch dispatches, without views."""
    with Operations() as mode:
        action()
    return mode.count


def launches(action: Action) -> int:
    """Return the number of kernels launched on a CUDA device, including memory sets and copies."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        action()
        torch.cuda.synchronize()
    on_device = [event for event in record.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not getattr(event, "is_user_annotation", False) for event in on_device)


def generated_kernels() -> int:
    """Return the number of kernels that torch.compile has generated in this process."""
    from torch._inductor import metrics

    return metrics.generated_kernel_count


def compiled_graphs() -> int:
    """Return the number of graphs that torch.compile has captured in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
