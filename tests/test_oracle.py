"""Every loss against the scalar reference, value and gradient, over regimes of random input."""

from collections.abc import Callable

import pytest
import torch
from cases import BOX_CASES, CASES, SIDE_CASES, Case, cast, over, target_rows
from cases.regimes import REGIMES, touching
from oracle.dual import Dual, freeze, value_and_grad
from torch import Tensor

ROWS = 40


def reference_values(case: Case, pred: Tensor, target) -> Tensor:
    rows = case.reference_rows(pred.tolist(), target_rows(target))
    return torch.tensor([[freeze(x) for x in row] for row in rows], dtype=torch.float64)


def reference_gradients(case: Case, pred: Tensor, target) -> Tensor:
    rows, targets = pred.tolist(), target_rows(target)

    def total(x, i):
        """Loss of row ``i`` at ``x``; of a batch with that row, where the rows depend on each other."""
        if case.whole:
            return sum(case.reference([*rows[:i], x, *rows[i + 1 :]], targets)[i], start=0.0)
        return sum(case.reference(x, targets[i]), start=0.0)

    grads = [value_and_grad(lambda x, i=i: total(x, i), row)[1] for i, row in enumerate(rows)]
    return torch.tensor(grads, dtype=torch.float64)


def check(case: Case, pred: Tensor, target, with_gradient: bool = True) -> None:
    """float64 to 1e-10 with gradients to 1e-6, and float32, on the rounded input, to 1e-5."""
    pred = pred.clone().requires_grad_()
    loss = case.build(reduction="none")
    result = loss(pred, target)
    assert result.shape == case.result_shape(pred)
    torch.testing.assert_close(
        result.detach().reshape(len(pred), -1), reference_values(case, pred, target), rtol=1e-10, atol=1e-12
    )
    if with_gradient:
        result.sum().backward()
        assert_same_gradients(pred.grad, reference_gradients(case, pred, target), 1e-6)

    single = pred.detach().float().requires_grad_()
    single_target = cast(target, torch.float32)
    result = loss(single, single_target)
    assert result.dtype == torch.float32
    torch.testing.assert_close(
        result.detach().reshape(len(pred), -1).double(),
        reference_values(case, single, single_target),
        rtol=1e-5,
        atol=1e-6,
    )
    if with_gradient:
        result.sum().backward()
        assert_same_gradients(single.grad.double(), reference_gradients(case, single, single_target), 1e-4)


def assert_same_gradients(grad: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal up to a share of the largest entry of the row."""
    scale = expected.abs().amax(1, keepdim=True)
    assert ((grad - expected).abs() <= tolerance * scale + 1e-12).all(), (grad - expected).abs().max()


@over(CASES)
def test_random_input(case):
    check(case, *case.batch(ROWS, torch.float64, seed=1))


def pairs(regime: Callable, seed: int = 7) -> tuple[Tensor, Tensor]:
    return regime(torch.Generator().manual_seed(seed), ROWS)


@pytest.mark.parametrize("regime", REGIMES, ids=lambda f: f.__name__)
@over(BOX_CASES + SIDE_CASES)
def test_boxes(case, regime):
    check(case, *pairs(regime))


@over(BOX_CASES + SIDE_CASES)
def test_touching_boxes(case):
    """Edges that meet are a kink: the value is defined, the gradient only bounded."""
    pred, target = pairs(touching)
    check(case, pred, target, with_gradient=False)
    pred.requires_grad_()
    case.build(reduction="sum")(pred, target).backward()
    assert pred.grad.isfinite().all()


@over([case for case in CASES if not case.frozen])
def test_dual_numbers_agree_with_differences(case):
    """The reference's own gradients, by central differences of its values."""
    pred, target = case.batch(3, torch.float64, seed=2)
    for p, t in zip(pred.tolist(), target_rows(target), strict=True):

        def total(x, t=t):
            return sum(case.reference(x, t), start=0.0)

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
