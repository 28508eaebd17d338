"""The parts of weighting and reduction, by hand; ``tests/contract`` holds every loss to what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from mmdet_losses.functional import compiling, reduce
from mmdet_losses.functional.dtype import NOTHING, autocast_is_on, without_autocast
from mmdet_losses.functional.geometry import framed
from mmdet_losses.functional.reduce import (
    MOST,
    SHORT,
    all_between,
    drop_junk,
    keep_rows,
    kept_rows,
    mean_of_columns,
    mostly_kept,
    none_masked,
    reduce_loss,
    select_rows,
    weighted_loss,
    weighted_sum,
)
from mmdet_losses.kernels.call import Call, eager


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


@pytest.mark.parametrize("keep", [keep_rows, select_rows])
@pytest.mark.parametrize("most", [1.0, 0.5])
def test_rows_are_kept_where_too_few_are_left_out(most: float, keep: Callable) -> None:
    inputs, weight = [torch.ones(4, 2)], torch.tensor([1.0, 1.0, 1.0, 1.0])
    weight[: round(4 * (1 - most))] = 0
    same, unchanged = keep(inputs, weight, *(() if most == 1 else (most,)))
    assert same is inputs and unchanged is weight
    fewer = weight.clone()
    fewer[-1] = 0
    assert len(keep(inputs, fewer, most)[1]) == 4 * most - 1


def test_rows_are_kept_where_their_weight_must_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "may_select", lambda tensor: False)
    inputs, weight = [torch.ones(2)], torch.tensor([0.0, 1.0])
    assert keep_rows(inputs, weight)[0] is inputs


def test_a_selection_without_gradient_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    pred, label, weight = torch.ones(3, requires_grad=True), torch.arange(3), torch.tensor([0.0, 1, 1])
    monkeypatch.setattr(reduce, "Rows", None)
    assert keep_rows([pred.detach(), label], weight)[0][1].tolist() == [1, 2]
    with torch.no_grad():
        assert len(keep_rows([pred, label], weight)[0][0]) == 2


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
    angled = torch.cat((weight, torch.ones(rows, 1)), 1)
    torch.testing.assert_close(mean_of_columns(angled), (weight.sum(1) + 1) / 5)


@pytest.mark.parametrize("selects", [True, False])
@pytest.mark.parametrize("size", [5, SHORT + 1])
def test_weighted_sum(size: int, selects: bool) -> None:
    loss, weight = torch.rand(2, 2, size, generator=torch.Generator().manual_seed(0)).unbind()
    expected = (loss.double() * weight.double()).sum()
    for form in (weight, weight.double()):
        for total in (weighted_sum(loss, form, selects), weighted_sum(loss.flatten(), form.flatten(), selects)):
            torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=0)
            assert total.dtype == torch.float32 and total.shape == ()
    torch.testing.assert_close(
        weighted_sum(loss, weight[:1], selects).double(), (loss.double() * weight[:1]).sum(), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(weighted_sum(loss, None, selects), loss.sum())


def test_no_rows_cost_nothing_and_are_connected() -> None:
    def compute(*inputs: Tensor) -> Tensor:
        raise AssertionError("there is nothing to compute")

    pred = torch.empty(0, 3, dtype=torch.float16, requires_grad=True)
    for reduction in ("mean", "sum"):
        loss = weighted_loss(compute, [pred, torch.empty(0, dtype=torch.int64)], reduction=reduction)
        assert loss.item() == 0 and loss.dtype == torch.float32
        loss.backward()
        assert pred.grad.shape == (0, 3)


def test_finite_loss_does_not_prove_a_finite_slope() -> None:
    """That of a root at 0 is infinite, which a weight of 0 would turn into NaN."""
    pred = torch.tensor([0.0, 4.0], requires_grad=True)
    weighted_loss(torch.sqrt, [pred], torch.tensor([0.0, 1.0]), reduction="sum").backward()
    assert pred.grad.tolist() == [0, 0.25]


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_many_rows_of_a_tame_loss(share: float) -> None:
    draw = torch.Generator().manual_seed(0)
    pred, weight = torch.rand(SHORT + 1, generator=draw), (torch.rand(SHORT + 1, generator=draw) < share).float()
    loss = weighted_loss(torch.abs, [pred], weight, tame=True)
    assert loss.item() == pytest.approx((pred.double() * weight).mean().item(), rel=1e-5)
    assert weighted_loss(torch.abs, [torch.ones(2, 3)], torch.ones(2, 3), tame=True) == 1


@pytest.mark.parametrize(
    ("numel", "kept", "tame", "computed"),
    [
        (4, 1, True, 4),  # selecting costs more than computing
        (SHORT, 1, True, SHORT),
        (SHORT + 1, 1, True, 1),
        (SHORT + 1, SHORT, True, SHORT + 1),
        (4, 1, False, 1),
        (SHORT + 1, SHORT, False, SHORT),
    ],
)
def test_which_rows_are_computed(numel: int, kept: int, tame: bool, computed: int) -> None:
    seen = []

    def compute(pred: Tensor) -> Tensor:
        seen.append(len(pred))
        return pred

    weight = torch.zeros(numel)
    weight[:kept] = 1
    call = Call(compute, {}, "sum", 1, "elements", tame, None)
    assert eager(call, [torch.ones(numel)], weight, None) == kept
    assert weighted_loss(compute, [torch.ones(numel)], weight, reduction="none").sum() == kept
    assert seen == [computed, numel]


def test_weights_of_coordinates_are_averaged_for_rows_alone() -> None:
    weight, boxes = torch.tensor([[0.0, 0, 0, 0], [1, 2, 3, 6]]), torch.ones(2, 4)
    rows = weighted_loss(lambda pred: pred.sum(1), [boxes], weight, reduction="sum", values="rows")
    assert rows == 12
    assert weighted_loss(torch.abs, [boxes], weight, reduction="sum", values="sides") == 12
    unreduced = weighted_loss(lambda pred: pred.sum(1), [boxes], weight.mean(1), reduction="none", values="rows")
    assert unreduced.tolist() == [0, 12]


def test_a_loss_weight_of_1_is_no_operation() -> None:
    pred = torch.ones(2, requires_grad=True)
    of = {
        weight: eager(Call(torch.exp, {}, "none", weight, "elements", True, None), [pred], None, None)
        for weight in (1, 2)
    }
    assert torch.equal(of[2], 2 * of[1]) and "Exp" in of[1].grad_fn.name()


@pytest.mark.parametrize("option", [{"reduction": "avg"}, {"values": "row"}])
def test_unknown_reduction_or_kind_of_value(option: dict[str, str]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=rf"^weighted_loss\(\): {name} must be one of '.*', got '{value}'"):
        weighted_loss(torch.abs, [torch.ones(2)], **option)
    if name == "reduction":
        message = r"^reduce_loss\(\): reduction must be one of 'none', 'mean', 'sum', got 'avg'"
        with pytest.raises(ValueError, match=message):
            reduce_loss(torch.ones(2), value)


def test_what_is_not_masked_is_not_copied() -> None:
    inputs, weight = [torch.ones(3, requires_grad=True)], torch.tensor([1.0, 2, 3])
    assert drop_junk(inputs, weight, may_drop=True, values="elements")[0] is inputs
    (rows,), _ = drop_junk(inputs, weight - 1, may_drop=True, values="elements")
    assert len(rows) == 2 and "Rows" in rows.grad_fn.name()
    pair = framed(*torch.tensor([[[0.0, 0, 2, 2]], [[1.0, 1, 3, 4]]]))
    assert pair.inner_iou(1.0) is pair.iou


def test_junk_of_weight_0() -> None:
    """Elements each on their own; a row of sides only where all its weights are 0."""
    weight = torch.tensor([[0.0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    ones = torch.ones(3, 4)
    (elements,), _ = drop_junk([ones], weight, may_drop=False, values="elements")
    assert torch.equal(elements, weight)
    (sides,), _ = drop_junk([ones], weight, may_drop=False, values="sides")
    assert sides[:, 0].tolist() == [1, 0, 1] and torch.equal(sides, sides[:, :1].expand(3, 4))
    (rows,), kept = drop_junk([ones], weight, may_drop=True, values="sides")
    assert len(rows) == len(kept) == 2
    (rows,), kept = drop_junk([ones], weight, may_drop=True, values="elements")
    assert len(rows) == len(kept) == 2


def test_autocast_is_off_within() -> None:
    assert not autocast_is_on("cpu") and not autocast_is_on("meta")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert autocast_is_on("cpu")
        with without_autocast("cpu"):
            assert not autocast_is_on("cpu")
        assert autocast_is_on("cpu")


def test_autocast_of_the_device_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU's own answer is the same whatever it is asked for."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: {"cuda": True, "cpu": False}[device])
    assert autocast_is_on("cuda") and not autocast_is_on("cpu")
    assert without_autocast("cpu") is NOTHING and without_autocast("cuda") is not NOTHING


def test_autocast_of_an_older_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.4 it takes no device, and the CPU has a function of its own."""
    for gpu, cpu in ((False, True), (True, False), (False, False)):
        monkeypatch.setattr(torch, "is_autocast_enabled", partial(bool, gpu))
        monkeypatch.setattr(torch, "is_autocast_cpu_enabled", partial(bool, cpu))
        assert autocast_is_on("cpu") is (gpu or cpu)


def test_who_has_to_see_every_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transform of functions, forward differentiation at any level, and a compiler, each on its own."""
    seen = []
    torch.func.grad(lambda x: seen.append(compiling.is_traced()) or x.sum())(torch.ones(2))
    with forward_ad.dual_level():
        seen.append(compiling.is_traced())
    assert seen == [True, True] and not compiling.is_traced()
    monkeypatch.setattr(compiling, "is_compiling", lambda: True)
    assert compiling.is_traced()
