"""Losses are computed in float32 or wider, whatever comes in and whatever autocast says."""

import pytest
import torch
from cases import BOX_CASES, CASES, DFL_CASES, ROTATED_CASES, autocast, cast, map_target, over, run

LOW = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("low", LOW, ids=str)
@over(CASES)
def test_low_precision_is_upcast_first(case, low):
    """Equal, to the bit, to float32 on the same rounded input; the gradient comes back in the input's dtype."""
    pred, target = case.batch(dtype=low)
    weight = torch.rand(len(pred), generator=torch.Generator().manual_seed(0))
    for call in ({}, {"reduction_override": "none"}, {"avg_factor": 2.5}):
        value, grad = run(case.build(), pred, target, weight.to(low), **call)
        single, single_grad = run(
            case.build(), pred.float(), cast(target, torch.float32), weight.to(low).float(), **call
        )
        assert value.dtype == torch.float32
        assert torch.equal(value, single)
        assert grad.dtype == low
        assert torch.equal(grad, single_grad.to(low))


@pytest.mark.parametrize("low", LOW, ids=str)
@over(CASES)
def test_autocast_changes_nothing(case, low):
    for dtype in (torch.float32, low):
        pred, target = case.batch(dtype=dtype)
        value, grad = run(case.build(), pred, target)
        with autocast(low):
            under, under_grad = run(case.build(), pred, target)
        assert under.dtype == torch.float32
        assert torch.equal(under, value)
        assert torch.equal(under_grad, grad)


@over(CASES)
def test_result_dtype(case):
    for dtype, result in ((torch.float64, torch.float64), (torch.float32, torch.float32)):
        pred, target = case.batch(dtype=dtype)
        for reduction in ("none", "mean", "sum"):
            loss = case.build(reduction=reduction)
            assert loss(pred, target).dtype == result
            assert loss(pred, target, torch.ones(len(pred))).dtype == result
        assert case.build()(pred, target, avg_factor=torch.tensor(2, dtype=torch.int64)).dtype == result
        # neither a wide divisor nor a wide weight widens the result
        assert case.build()(pred, target, avg_factor=torch.tensor(2.0, dtype=torch.float64)).dtype == result
        assert case.build()(pred, target, torch.ones(len(pred), dtype=torch.float64)).dtype == result


@over(CASES)
def test_float64_weights_keep_their_precision(case):
    pred, target = case.batch(dtype=torch.float64)
    third = torch.full((len(pred),), 1 / 3, dtype=torch.float64)
    forms = [third]
    if case.kind in ("box", "rotated"):
        forms += [third[:, None], third[:, None].expand(-1, pred.shape[1])]
    plain = case.build()(pred, target)
    for weight in forms:
        torch.testing.assert_close(case.build()(pred, target, weight), plain / 3, rtol=1e-13, atol=0)


@over(CASES)
def test_mixed_precision_of_prediction_and_target(case):
    """Half predictions under AMP meet float32 targets, which must not be rounded."""
    pred, target = case.batch()
    for low in LOW:
        value = case.build()(pred.to(low), target)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, case.build()(pred.to(low).float(), target), rtol=0, atol=0)
    wide = case.build()(pred, cast(target, torch.float64))
    torch.testing.assert_close(wide.float(), case.build()(pred, target), rtol=1e-5, atol=1e-6)


@over([*BOX_CASES, *ROTATED_CASES, *DFL_CASES])
def test_integer_targets(case):
    pred, target = case.batch()
    whole = target.round()
    assert torch.equal(case.build()(pred, whole.long()), case.build()(pred, whole))


@over(CASES)
def test_target_that_requires_gradients(case):
    pred, target = case.batch()
    target = map_target(target, lambda x: x.clone().requires_grad_() if x.is_floating_point() else x)
    value, grad = run(case.build(), pred, target)
    assert value.isfinite()
    assert grad.isfinite().all()
