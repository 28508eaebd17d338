"""Reduction and its divisor."""

import pytest
import torch
from cases import CASES, ROWWISE_CASES, NoWaiting, never_select, over

N = 7
FACTORS = [3, 3.0, torch.tensor(3), torch.tensor(3.0), torch.tensor([3.0]), torch.tensor(3.0, dtype=torch.float64)]


@over(CASES)
def test_reductions(case):
    pred, target = case.batch(N)
    rows = case.build(reduction="none")(pred, target)
    count = case.result_shape(pred).numel()
    assert rows.numel() == count
    torch.testing.assert_close(case.build(reduction="sum")(pred, target), rows.sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(case.build(reduction="mean")(pred, target), rows.sum() / count, rtol=1e-6, atol=0)


@over(CASES)
def test_override(case):
    pred, target = case.batch(N)
    for own in ("none", "mean", "sum"):
        for override in ("none", "mean", "sum", None):
            expected = case.build(reduction=override or own)(pred, target)
            assert torch.equal(case.build(reduction=own)(pred, target, reduction_override=override), expected)


@over(ROWWISE_CASES)
def test_avg_factor_is_the_divisor(case):
    pred, target = case.batch(N)
    total = case.build(reduction="sum")(pred, target)
    for factor in FACTORS:
        value = case.build()(pred, target, avg_factor=factor)
        assert value.shape == ()
        torch.testing.assert_close(value, total / 3, rtol=1e-6, atol=0)


@over([case for case in CASES if case.whole])
def test_a_loss_that_counts_for_itself_ignores_avg_factor(case):
    """MMDetection's GHM losses do; a head's number of positives is not what they divide by."""
    pred, target = case.batch(N)
    for factor in (*FACTORS, 0):
        assert torch.equal(case.build()(pred, target, avg_factor=factor), case.build()(pred, target))


@over(ROWWISE_CASES)
def test_nothing_is_added_to_a_small_divisor(case):
    """FCOS's divisor may be 1e-6; an eps of 1.2e-7 would change the loss by 11 %."""
    pred, target = case.batch(N, torch.float64)
    total = case.build(reduction="sum")(pred, target)
    for factor in (1e-6, torch.tensor(1e-6, dtype=torch.float64)):
        torch.testing.assert_close(case.build()(pred, target, avg_factor=factor), total / 1e-6, rtol=1e-12, atol=0)


@over(CASES)
def test_sum_with_avg_factor_raises_always(case):
    pred, target = case.batch(N)
    for weight in (None, torch.ones(N), torch.zeros(N)):
        for factor in (1, 2.0, torch.tensor(2.0), 0):
            with pytest.raises(ValueError, match="avg_factor"):
                case.build(reduction="sum")(pred, target, weight, avg_factor=factor)
            with pytest.raises(ValueError, match="avg_factor"):
                case.build()(pred, target, weight, avg_factor=factor, reduction_override="sum")


@over(CASES)
def test_none_ignores_avg_factor(case):
    pred, target = case.batch(N)
    expected = case.build()(pred, target, reduction_override="none")
    for factor in (*FACTORS, 0):
        assert torch.equal(case.build()(pred, target, avg_factor=factor, reduction_override="none"), expected)


@over(CASES)
def test_wrong_avg_factor_raises(case):
    pred, target = case.batch(N)
    for factor in (torch.ones(2), torch.ones(N), torch.ones(0), "3", [3.0]):
        with pytest.raises(ValueError, match="avg_factor"):
            case.build()(pred, target, avg_factor=factor)


@over(CASES)
def test_loss_weight_multiplies_every_result(case):
    pred, target = case.batch(N)
    for call in ({}, {"avg_factor": 3}, {"reduction_override": "sum"}, {"reduction_override": "none"}):
        plain = case.build()(pred, target, **call)
        torch.testing.assert_close(case.build(loss_weight=2.5)(pred, target, **call), 2.5 * plain, rtol=1e-6, atol=0)


@over(CASES)
def test_upstream_gradient(case):
    pred, target = case.batch(N)
    first, second = (pred.clone().requires_grad_() for _ in range(2))
    case.build()(first, target).backward()
    (-3 * case.build()(second, target)).backward()
    torch.testing.assert_close(second.grad, -3 * first.grad, rtol=1e-5, atol=1e-8)

    rows = torch.linspace(-1, 2, N) if not case.whole else torch.linspace(0.5, 2, N)
    third = pred.clone().requires_grad_()
    result = case.build(reduction="none")(third, target)
    result.backward(case.weight_like_row(rows).expand_as(result))
    fourth = pred.clone().requires_grad_()
    case.build(reduction="sum")(fourth, target, rows).backward()
    torch.testing.assert_close(third.grad, fourth.grad, rtol=1e-5, atol=1e-7)


@over(CASES)
def test_a_device_is_never_waited_for(case, monkeypatch):
    never_select(monkeypatch)
    pred, target = case.batch(N)
    for weight in (None, torch.ones(N)):
        for call in ({"avg_factor": torch.tensor(3.0)}, {"avg_factor": 2}, {}, {"reduction_override": "none"}):
            leaf = pred.clone().requires_grad_()
            with NoWaiting():
                case.build()(leaf, target, weight, **call).sum().backward()
            assert leaf.grad is not None
