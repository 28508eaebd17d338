"""What every module can be relied on for: copies, state, untouched inputs, laws of rows, true gradients."""

import copy
import io
import pickle

import pytest
import torch
from cases import CASES, map_target, over, spoil

import mmdet_losses as ml

N = 7


@over(CASES)
def test_copies(case):
    loss = case.build(loss_weight=1.5)
    pred, target = case.batch(N)
    expected = loss(pred, target)
    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), torch.load(buffer, weights_only=False)):
        assert type(twin) is type(loss)
        assert torch.equal(twin(pred, target), expected)


@over(CASES)
def test_state(case):
    """Only losses with statistics or an annealed option have some; for the others checkpoints of mmdet's load as is."""
    loss = case.build()
    assert not list(loss.parameters())
    if any(isinstance(module, ml.Stateful | ml.Annealed) for module in loss.modules()):
        case.build().load_state_dict(loss.state_dict(), strict=True)
    else:
        assert not loss.state_dict()
        loss.load_state_dict({}, strict=True)
    loss.train(False).train(True).half().float()


@over(CASES)
def test_repr_names_the_options(case):
    assert "loss_weight=1.5" in repr(case.build(loss_weight=1.5))


@over(CASES)
def test_options_are_attributes(case):
    loss = case.build(loss_weight=1.5)
    assert loss.loss_weight == 1.5
    assert loss.reduction == "mean"
    loss.loss_weight = 3.0
    pred, target = case.batch(N)
    torch.testing.assert_close(loss(pred, target), 3 * case.build()(pred, target))


@over(CASES)
def test_inputs_are_not_modified(case):
    pred, target = case.batch(N)
    pred, target = spoil(pred, target, torch.tensor([False, True] + [False] * (N - 2)))
    weight = torch.tensor([1.0, 0.0] + [1.0] * (N - 2))
    before = pred.clone(), map_target(target, torch.clone), weight.clone()
    for reduction in ("none", "mean"):
        leaf = pred.clone().requires_grad_()
        case.build(reduction=reduction)(leaf, target, weight).sum().backward()
        torch.testing.assert_close(leaf.detach(), before[0], rtol=0, atol=0, equal_nan=True)
    flat = target if isinstance(target, tuple) else (target,)
    was = before[1] if isinstance(before[1], tuple) else (before[1],)
    for now, then in zip((*flat, weight), (*was, before[2]), strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0, equal_nan=True)


@over(CASES)
def test_result_may_be_modified_in_place(case):
    """Heads divide a result in place."""
    pred, target = case.batch(N)
    leaf = pred.clone().requires_grad_()
    value = case.build()(leaf, target, torch.ones(N))
    value /= 2.0
    value.backward()
    rows = case.build(reduction="none")(leaf, target)
    rows *= 2.0
    rows.sum().backward()


@over(CASES)
def test_laws_of_rows(case):
    pred, target = case.batch(23)
    loss = case.build(reduction="none")
    rows = loss(pred, target)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    shuffled = loss(pred[order], map_target(target, lambda x: x[order]))
    torch.testing.assert_close(shuffled, rows[order], rtol=1e-6, atol=1e-9)
    assert torch.equal(loss(pred, target), rows)
    if case.whole:
        return
    halves = [loss(pred[part], map_target(target, lambda x, part=part: x[part])) for part in (slice(10), slice(10, 23))]
    torch.testing.assert_close(torch.cat(halves), rows, rtol=1e-6, atol=1e-9)


@over(CASES)
def test_memory_layout_does_not_matter(case):
    pred, target = case.batch(N)
    weight = torch.rand(N, generator=torch.Generator().manual_seed(0))
    expected = case.build()(pred, target, weight)

    def strided(x):
        return torch.stack([x, torch.zeros_like(x)], -1).flatten(-2)[..., ::2]

    def transposed(x):
        return x.t().contiguous().t() if x.ndim == 2 else x

    for layout in (strided, transposed):
        value = case.build()(layout(pred), map_target(target, layout), strided(weight))
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    if case.whole and case.prepare:
        return  # more rows of one kind than the statistics say: they count less
    row, row_target = pred[:1], map_target(target, lambda x: x[:1])
    spread = case.build()(row.expand(N, -1), map_target(row_target, lambda x: x.expand(N, *[-1] * (x.ndim - 1))))
    torch.testing.assert_close(spread, case.build()(row, row_target))


@over([case for case in CASES if not case.frozen])
def test_gradient_is_the_derivative(case):
    """By differences of values, away from kinks; losses with a constant factor are checked by the reference."""
    pred, target = case.batch(5, torch.float64, seed=3)
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0], dtype=torch.float64)
    for call in ({}, {"reduction_override": "none"}):
        assert torch.autograd.gradcheck(
            lambda x, call=call: case.build()(x, target, weight, **call),
            pred.requires_grad_(),
            atol=1e-7,
            fast_mode=True,
        )


@over(CASES)
def test_second_derivative_exists(case):
    pred, target = case.batch(5, torch.float64, seed=3)
    pred.requires_grad_()
    (first,) = torch.autograd.grad(case.build()(pred, target), pred, create_graph=True)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.square().sum(), pred)
        assert second.isfinite().all()


@pytest.mark.parametrize("grad", [True, False])
@over(CASES)
def test_no_grad_and_inference(case, grad):
    pred, target = case.batch(N)
    expected = case.build()(pred, target)
    with torch.no_grad() if grad else torch.inference_mode():
        assert torch.equal(case.build()(pred, target), expected)
