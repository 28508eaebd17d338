"""The dtype policy: losses are computed in float32 or wider, whatever comes in."""

from __future__ import annotations

import torch
from torch import Tensor


def upcast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in one floating dtype of at least float32.

    The dtype is float64 when any of them is float64 and float32 otherwise, so half, bfloat16 and integer
    inputs become float32. Losses of half-precision boxes are wrong long before they are infinite: at 1300
    pixels a bfloat16 coordinate is a multiple of 8.
    """
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if wide else torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)
