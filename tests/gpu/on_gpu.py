"""What the tests of a GPU share. ``MMDET_LOSSES_GPU_TESTS=cpu`` tries them on a CPU, where they prove little."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from cases import Case, cast, map_target
from torch import Tensor

DEVICE = os.environ.get("MMDET_LOSSES_GPU_TESTS") or "cuda"
REAL = DEVICE == "cuda"

if REAL and not torch.cuda.is_available():
    pytest.skip("needs a GPU that torch sees", allow_module_level=True)

LOW = (torch.float16, torch.bfloat16)
DTYPES = (torch.float32, *LOW)
Batch = tuple[Tensor, Tensor | tuple[Tensor, Tensor]]


def there(batch: Batch, dtype: torch.dtype | None = None) -> Batch:
    """A batch on the device."""
    pred, target = batch
    if dtype is not None:
        pred, target = pred.to(dtype), cast(target, dtype)
    return pred.to(DEVICE), map_target(target, lambda x: x.to(DEVICE))


def weights(n: int, zeros: bool = True) -> Tensor:
    """Weights of rows, float64, some of which are 0."""
    weight = torch.rand(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.5
    if zeros:
        weight[1::3] = 0
    return weight


def train(loss: torch.nn.Module, pred: Tensor, *args: object, **call: object) -> tuple[Tensor, Tensor]:
    """Value and gradient of a call, on the device."""
    leaf = pred.detach().requires_grad_()
    value = loss(leaf, *args, **call)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def assert_close(found: Tensor, expected: Tensor, rtol: float, other: Tensor, record: list[float]) -> None:
    """Compare with float64: within rounding of the largest value, or of a few times what a CPU is off by.

    Args:
        found: What the device computed.
        expected: The same in float64.
        rtol: Relative tolerance.
        other: What a CPU computes in the device's dtype.
        record: Where the error is kept, as a share of the largest value.
    """
    assert found.device.type == torch.device(DEVICE).type
    found = found.double().cpu()
    scale = expected.abs().max().item() if expected.numel() else 0.0
    off = (other.double() - expected).abs().max().item() if expected.numel() else 0.0
    if scale:
        record.append(((found - expected).abs().max() / scale).item())
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * scale + 4 * off)


def on_cpu(case: Case, batch: Batch, *args: object, dtype: torch.dtype, **call: object) -> tuple[Tensor, Tensor]:
    """Value and gradient on the CPU in a dtype, from what the device was given."""
    pred, target = batch
    return train(case.build(), pred.to(dtype), cast(target, dtype), *args, **call)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Context in which waiting for the device raises."""
    if REAL:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if REAL:
            torch.cuda.set_sync_debug_mode("default")
