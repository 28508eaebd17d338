"""The first training calls are looked at without waiting."""

from __future__ import annotations

import warnings

import pytest
import torch
from on_gpu import DEVICE, REAL, no_waiting, train

from mmdet_losses import GIoULoss


def calls(target: torch.Tensor, number: int = 40) -> list[str]:
    loss = GIoULoss().to(DEVICE).train()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with no_waiting():
            train(loss, target + 1, target, target.new_ones(len(target)))
        for _ in range(number - 1):
            if REAL:
                torch.cuda.synchronize()  # as if each iteration took its time
            with no_waiting():
                train(loss, target + 1, target, target.new_ones(len(target)))
    assert not loss._forward_pre_hooks
    return [str(one.message) for one in said]


def test_deltas_are_told():
    (message,) = calls(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)).to(DEVICE))
    assert "decode" in message.lower()


def test_boxes_are_not():
    corner, size = torch.rand(2, 64, 2, generator=torch.Generator().manual_seed(0)) * 50 + 1
    assert not calls(torch.cat([corner, corner + size], 1).to(DEVICE))


@pytest.mark.skipif(not REAL, reason="a CPU captures no graphs")
def test_a_captured_call_is_not_looked_at():
    corner, size = torch.rand(2, 64, 2) * 50 + 1
    target = torch.cat([corner, corner + size], 1).to(DEVICE)
    leaf, loss = (target + 1).requires_grad_(), GIoULoss().to(DEVICE)
    torch.autograd.grad(loss(leaf, target), leaf)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = loss(leaf, target)
    graph.replay()
    torch.testing.assert_close(value, loss(leaf, target))
