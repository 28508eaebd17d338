"""What compiled losses of sigmoids share: its numbers, and that its written gradient is the one that is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mmdet_losses import functional as F
from mmdet_losses.functional.logistic import Logistic, log_of_one_plus, logistic
from mmdet_losses.kernels import Call, generated


def test_logarithm_to_rounding() -> None:
    """Over [0, 1], tiny numbers included, against float64."""
    x = torch.cat([torch.linspace(0, 1, 100_001), torch.logspace(-38, 0, 10_001)])
    expected = x.double().log1p()
    torch.testing.assert_close(log_of_one_plus(x).double(), expected, rtol=3e-7, atol=1e-45)
    assert torch.equal(log_of_one_plus(x.double()), expected)


def test_logarithm_is_not_biased() -> None:
    """What the series leaves out is less than the rounding of one number, and shows in the mean of many."""
    x = torch.linspace(0.9, 1, 2**16)
    expected = x.double().log1p()
    assert abs(((log_of_one_plus(x).double() - expected) / expected).mean().item()) < 2e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers(dtype: torch.dtype) -> None:
    pred = torch.linspace(-100, 100, 4001, dtype=dtype)
    target = torch.rand(4001, generator=torch.Generator().manual_seed(0), dtype=dtype)
    exact = logistic(pred.double(), target.double(), rest=True)
    for ours, expected in zip(Logistic.apply(pred, target), exact, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=1e-37)


def test_complement_is_computed_on_demand() -> None:
    pred, target = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    assert logistic(pred, target)[1] is None
    torch.testing.assert_close(logistic(pred, target, rest=True)[1], 1 - torch.sigmoid(pred))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("function", [F.sigmoid_focal_loss, F.quality_focal_terms, F.sigmoid_cross_entropy])
def test_forward_mode(function: Callable[..., Tensor]) -> None:
    """Eager losses have it; a written backward has none."""
    pred, direction, target = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, leaf = target.sigmoid(), pred.clone().requires_grad_()
    function(leaf, target).sum().backward()
    _, slope = torch.func.jvp(lambda pred: function(pred, target).sum(), (pred,), (direction,))
    torch.testing.assert_close(slope, (leaf.grad * direction).sum())


def test_gradient() -> None:
    pred = torch.linspace(-9, 9, 40, dtype=torch.float64).requires_grad_()
    target = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda pred: Logistic.apply(pred, target), pred)


class Marked(torch.autograd.Function):
    """A sum of squares that says of its gradient that it was asked."""

    @staticmethod
    def forward(pred: Tensor) -> Tensor:
        return pred.square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 7 * slope


@pytest.mark.compiler
def test_kernels_use_written_gradients() -> None:
    """Those of what reads the prediction itself too, which torch.compile differentiates through otherwise."""
    call = Call(Marked.apply, {}, "sum", 1.0, "elements", False, Marked)
    pred = torch.rand(5, 3)
    compile = torch.compile(fullgraph=True, backend="aot_eager")
    value, gradient = compile(generated.value_and_gradient)(call, pred, (), None, None)
    torch.testing.assert_close(value, pred.square().sum())
    assert torch.equal(gradient, torch.full((5, 3), 7.0))
    gradient = compile(generated.scaled_gradient)(torch.tensor(2.0), call, pred, (), None, None)
    assert torch.equal(gradient, torch.full((5, 3), 14.0))
