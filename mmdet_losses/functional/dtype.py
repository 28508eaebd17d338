"""The dtype policy: losses are computed in float32 or wider, whatever comes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .compiling import is_compiling

NOTHING = nullcontext()


def upcast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in one floating dtype of at least float32.

    The dtype is float64 when any of them is float64 and float32 otherwise, so half, bfloat16 and integer
    inputs become float32. Losses of half-precision boxes are wrong long before they overflow: at 1300
    pixels a bfloat16 coordinate is a multiple of 8.
    """
    for tensor in tensors:
        if tensor.dtype is not torch.float32:
            break
    else:
        return tensors
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if wide else torch.float32
    return tuple(tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in tensors)


def without_autocast(device: str) -> AbstractContextManager:
    """Context with autocast off; where it is off already, nothing, since switching costs as much as a small loss."""
    if is_compiling() or autocast_is_on(device):
        return torch.autocast(device, enabled=False)
    return NOTHING


def autocast_is_on(device: str) -> bool:
    """Whether autocast is on for a device type."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # torch before 2.4 does not take a device
        return torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()
    except RuntimeError:  # a device without autocast
        return False
