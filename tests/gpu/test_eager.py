"""Every loss on a GPU, operation by operation: values, gradients, no waiting, CUDA graphs."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, STATEFUL_CASES, map_target, one_per_class, over, spoil
from on_gpu import DEVICE, LOW, REAL, assert_close, no_waiting, on_cpu, there, train, weights

from mmdet_losses import commit_statistics

N = 23
ROUNDING = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Of the gradient, which comes back in the prediction's dtype; values are float32 or wider."""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *LOW], ids=str)
@over(CASES)
def test_value_and_gradient(case, dtype, record_property):
    """Unreduced, weighted, and over a number and a tensor on the device; junk where the weight is 0."""
    batch = case.batch(N, dtype=dtype)
    junk = spoil(*batch, weights(N) == 0)
    errors: list[float] = []
    for weighted, call in (
        (False, {}),
        (False, {"reduction_override": "none"}),
        (True, {"avg_factor": 2.5}),
        (True, {"avg_factor": torch.tensor(4.0)}),
        (True, {"reduction_override": "sum"}),
    ):
        there_call = {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in call.items()}
        weight = weights(N)
        given = [weight] if weighted else []
        expected, slope = on_cpu(case, batch, *given, dtype=torch.float64, **call)
        other, other_slope = on_cpu(case, batch, *given, dtype=dtype, **call)
        pred, target = there(junk if weighted and not case.whole else batch)
        value, gradient = train(case.build().to(DEVICE), pred, target, *(one.to(DEVICE) for one in given), **there_call)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert gradient.dtype == dtype
        assert_close(value, expected, min(ROUNDING[dtype], ROUNDING[torch.float32]), other, errors)
        assert_close(gradient, slope, ROUNDING[dtype], other_slope, errors)
    record_property("largest error", max(errors, default=0.0))


@over(CASES)
def test_autocast_changes_nothing(case):
    if not REAL:
        pytest.skip("a CPU's autocast is tested elsewhere")
    for dtype in (torch.float32, torch.float16):
        pred, target = there(case.batch(N, dtype=dtype))
        value, gradient = train(case.build().to(DEVICE), pred, target)
        for low in (torch.float16, torch.bfloat16):
            with torch.autocast(DEVICE, low):
                under, slope = train(case.build().to(DEVICE), pred, target)
            assert under.dtype == torch.float32
            torch.testing.assert_close(under, value, rtol=1e-6, atol=0)
            torch.testing.assert_close(slope, gradient, rtol=1e-3 if dtype == torch.float16 else 1e-6, atol=1e-7)


@over(CASES)
def test_no_waiting(case):
    """After the first call, which moves per-class tensors there."""
    pred, target = there(case.batch(N))
    weight = weights(N).float().to(DEVICE)
    loss = case.build().to(DEVICE)
    factors = (None, 2.5, torch.tensor(4.0, device=DEVICE))
    train(loss, pred, target, weight)
    with no_waiting():
        for factor in factors:
            train(loss, pred, target, weight, avg_factor=factor)
        train(loss, pred, target)
        with torch.no_grad():
            loss(pred, target, weight)


@over(one_per_class())
def test_graph_of_a_step(case):
    """Forward and backward are captured once, and replayed on other values."""
    if not REAL:
        pytest.skip("a CPU captures no graphs")
    assert_replays(case, case.build().to(DEVICE))


def assert_replays(case, loss):
    """Capture a loss with its gradient and compare a replay on another batch with a call."""
    pred, target = there(case.batch(N))
    leaf, weight = pred.requires_grad_(), weights(N).float().to(DEVICE)
    factor = torch.tensor(4.0, device=DEVICE)

    def step():
        value = loss(leaf, target, weight, avg_factor=factor)
        return value, torch.autograd.grad(value, leaf)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value, gradient = step()
    other_pred, other_target = there(case.batch(N, seed=1))
    with torch.no_grad():
        leaf.copy_(other_pred)
        pairs = zip(target, other_target, strict=True) if isinstance(target, tuple) else [(target, other_target)]
        for into, new in pairs:
            into.copy_(new)
    graph.replay()
    found = value.clone(), gradient.clone()
    torch.testing.assert_close(found, step(), rtol=1e-5, atol=1e-7)


@over(STATEFUL_CASES)
def test_statistics(case):
    """Three iterations leave the same statistics there as on the CPU, without waiting."""
    here, loss = case.build(), case.build().to(DEVICE)
    for seed in range(3):
        batch = case.batch(N, dtype=torch.float32, seed=seed)
        train(here, *batch)
        train(loss, *there(batch))
        commit_statistics(here)
        commit_statistics(loss)
    for name, value in here.state_dict().items():
        found = loss.state_dict()[name]
        assert found.device.type == torch.device(DEVICE).type
        torch.testing.assert_close(found.cpu(), value, rtol=1e-5, atol=1e-7)


@over(one_per_class())
def test_no_rows(case):
    """An empty batch gives 0, and a gradient of its shape."""
    pred, target = case.batch(1)
    pred, target = there((pred[:0], map_target(target, lambda x: x[:0])))
    value, gradient = train(case.build().to(DEVICE), pred, target, avg_factor=3.0)
    assert value.item() == 0
    assert gradient.shape == pred.shape
