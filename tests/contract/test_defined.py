"""Statistics have their defined values however a module came to be: on ``meta``, in half precision, by assignment."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from cases import STATEFUL_CASES, draw_boxes, over, run
from cases.case import Case
from torch import Tensor, nn

import mmdet_losses as ml
from mmdet_losses import commit_statistics

N = 11
HARMONIZED = [Case(name, None, False, None) for name in ("GHMC", "GHMR")]
"""Without momentum: their edges are a buffer all the same."""
FOLLOWING = [*STATEFUL_CASES, *HARMONIZED, Case("UnifiedIoULoss", None, False, None)]


def fresh(case: Case) -> nn.Module:
    """As the loss starts, without the statistics that a case prepares."""
    return case.loss_class(**case.options)


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.fixture(autouse=True)
def memory_holds_whatever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``to_empty`` leaves undefined is 7."""
    empty = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *args, **options: empty(*args, **options).fill_(7))


def on_meta(case: Case) -> nn.Module:
    with torch.device("meta"):
        return nn.ModuleDict({"loss": fresh(case), "layer": nn.Linear(2, 2)})


def to_empty(model: nn.Module) -> None:
    model.to_empty(device="cpu")


def half_to_empty(model: nn.Module) -> None:
    model.half().to_empty(device="cpu")


def one_by_one(model: nn.Module) -> None:
    """As FSDP does for modules with parameters or buffers of their own, which have to have the method."""
    for module in model.modules():
        if module._parameters or module._buffers:
            module.to_empty(device="cpu", recurse=False)
            module.reset_parameters()


@pytest.mark.parametrize("materialise", [to_empty, half_to_empty, one_by_one], ids=lambda function: function.__name__)
@over(FOLLOWING)
def test_statistics_start_as_defined_after_meta(case, materialise: Callable[[nn.Module], None]):
    model = on_meta(case)
    assert all(value.is_meta for value in model.buffers())
    materialise(model)
    assert_same(buffers(model.loss), buffers(fresh(case)))
    assert buffers(model.loss)
    assert (model.layer.weight == 7).all() or materialise is one_by_one


@over(STATEFUL_CASES)
def test_training_after_meta(case):
    model, plain = on_meta(case), fresh(case)
    to_empty(model)
    for loss in (model.loss, plain):
        run(loss, *case.batch(N))
        commit_statistics(loss)
    assert_same(buffers(model.loss), buffers(plain))


@over(FOLLOWING)
def test_assigned_state_dict(case):
    """What no state dict holds leaves ``meta`` as well; values in half become float32."""
    trained = fresh(case)
    if case in STATEFUL_CASES:
        run(trained, *case.batch(N))
        commit_statistics(trained)
    state = {f"loss.{name}": value for name, value in trained.state_dict().items()}
    state |= {f"layer.{name}": value for name, value in nn.Linear(2, 2).state_dict().items()}
    model = on_meta(case)
    model.load_state_dict(state, assign=True, strict=True)
    assert_same(buffers(model.loss), buffers(trained))
    model = on_meta(case)
    model.load_state_dict({name: value.half() for name, value in state.items()}, assign=True)
    assert {value.dtype for value in model.loss.buffers()} == {torch.float32}
    assert_same(buffers(model.loss), {name: value.half().float() for name, value in buffers(trained).items()})


@over(STATEFUL_CASES)
def test_missing_statistics_of_an_assigned_state_dict_start_anew(case):
    """Where none is given, all stay on ``meta``, as torch leaves them, until ``to_empty``."""
    holder = next(module for module in fresh(case).modules() if getattr(module, "sum_names", ()))
    for name in holder.state_dict():
        given = torch.full_like(getattr(holder, name), 3)
        other = copy.deepcopy(holder).to("meta")
        other.load_state_dict({name: given}, assign=True, strict=False)
        expected = buffers(holder) | {name: given}
        assert_same(buffers(other), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@over(FOLLOWING)
def test_state_stays_float32(case, dtype):
    loss = fresh(case)
    before = buffers(loss)
    nn.ModuleList([loss]).to(dtype)
    assert_same(buffers(loss), before)
    standard = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        built = fresh(case)
    finally:
        torch.set_default_dtype(standard)
    assert_same(buffers(built), before)


@over(STATEFUL_CASES)
def test_reset(case):
    loss = fresh(case)
    start = buffers(loss)
    run(loss, *case.batch(N))
    commit_statistics(loss)
    run(loss, *case.batch(N))
    for module in loss.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert_same(buffers(loss), start)


def test_ratio_is_exact_in_a_half_precision_model():
    """1.2501 is no half."""
    pred, target = draw_boxes(torch.Generator().manual_seed(0), N)
    loss, plain = ml.UnifiedIoULoss().half(), ml.UnifiedIoULoss()
    for one in (loss, plain):
        one.set_progress(0.4999)
    assert torch.equal(loss(pred.float(), target.float()), plain(pred.float(), target.float()))
