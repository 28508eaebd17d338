"""Every loss against the scalar reference, value and gradient, over regimes of random input."""

import random
from collections.abc import Callable

import pytest
import torch
from cases import BOX_CASES, CASES, Case, over, target_rows
from oracle.dual import Dual, freeze, value_and_grad
from torch import Tensor

ROWS = 40


def reference_values(case: Case, pred: Tensor, target) -> Tensor:
    rows = zip(pred.tolist(), target_rows(target), strict=True)
    return torch.tensor([[freeze(x) for x in case.reference(p, t)] for p, t in rows], dtype=torch.float64)


def reference_gradients(case: Case, pred: Tensor, target) -> Tensor:
    rows = zip(pred.tolist(), target_rows(target), strict=True)
    return torch.tensor(
        [value_and_grad(lambda x, t=t: sum(case.reference(x, t), start=0.0), p)[1] for p, t in rows],
        dtype=torch.float64,
    )


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
    single_target = (
        tuple(x.float() if x.is_floating_point() else x for x in target) if isinstance(target, tuple) else target
    )
    if isinstance(target, Tensor) and target.is_floating_point():
        single_target = target.float()
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


def box(cx: float, cy: float, w: float, h: float) -> list[float]:
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def overlap(r: random.Random) -> tuple[list[float], list[float]]:
    w, h = r.uniform(8, 300), r.uniform(8, 300)
    dx, dy = (r.choice((-1, 1)) * r.uniform(0.05, 0.4) for _ in range(2))
    return box(100, 80, w, h), box(100 + dx * w, 80 + dy * h, w * r.uniform(0.7, 1.5), h * r.uniform(0.7, 1.5))


def contained(r: random.Random) -> tuple[list[float], list[float]]:
    w, h = r.uniform(20, 300), r.uniform(20, 300)
    inner = box(
        50 + 0.1 * w * r.uniform(0.1, 1),
        40 - 0.1 * h * r.uniform(0.1, 1),
        w * r.uniform(0.2, 0.7),
        h * r.uniform(0.2, 0.7),
    )
    return (inner, box(50, 40, w, h)) if r.random() < 0.5 else (box(50, 40, w, h), inner)


def disjoint(r: random.Random) -> tuple[list[float], list[float]]:
    w, h = r.uniform(5, 100), r.uniform(5, 100)
    gap = r.choice((-1, 1)) * r.uniform(130, 900)
    far = r.uniform(-500, 500)
    return box(200, 200, w, h), box(200 + gap, 200 + far, r.uniform(5, 100), r.uniform(5, 100))


def tiny(r: random.Random) -> tuple[list[float], list[float]]:
    return tuple([x * 1e-5 for x in b] for b in overlap(r))


def huge(r: random.Random) -> tuple[list[float], list[float]]:
    return tuple([x * 2000 + 4e5 for x in b] for b in overlap(r))


def tall_and_wide(r: random.Random) -> tuple[list[float], list[float]]:
    long, short = r.uniform(100, 600), r.uniform(2, 20)
    dx, dy = r.uniform(1, 30), r.uniform(-30, -1)
    return box(300, 300, long, short), box(300 + dx, 300 + dy, short * r.uniform(0.5, 2), long * r.uniform(0.5, 2))


def touching(r: random.Random) -> tuple[list[float], list[float]]:
    """Integers, so that the edges meet exactly."""
    w, h = r.randint(4, 90), r.randint(4, 90)
    shift = r.choice((0, r.randint(1, h - 1), h))
    return [10, 20, 10 + w, 20 + h], [10 + w, 20 + shift, 10 + w + r.randint(4, 90), 20 + shift + r.randint(4, 90)]


REGIMES: list[Callable] = [overlap, contained, disjoint, tiny, huge, tall_and_wide]


def pairs(regime: Callable, seed: int = 7) -> tuple[Tensor, Tensor]:
    r = random.Random(seed)
    drawn = [regime(r) for _ in range(ROWS)]
    return tuple(torch.tensor([pair[i] for pair in drawn], dtype=torch.float64) for i in range(2))


@pytest.mark.parametrize("regime", REGIMES, ids=lambda f: f.__name__)
@over(BOX_CASES)
def test_boxes(case, regime):
    check(case, *pairs(regime))


@over(BOX_CASES)
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
