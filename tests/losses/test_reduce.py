"""The parts of weighting and reduction, by hand; ``tests/contract`` holds every loss to what they add up to."""

from __future__ import annotations

import pytest
import torch

from mmdet_losses.functional.reduce import (
    MOST,
    SHORT,
    all_between,
    keep_rows,
    kept_rows,
    mean_of_columns,
    mostly_kept,
    none_masked,
    weighted_sum,
)


def test_all_between() -> None:
    label = torch.tensor([0, 3, 1])
    assert all_between(label, 0, 3) and all_between(label, -1, 4)
    assert not all_between(label, 1, 3) and not all_between(label, 0, 2)
    assert all_between(label.half(), 0, 3) and not all_between(label.half(), 0, 2)
    assert not all_between(label[:0], 0, 3)


@pytest.mark.parametrize("columns", [(), (1,), (3,), (4,), (4, 2)])
def test_kept_rows(columns: tuple[int, ...]) -> None:
    """Those with a weight, at whatever place and of whatever sign."""
    weight = torch.zeros(4, *columns)
    weight[1], weight.view(4, -1)[3, -1] = -1, 1e-30
    assert kept_rows(weight).tolist() == [False, True, False, True]
    other = weight.movedim(0, -1).contiguous().movedim(-1, 0)  # the same in another layout
    assert kept_rows(other).tolist() == [False, True, False, True]


def test_rows_without_a_weight_are_left_out() -> None:
    pred, weight = torch.arange(12.0).view(4, 3).requires_grad_(), torch.tensor([0.0, 2.0, 0.0, 3.0])
    (rows, label), kept = keep_rows([pred, torch.arange(4)], weight)
    assert rows.tolist() == [[3, 4, 5], [9, 10, 11]] and label.tolist() == [1, 3] and kept.tolist() == [2, 3]
    # its own backward, which writes zeros once
    assert "Rows" in rows.grad_fn.name()
    rows.sum().backward()
    assert pred.grad.sum(1).tolist() == [0, 3, 0, 3]
    (alone,), _ = keep_rows([pred.detach()], weight)
    assert torch.equal(alone, rows)


@pytest.mark.parametrize("most", [1.0, 0.5])
def test_rows_are_kept_where_too_few_are_left_out(most: float) -> None:
    inputs, weight = [torch.ones(4, 2)], torch.tensor([1.0, 1.0, 1.0, 1.0])
    weight[: round(4 * (1 - most))] = 0
    same, unchanged = keep_rows(inputs, weight, *(() if most == 1 else (most,)))
    assert same is inputs and unchanged is weight
    fewer = weight.clone()
    fewer[-1] = 0
    assert len(keep_rows(inputs, fewer, most)[1]) == 4 * most - 1


def test_no_weight_is_0() -> None:
    assert none_masked(torch.tensor([1e-3, 2.0])) and none_masked(torch.empty(0))
    assert not none_masked(torch.tensor([0.0, 2.0]))


def test_few_weights_are_0() -> None:
    least = round(10 * MOST)
    weight = torch.zeros(10)
    weight[:least] = -1
    assert mostly_kept(weight, 10)
    weight[0] = 0
    assert not mostly_kept(weight, 10)
    assert not mostly_kept(torch.ones(10, 4), 10) and not mostly_kept(torch.ones(1), 10)


@pytest.mark.parametrize("rows", [3, SHORT // 4, SHORT // 4 + 1])
def test_mean_of_columns(rows: int) -> None:
    weight = torch.rand(rows, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_of_columns(weight).double(), weight.double().mean(1), rtol=1e-6, atol=0)
    assert mean_of_columns(weight.half()).dtype == torch.float32
    assert mean_of_columns(weight[:, 0]).equal(weight[:, 0])


@pytest.mark.parametrize("size", [5, SHORT + 1])
def test_weighted_sum(size: int) -> None:
    loss, weight = torch.rand(2, 2, size, generator=torch.Generator().manual_seed(0)).unbind()
    expected = (loss.double() * weight.double()).sum()
    for form in (weight, weight.double()):
        for total in (weighted_sum(loss, form), weighted_sum(loss.flatten(), form.flatten())):
            torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=0)
            assert total.dtype == torch.float32 and total.shape == ()
    torch.testing.assert_close(
        weighted_sum(loss, weight[:1]).double(), (loss.double() * weight[:1]).sum(), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(weighted_sum(loss, None), loss.sum())
