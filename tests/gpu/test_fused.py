"""Every loss on a GPU with ``fused=True``: values, gradients, no waiting, number of kernels, CUDA graphs."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from cases import Case, cast, one_per_class
from loss_benchmark.kernels import launches
from on_gpu import DEVICE, LOW, REAL, assert_close, no_waiting, on_cpu, there, train, weights
from test_eager import ROUNDING, assert_replays

FUSIBLE = [case for case in one_per_class() if case.build().fusible]
MOST_KERNELS = 2
STATISTICS = ("WIoULoss",)
"""Losses of boxes that gather statistics in the same call, which takes kernels of its own."""
OF_GRADIENT = {"RotatedIoULoss": 1e-3}
"""Edges that are nearly parallel cancel."""
CALLS = 20
"""Calls after which no loss looks at its targets any more."""
# Under xdist's --dist loadgroup the tests of a loss share the process that compiled it.
parameters = [pytest.param(case, id=case.id, marks=pytest.mark.xdist_group(case.name)) for case in FUSIBLE]
over_fusible = pytest.mark.parametrize("case", parameters)
N = 300


@pytest.fixture(autouse=True)
def nothing_falls_back():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*fused=True", UserWarning)
        yield


@over_fusible
def test_value_and_gradient(case, record_property):
    """Junk where the weight is 0; a number and a tensor as divisor."""
    batch, weight = case.batch(N, dtype=torch.float32), weights(N)
    pred, target = there(batch)
    pred[1::3] = math.nan
    loss = case.build(fused=True).to(DEVICE)
    errors: list[float] = []
    for call in ({"avg_factor": 2.5}, {"avg_factor": torch.tensor(4.0)}):
        expected, slope = on_cpu(case, batch, weight, dtype=torch.float64, **call)
        other, other_slope = on_cpu(case, batch, weight, dtype=torch.float32, **call)
        call = {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in call.items()}
        value, gradient = train(loss, pred, target, weight.float().to(DEVICE), **call)
        assert value.dtype == gradient.dtype == torch.float32
        assert_close(value, expected, ROUNDING[torch.float32], other, errors)
        assert_close(gradient, slope, OF_GRADIENT.get(case.name, ROUNDING[torch.float32]), other_slope, errors)
    record_property("largest error", max(errors))


@pytest.mark.parametrize("low", LOW, ids=str)
@over_fusible
def test_low_precision_is_upcast_first(case, low):
    """As float32 on the same rounded input, where ties of coordinates are frequent; the gradient in its dtype."""
    pred, target = there(case.batch(N, dtype=low))
    weight = weights(N).float().to(DEVICE)
    value, gradient = train(case.build(fused=True).to(DEVICE), pred, target, weight, avg_factor=2.5)
    single, slope = train(
        case.build(fused=True).to(DEVICE), pred.float(), cast(target, torch.float32), weight, avg_factor=2.5
    )
    assert value.dtype == torch.float32
    assert gradient.dtype == low
    scale = slope.abs().max().item()
    torch.testing.assert_close(value, single, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.float(), slope, rtol=ROUNDING[low], atol=ROUNDING[low] * 1e-2 * scale)


def step(case: Case):
    """A steady step of a loss: forward, and backward of what it returns."""
    pred, target = there(case.batch(N))
    leaf, weight = pred.requires_grad_(), weights(N).float().to(DEVICE)
    loss = case.build(fused=True).to(DEVICE)

    def forward():
        return loss(leaf, target, weight, avg_factor=2.5)

    return forward, lambda value: torch.autograd.grad(value, leaf, torch.ones_like(value))[0]


@over_fusible
def test_no_waiting(case):
    forward, backward = step(case)
    backward(forward())
    with no_waiting():
        backward(forward())


@over_fusible
def test_number_of_kernels(case, record_property):
    """Copies and fills count; the seed of backward is made before."""
    if not REAL:
        pytest.skip("a CPU launches nothing")
    forward, backward = step(case)
    for _ in range(CALLS):
        backward(forward())
    found = []
    of_forward = launches(lambda: found.append(forward()))
    seed = torch.ones_like(found[0])
    of_backward = launches(lambda: found[0].backward(seed))
    record_property("kernels", f"{of_forward}+{of_backward}")
    if case.kind == "box" and case.name not in STATISTICS:
        assert of_forward <= MOST_KERNELS
        assert of_backward <= MOST_KERNELS


@over_fusible
def test_graph_of_a_step(case):
    if not REAL:
        pytest.skip("a CPU captures no graphs")
    assert_replays(case, case.build(fused=True).to(DEVICE))
