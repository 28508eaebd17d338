"""The hand-written kernels on a GPU: dtypes, sizes, streams, CUDA graphs, threads, and elements beyond 32 bits."""

from __future__ import annotations

import threading

import pytest
import torch
from cases.written import ALL, weights, wide
from on_gpu import DEVICE, DTYPES, REAL, no_waiting
from torch import nn

if not REAL:
    pytest.skip("a CPU has kernels of its own, see tests/kernels", allow_module_level=True)

from mmdet_losses import CIoULoss, FocalLoss, GIoULoss
from mmdet_losses.kernels import cuda, generated

ROUNDING = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@pytest.fixture(autouse=True)
def nothing_else_computes(monkeypatch: pytest.MonkeyPatch):
    def refuse(*call):
        raise AssertionError(f"the kernels were not used: {cuda.unavailable}")

    monkeypatch.setattr(generated, "compute", refuse)
    yield
    assert cuda.unavailable is None


def moved(target, device):
    return tuple(one.to(device) for one in target) if isinstance(target, tuple) else target.to(device)


def train(loss: nn.Module, pred, *args, above: float = 1.0, **call):
    leaf = pred.detach().requires_grad_()
    value = loss(leaf, *args, **call)
    (gradient,) = torch.autograd.grad(value, leaf, torch.tensor(above, dtype=value.dtype, device=value.device))
    return value.detach(), gradient


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_is_eager(name, dtype):
    """By one block and by several, for each form of the weight, with a number and with a tensor as divisor."""
    build_loss, batch = ALL[name]
    for n in (1, 50, 20_001):
        pred, target = batch(n, n + 1)
        for weight in weights(build_loss(), pred, n)[:3]:
            half = pred.to(dtype)
            given = None if weight is None else weight.to(DEVICE)
            for divisor in (n / 3, torch.tensor(n / 3, device=DEVICE)):
                there = half.to(DEVICE), moved(target, DEVICE), given
                found = train(build_loss(fused=True), *there, avg_factor=divisor, above=-3.0)
                known = half.double(), wide(target), None if weight is None else weight.double()
                expected = train(build_loss(), *known, avg_factor=float(divisor), above=-3.0)
                torch.testing.assert_close(found[0].cpu().double(), expected[0], rtol=2e-5, atol=1e-7)
                assert found[1].dtype == dtype
                smallest = 1e-6 if dtype == torch.float32 else 6e-8
                torch.testing.assert_close(found[1].cpu().double(), expected[1], rtol=ROUNDING[dtype], atol=smallest)


@pytest.mark.parametrize("n", [500, 200_000])
def test_it_is_deterministic(n):
    pred, label = torch.randn(n, 80, device=DEVICE), torch.randint(81, (n,), device=DEVICE)
    loss = FocalLoss(fused=True)
    first, *others = (train(loss, pred, label, avg_factor=7) for _ in range(3))
    for other in others:
        assert torch.equal(first[0], other[0]) and torch.equal(first[1], other[1])


def test_another_stream():
    """A kernel runs on torch's current stream, and does not wait for others."""
    pred, target = (torch.rand(500, 4, device=DEVICE).cumsum(1) for _ in range(2))
    loss = GIoULoss(fused=True)
    expected = train(loss, pred, target)
    torch.cuda.synchronize()
    stream, busy = torch.cuda.Stream(), torch.cuda.Event()
    torch.cuda._sleep(1_000_000_000)
    busy.record()
    with torch.cuda.stream(stream):
        found = train(loss, pred, target)
    stream.synchronize()
    early = not busy.query()
    torch.cuda.synchronize()
    assert early
    assert all(torch.equal(*both) for both in zip(found, expected, strict=True))


@pytest.mark.parametrize("n", [500, 100_000])
def test_a_graph_computes_with_new_content(n):
    pred, target = (torch.rand(n, 4, device=DEVICE).cumsum(1) for _ in range(2))
    loss, divisor = CIoULoss(fused=True), torch.tensor(3.0, device=DEVICE)
    train(loss, pred, target, avg_factor=divisor)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    leaf, seed = pred.clone().requires_grad_(), torch.ones((), device=DEVICE)
    with torch.cuda.stream(side):
        torch.autograd.grad(loss(leaf, target, avg_factor=divisor), leaf, seed)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = loss(leaf, target, avg_factor=divisor)
        (gradient,) = torch.autograd.grad(value, leaf, seed)
    for factor in (3.0, 5.0):
        with torch.no_grad():
            leaf.copy_(torch.rand(n, 4, device=DEVICE).cumsum(1))
            divisor.fill_(factor)
        graph.replay()
        expected = train(loss, leaf.detach().clone(), target, avg_factor=divisor)
        assert torch.equal(value, expected[0]) and torch.equal(gradient, expected[1])


def test_a_thread_that_has_not_used_the_device():
    pred, target = (torch.rand(50, 4, device=DEVICE).cumsum(1) for _ in range(2))
    loss = GIoULoss(fused=True)
    expected = train(loss, pred, target)
    leaf, failures = pred.clone().requires_grad_(), []
    value = loss(leaf, target)

    def work():
        try:
            value.backward()
            assert torch.equal(loss(pred, target), expected[0])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    assert torch.equal(leaf.grad, expected[1])


def test_no_waiting_with_a_divisor_on_the_device():
    pred, target = (torch.rand(50, 4, device=DEVICE).cumsum(1) for _ in range(2))
    loss, divisor = GIoULoss(fused=True), torch.tensor([3], device=DEVICE)
    leaf, seed = pred.requires_grad_(), torch.ones((), device=DEVICE)
    for again in (False, True):
        if again:
            with no_waiting():
                torch.autograd.grad(loss(leaf, target, avg_factor=divisor), leaf, seed)
        else:
            torch.autograd.grad(loss(leaf, target, avg_factor=divisor), leaf, seed)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one():
    pred, target = (torch.rand(500, 4).cumsum(1) for _ in range(2))
    loss = GIoULoss(fused=True)
    first, second = (train(loss, pred.to(f"cuda:{i}"), target.to(f"cuda:{i}")) for i in range(2))
    assert torch.cuda.current_device() == 0 and second[1].get_device() == 1
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(first, second, strict=True))


@pytest.mark.skipif(torch.cuda.mem_get_info()[0] < 14 * 2**30, reason="needs 14 GiB of free memory")
@pytest.mark.parametrize("name", ["focal", "giou", "softmax"])
def test_more_elements_than_32_bits_count(name):
    """The last rows are those of a small batch, and the first are of weight 0."""
    build_loss, batch = ALL[name]
    pred, target = batch(33, 0)
    columns = pred.shape[1]
    n = 2**32 // columns // 2 + 100_000
    weight = torch.zeros(n, device=DEVICE)
    weight[-33:] = torch.arange(1, 34, device=DEVICE)
    expected = train(build_loss(fused=True), pred.half().to(DEVICE), target.to(DEVICE), weight[-33:], avg_factor=9)
    many = torch.zeros(n, columns, dtype=torch.float16, device=DEVICE)
    many[-33:] = pred.to(many)
    wanted = target.to(many) if target.is_floating_point() else target.to(DEVICE)
    goal = wanted.new_zeros(n, *target.shape[1:])
    goal[-33:] = wanted
    if target.is_floating_point():
        expected = train(build_loss(fused=True), many[-33:].clone(), wanted, weight[-33:], avg_factor=9)
    value, gradient = train(build_loss(fused=True), many, goal, weight, avg_factor=9)
    torch.testing.assert_close(value, expected[0], rtol=1e-5, atol=0)
    assert torch.equal(gradient[-33:], expected[1])
    assert not gradient[:-33].any()
