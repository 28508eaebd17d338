"""Finite input gives a finite loss and a finite gradient; ``tests/reliability`` has the matrix of bad inputs."""

import pytest
import torch
from cases import (
    BINS,
    CASES,
    CLASSES,
    CLS_CASES,
    COORDINATE_CASES,
    DFL_CASES,
    ROWWISE_CASES,
    map_target,
    over,
    run,
)
from cases.bad import DTYPES, LOGITS, PROBABILITIES, QUALITIES

over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


@over_dtypes
@over(COORDINATE_CASES)
def test_bad_coordinates(case, dtype):
    numbers = torch.tensor([0.0, 1e-40, 1e-3, 0.11, 0.5, 1.0, 1e3, 6e4, 1e6, -1e-3, -1.0, -1e6], dtype=torch.float64)
    numbers = numbers.to(dtype)
    pred, target = (
        x.reshape(-1, 1)
        for x in torch.meshgrid(numbers[numbers.isfinite()], numbers[numbers.isfinite()], indexing="ij")
    )
    value, grad = run(case.build(reduction="none"), pred, target)
    assert value.isfinite().all()
    if case.name != "MSELoss" or dtype != torch.float16:  # 2 * 6e4 is no half
        assert grad.isfinite().all()
    assert (value[pred == target] == 0).all()


def classification_input(case, dtype: torch.dtype):
    """Every logit in every place, against every kind of target."""
    numbers = LOGITS
    if case.options.get("activated"):
        # the gradient at a probability p is of the order of 1 / p, which has to be a number of the dtype
        numbers = [p for p in PROBABILITIES if p == 0 or p > 1 / torch.finfo(dtype).max]
    pred, target = case.batch(2)
    place = torch.arange(pred.shape[1])
    rows = [
        [numbers[(i + k * j) % len(numbers)] for j in place.tolist()] for i in range(len(numbers)) for k in range(4)
    ]
    pred = torch.tensor(rows, dtype=torch.float64).to(dtype)
    if isinstance(target, tuple):
        grid = torch.cartesian_prod(torch.arange(-1, CLASSES + 2), torch.arange(len(QUALITIES)))
        targets = (grid[:, 0], torch.tensor(QUALITIES, dtype=torch.float64)[grid[:, 1]].to(dtype))
    elif target.is_floating_point():
        allowed = [0.0, 1.0] if case.name in ("FocalLoss", "EqualizedFocalLoss") else QUALITIES
        targets = torch.tensor([[allowed[(i + j) % len(allowed)] for j in range(CLASSES)] for i in range(5)]).to(dtype)
    else:
        # every channel a class, so that no label is background
        softmax = case.per_row and pred.shape[1] == CLASSES
        targets = torch.arange(CLASSES) if softmax else torch.arange(-1, CLASSES + 2)
    m = len(targets[0] if isinstance(targets, tuple) else targets)
    return pred.repeat_interleave(m, 0), map_target(targets, lambda x: x.repeat(len(pred), *[1] * (x.ndim - 1)))


@over_dtypes
@over(CLS_CASES)
def test_bad_logits(case, dtype):
    pred, target = classification_input(case, dtype)
    value, grad = run(case.build(reduction="none"), pred, target)
    assert value.isfinite().all()
    assert (value >= 0).all()
    assert grad.isfinite().all()


@over_dtypes
@over(DFL_CASES)
def test_bad_distances(case, dtype):
    labels = torch.tensor([0.0, 1e-6, 0.5, BINS - 1 - 1e-3, BINS - 1, BINS - 0.5, 1e4, -1e-6, -1.0, -1e4])
    first, last = case.options.get("y_min", 0), case.options.get("y_max", BINS - 1)
    logits = torch.tensor([[LOGITS[(i + 3 * j) % len(LOGITS)] for j in range(BINS)] for i in range(10)])
    pred, target = logits.repeat_interleave(len(labels), 0).to(dtype), labels.repeat(10).to(dtype)
    value, grad = run(case.build(reduction="none"), pred, target)
    assert value.isfinite().all()
    assert grad.isfinite().all()
    clamped, _ = run(case.build(reduction="none"), pred, target.clamp(first, last))
    assert torch.equal(value, clamped)


@over(CASES)
def test_empty_input(case):
    pred, target = case.batch(3)
    pred, target = pred[:0], map_target(target, lambda x: x[:0])
    for weight in (None, torch.zeros(0)):
        for call in (
            {},
            {"reduction_override": "sum"},
            {"reduction_override": "none"},
            {"avg_factor": 1.0},
            {"avg_factor": 0},
            {"avg_factor": torch.tensor(0.0)},
        ):
            leaf = pred.clone().requires_grad_()
            value = case.build()(leaf, target, weight, **call)
            if call.get("reduction_override") == "none":
                assert value.shape == case.result_shape(pred)
                value = value.sum()
            assert value.shape == ()
            assert value.item() == 0
            value.backward()
            assert leaf.grad is not None
            assert leaf.grad.shape == leaf.shape


@over(CASES)
def test_empty_input_is_connected_to_what_made_it(case):
    """A head's parameter that made an empty prediction gets a gradient of 0, as DistributedDataParallel asks."""
    pred, target = case.batch(3)
    parameter = torch.ones((), requires_grad=True)
    case.build()(pred[:0] * parameter, map_target(target, lambda x: x[:0]), avg_factor=1.0).backward()
    assert parameter.grad.item() == 0


@over(ROWWISE_CASES)
def test_avg_factor_zero_gives_zero(case):
    for zero in (0, 0.0, torch.tensor(0), torch.tensor(0.0), torch.tensor([0.0])):
        value, grad = run(case.build(), *case.batch(), avg_factor=zero)
        assert value.item() == 0
        assert (grad == 0).all()


@over(CASES)
def test_nan_in_a_row_that_counts_is_not_hidden(case):
    """The result is NaN; a finite loss of a broken prediction would only move the failure elsewhere."""
    pred, target = case.batch()
    pred[2] = torch.nan
    rows = case.build(reduction="none")(pred, target).reshape(len(pred), -1)
    assert rows[2].isnan().all()
    assert rows[[0, 1, 3, 4, 5, 6]].isfinite().all()
    assert case.build()(pred, target, torch.ones(len(pred))).isnan()
