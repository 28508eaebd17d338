"""The scalar reference itself; ``tests/reliability`` holds every loss to it."""

import pytest
import torch
from cases import CASES, over, target_rows
from oracle.dual import Dual, value_and_grad


@over([case for case in CASES if not case.frozen])
def test_dual_numbers_agree_with_differences(case):
    """The reference's own gradients, by central differences of its values."""
    pred, target = case.batch(3, torch.float64, seed=2)
    for p, t in zip(pred.tolist(), target_rows(target), strict=True):

        def total(x, t=t):
            return sum(case.reference_rows([x], [t])[0], start=0.0)

        exact = value_and_grad(total, p)[1]
        for i, slope in enumerate(exact):
            step = 1e-5 * max(1.0, abs(p[i]))
            up, down = ([*p[:i], p[i] + sign * step, *p[i + 1 :]] for sign in (1, -1))
            assert (total(up) - total(down)) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_dual_numbers():
    x, y = Dual(3.0, (1.0, 0.0)), Dual(2.0, (0.0, 1.0))
    product = x * y / (x - y) + 2 * x**2 - 1 / y
    assert product.value == pytest.approx(6 + 18 - 0.5)
    # d/dx: (y (x - y) - x y) / (x - y)^2 + 4 x; d/dy: (x (x - y) + x y) / (x - y)^2 + 1 / y^2
    assert product.grad == pytest.approx((-4 + 12, 9 + 0.25))
    assert abs(-x).grad == pytest.approx((1.0, 0.0))
