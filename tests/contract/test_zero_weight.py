"""A weight of 0 means that the row, or the element, is deleted, whatever stands there."""

import pytest
import torch
from cases import (
    BOX_CASES,
    CASES,
    CLS_CASES,
    COORDINATE_CASES,
    ROTATED_CASES,
    ROWWISE_CASES,
    SIDE_CASES,
    map_target,
    never_select,
    over,
    run,
    spoil,
)
from torch import Tensor

N = 7
DELETED = torch.tensor([False, True, False, False, True, True, False])
WEIGHT = torch.tensor([1.0, 0.0, 0.5, 2.0, 0.0, 0.0, 1.5])
CALLS = [{"reduction_override": "sum"}, {"avg_factor": 3.0}, {"avg_factor": torch.tensor(3)}]


@pytest.fixture(params=["select", "replace"])
def path(request, monkeypatch):
    """Both ways to delete: rows are picked on a CPU, and replaced where picking would wait for the device."""
    if request.param == "replace":
        never_select(monkeypatch)
    return request.param


@over(CASES)
def test_row_is_deleted(case, path):
    loss = case.build()
    pred, target = case.batch(N)
    kept = pred[~DELETED], map_target(target, lambda x: x[~DELETED])
    junk = spoil(pred, target, DELETED)
    for call in CALLS:
        value, grad = run(loss, *junk, WEIGHT, **call)
        expected_value, expected_grad = run(loss, *kept, WEIGHT[~DELETED], **call)
        assert (grad[DELETED] == 0).all()
        if path == "select":
            assert torch.equal(value, expected_value)
            assert torch.equal(grad[~DELETED], expected_grad)
        else:
            # a sum over more rows may round differently, so it is equal to the bit with harmless rows instead
            torch.testing.assert_close(value, expected_value, rtol=1e-6, atol=1e-7)
            torch.testing.assert_close(grad[~DELETED], expected_grad, rtol=1e-6, atol=1e-9)
            harmless_value, harmless_grad = run(loss, pred, target, WEIGHT, **call)
            assert torch.equal(value, harmless_value)
            assert torch.equal(grad, harmless_grad)


@over(ROWWISE_CASES)
def test_mean_still_counts_the_deleted_rows(case, path):
    loss = case.build()
    # what an angle's gradient is the sum of can be much larger than the sum
    pred, target = case.batch(N, torch.float64 if case.kind == "rotated" else torch.float32)
    value, grad = run(loss, *spoil(pred, target, DELETED), WEIGHT)
    total, total_grad = run(loss, pred, target, WEIGHT, reduction_override="sum")
    count = case.result_shape(pred).numel()
    torch.testing.assert_close(value, total / count, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(grad, total_grad / count, rtol=1e-6, atol=1e-9)


@over([case for case in CASES if case.whole])
def test_mean_of_a_loss_that_counts_for_itself_leaves_them_out(case, path):
    loss = case.build()
    pred, target = case.batch(N)
    value, grad = run(loss, *spoil(pred, target, DELETED), WEIGHT)
    expected, expected_grad = run(loss, pred[~DELETED], target[~DELETED], WEIGHT[~DELETED])
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(grad[~DELETED], expected_grad, rtol=1e-6, atol=1e-9)


@over(CASES)
def test_unreduced_loss_keeps_its_shape(case, path):
    loss = case.build(reduction="none")
    pred, target = case.batch(N)
    value, grad = run(loss, *spoil(pred, target, DELETED), WEIGHT)
    # a row that depends on the others sees those alone that are left
    plain, _ = run(loss, pred, target, *([(~DELETED).float()] if case.whole else []))
    assert value.shape == case.result_shape(pred)
    assert (value[DELETED] == 0).all()
    assert (grad[DELETED] == 0).all()
    expected = plain * case.weight_like_row(WEIGHT)
    torch.testing.assert_close(value[~DELETED], expected[~DELETED], rtol=1e-6 if case.whole else 0, atol=0)


@over(CASES)
def test_all_weights_zero(case, path):
    loss = case.build(loss_weight=2.0)
    pred, target = case.batch(N)
    junk = spoil(pred, target, torch.ones(N, dtype=torch.bool))
    zero = torch.zeros(N)
    for call in [*CALLS, {}, {"avg_factor": 0}, {"avg_factor": torch.tensor(0.0)}, {"reduction_override": "none"}]:
        value, grad = run(loss, *junk, zero, **call)
        expected = case.result_shape(pred) if call.get("reduction_override") == "none" else ()
        assert value.shape == expected
        assert (value == 0).all()
        assert (grad == 0).all()


@over([case for case in CASES if not case.per_row and case.kind != "sides"])
def test_element_is_deleted(case, path):
    """Element-wise losses: single elements of the prediction, and of a dense target, may hold anything."""
    loss = case.build()
    pred, target = case.batch(N)
    generator = torch.Generator().manual_seed(3)
    weight = torch.rand(pred.shape, generator=generator) + 0.1
    weight[torch.rand(pred.shape, generator=generator) < 0.4] = 0
    deleted = weight == 0
    junk_pred = torch.where(deleted, torch.nan, pred)
    dense = isinstance(target, Tensor) and target.shape == pred.shape
    junk_target = torch.where(deleted, torch.inf, target) if dense else target
    for call in [*CALLS, {}, {"reduction_override": "none"}]:
        value, grad = run(loss, junk_pred, junk_target, weight, **call)
        expected_value, expected_grad = run(loss, pred, target, weight, **call)
        assert (grad[deleted] == 0).all()
        torch.testing.assert_close(value, expected_value, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-9)


@over(COORDINATE_CASES)
def test_column_is_deleted(case, path):
    loss = case.build(reduction="sum")
    pred, target = case.batch(N)
    weight = torch.tensor([[1.0, 0.0, 2.0, 0.0]])
    value, grad = run(loss, torch.where(weight == 0, torch.nan, pred), target, weight)
    expected_value, expected_grad = run(loss, pred, target, weight.expand(N, 4).contiguous())
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(grad, expected_grad)


@over(SIDE_CASES)
def test_value_of_weight_zero_leaves_the_others_alone(case, path):
    """The four values of a box share its coordinates, so a weight of 0 takes out the value and no coordinate."""
    pred, target = case.batch(N)
    weight = torch.rand(N, 4, generator=torch.Generator().manual_seed(3)) + 0.1
    weight[:, 2] = 0
    weight[DELETED] = 0
    plain = case.build(reduction="none")(pred, target)
    junk = spoil(pred, target, DELETED)
    rows, _ = run(case.build(reduction="none"), *junk, weight)
    torch.testing.assert_close(rows, plain * weight, rtol=1e-6, atol=0)
    value, grad = run(case.build(), *junk, weight, avg_factor=3.0)
    torch.testing.assert_close(value, (plain * weight).sum() / 3, rtol=1e-6, atol=1e-9)
    assert grad.isfinite().all()
    assert (grad[DELETED] == 0).all()


@over(BOX_CASES + ROTATED_CASES)
def test_box_of_zero_weights_is_deleted(case, path):
    loss = case.build()
    pred, target = case.batch(N)
    for call in CALLS:
        value, grad = run(loss, *spoil(pred, target, DELETED), WEIGHT[:, None].expand(pred.shape), **call)
        expected_value, expected_grad = run(loss, pred, target, WEIGHT, **call)
        torch.testing.assert_close(value, expected_value, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-9)


@over(BOX_CASES + ROTATED_CASES)
def test_anchors_of_a_retinanet(case, path):
    """Nearly all rows have weight 0 and the target (0, 0, 0, 0); some predictions have run away."""
    pred, target = case.batch(400)
    positive = torch.zeros(400, dtype=torch.bool)
    positive[::50] = True
    target[~positive] = 0
    pred[1:20] = torch.nan
    pred[100:120] = 1e30
    pred[[0, 100]] = case.batch(2)[0]
    value, grad = run(case.build(), pred, target, positive.float(), avg_factor=float(positive.sum()))
    expected, expected_grad = run(case.build(), pred[positive], target[positive])
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(grad[positive], expected_grad, rtol=1e-6, atol=1e-9)
    assert (grad[~positive] == 0).all()


@over(CASES)
def test_result_is_connected_to_the_prediction(case, path):
    pred, target = case.batch(N)
    for weight in (None, WEIGHT, torch.zeros(N)):
        for reduction in ("none", "mean", "sum"):
            leaf = pred.clone().requires_grad_()
            value = case.build(reduction=reduction)(leaf, target, weight)
            assert value.requires_grad
            (grad,) = torch.autograd.grad(value.sum(), leaf)
            assert grad.shape == leaf.shape


@over(CLS_CASES)
def test_deleted_labels_may_be_out_of_range(case, path):
    """A head that marks ignored rows with label -1 gives them weight 0."""
    pred, target = case.batch(N)
    marked = map_target(target, lambda x: x if x.is_floating_point() else torch.where(DELETED, -1, x))
    value, grad = run(case.build(), pred, marked, WEIGHT, avg_factor=3)
    expected, expected_grad = run(case.build(), pred, target, WEIGHT, avg_factor=3)
    assert torch.equal(value, expected)
    assert torch.equal(grad, expected_grad)
