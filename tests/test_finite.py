"""Finite input gives a finite loss and a finite gradient: the matrix of bad inputs."""

import pytest
import torch
from cases import (
    BINS,
    BOX_CASES,
    CASES,
    CLASSES,
    CLS_CASES,
    COORDINATE_CASES,
    DFL_CASES,
    ROWWISE_CASES,
    SIDE_CASES,
    map_target,
    over,
    run,
)
from cases.bad import BAD_BOXES, DTYPES, LOGITS, PROBABILITIES, QUALITIES
from torch import Tensor

over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


def assert_finite(names: list[str], rows: Tensor) -> None:
    bad = ~rows.reshape(len(names), -1).isfinite().all(1)
    assert not bad.any(), [name for name, wrong in zip(names, bad.tolist(), strict=True) if wrong]


@over_dtypes
@over(BOX_CASES + SIDE_CASES)
def test_bad_boxes(case, dtype):
    pred, target = (
        torch.tensor([pair[i] for pair in BAD_BOXES.values()], dtype=torch.float64).to(dtype) for i in range(2)
    )
    held = pred.isfinite().all(1) & target.isfinite().all(1)
    if case.options.get("mode") == "w2" and dtype != torch.float64:
        held &= pred.abs().amax(1) < 1e19  # the square of 1e20 is no float32
    names = [name for name, kept in zip(BAD_BOXES, held.tolist(), strict=True) if kept]
    assert len(names) >= len(BAD_BOXES) - 13  # a half holds no more than 65504
    value, grad = run(case.build(reduction="none"), pred[held], target[held])
    assert_finite(names, value)
    assert (value >= 0).all()
    # the gradient of a box of 1e-40 is of the order of 1e40, which only float64 holds
    representable = torch.tensor([dtype == torch.float64 or "subnormal" not in name for name in names])
    assert_finite([name for name, kept in zip(names, representable.tolist(), strict=True) if kept], grad[representable])


@over_dtypes
@over(BOX_CASES)
def test_perfect_match_is_best(case, dtype):
    """At every size, and with a gradient that is bounded in units of the box."""
    sides = [10.0**k for k in range(-3, 7)] + [3.0, 5.0, 7.3, 31.9, 100.7, 1333.0]
    corners = [0.0, 1.0, -17.0, 640.0]
    drawn = [[c, -c, c + w, -c + h] for c in corners for w in sides for h in sides if max(w, h) <= 100 * min(w, h)]
    target = torch.tensor(drawn, dtype=torch.float64).to(dtype)
    size = (target[:, 2:] - target[:, :2]).double()
    target = target[target.isfinite().all(1) & (size > 0).all(1) & size.isfinite().all(1)]
    value, grad = run(case.build(reduction="none"), target, target)
    assert value.abs().max() <= 1e-6
    if dtype in (torch.float32, torch.float64):
        shorter = (target[:, 2:] - target[:, :2]).amin(1, keepdim=True)
        slope = (grad * shorter).abs()
        assert slope.isfinite().all()
        assert slope.max() <= 20 or case.options.get("power", 1) < 1


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
