"""Every loss is one graph, for batches of every size."""

import pytest
import torch
from cases import CASES, map_target, over
from cases.compiler import Counting, fresh_compiler, sizes  # noqa: F401  the fixture

pytestmark = [pytest.mark.compiler, pytest.mark.usefixtures("fresh_compiler")]


def batch(case, n: int):
    pred, target = case.batch(max(n, 1), seed=n)
    weight = torch.rand(max(n, 1), generator=torch.Generator().manual_seed(n))
    weight[::3] = 0
    return pred[:n], map_target(target, lambda x: x[:n]), weight[:n]


@over(CASES)
def test_one_graph_for_all_sizes(case):
    """Sizes 0 and 1 are compiled for themselves, so two graphs beside the first are allowed: see :func:`sizes`.

    Rows of weight 0 cannot be picked under the compiler; what stands in them still has no part in the result.
    """
    loss = case.build()
    backend = Counting()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=backend)
    for n in sizes(case, CASES):
        pred, target, weight = batch(case, n)
        pred = torch.where((weight == 0)[:, None], torch.nan, pred)
        factor = torch.tensor(float(n + 1))
        eager, other = (pred.clone().requires_grad_() for _ in range(2))
        expected = loss(eager, target, weight, avg_factor=factor)
        value = compiled(other, target, weight, avg_factor=factor)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
        expected.backward()
        value.backward()
        torch.testing.assert_close(other.grad, eager.grad, rtol=1e-5, atol=1e-7)
        assert (other.grad[weight == 0] == 0).all()
    assert backend.graphs <= 3


@over([case for case in CASES if case.id in ("CIoULoss", "FocalLoss-labels")])
def test_inductor(case):
    """Through the compiler that users have, value and gradient."""
    loss = case.build()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True)
    for n in (17, 64):
        pred, target, weight = batch(case, n)
        eager, other = (pred.clone().requires_grad_() for _ in range(2))
        expected = loss(eager, target, weight, avg_factor=3.0)
        value = compiled(other, target, weight, avg_factor=3.0)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
        expected.backward()
        value.backward()
        torch.testing.assert_close(other.grad, eager.grad, rtol=1e-4, atol=1e-6)
