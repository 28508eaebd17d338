"""What the hand-written kernels take, also of a GPU, whose tensors are fakes here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from mmdet_losses import functional as F
from mmdet_losses import kernels
from mmdet_losses.functional.classification import placed
from mmdet_losses.kernels import Call, generated, plans
from mmdet_losses.kernels.call import eager
from mmdet_losses.kernels.plans import HALVES, is_divisor, is_near, plan_of, readable


class Own(Tensor):
    """May be computed in its own way."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plans, "ON_GPUS", True)
    monkeypatch.setattr(plans, "PLAIN", (*plans.PLAIN, FakeTensor))
    with FakeTensorMode():
        yield


BOXES = Call(F.bounded_iou_loss, {"beta": 0.2, "eps": 1e-3}, "sum", 1.0, "rows", True, None, True)
ELEMENTS = Call(F.l1_loss, {}, "sum", 1.0, "elements", True, None, True)


@pytest.mark.usefixtures("gpu")
def test_the_same_device() -> None:
    cpu, first, second = (torch.empty(1, device=device) for device in ("cpu", "cuda:0", "cuda:1"))
    assert is_near(cpu, cpu) and is_near(first, first)
    assert not any(is_near(one, other) for one, other in ((cpu, first), (first, cpu), (second, first)))


@pytest.mark.usefixtures("gpu")
def test_divisors_that_are_read_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pred = torch.empty(4, 4, device="cuda")
    assert is_divisor(torch.empty(1, device="cuda"), pred) and is_divisor(torch.empty(1), pred)
    assert not is_divisor(torch.empty(2, device="cuda"), pred)
    assert not is_divisor(torch.empty(1, device="cuda:1"), pred)
    for device in ("cpu", "cuda"):
        assert not is_divisor(torch.empty(1, device=device, requires_grad=True), pred)
    target = torch.empty(4, 4, device="cuda")
    for divisor, planned in ((torch.empty(1, device="cuda"), True), (torch.empty(2, device="cuda"), False)):
        assert (plan_of(BOXES, (pred, target), None, divisor) is not None) is planned
    monkeypatch.setattr(plans, "PLAIN", (Tensor,))
    assert not is_divisor(torch.empty(1, device="cuda"), pred)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", HALVES)
def test_a_gpu_reads_halves_as_they_are(dtype: torch.dtype) -> None:
    for device, expected in (("cuda", dtype), ("cpu", torch.float32)):
        tensor, pred = (torch.empty(4, 4, dtype=dtype, device=device) for _ in range(2))
        assert readable(tensor, pred, halves=HALVES).dtype == expected
        assert readable(tensor, pred).dtype == torch.float32
        assert readable(tensor.double(), pred, halves=HALVES) is None
        for call in (BOXES, ELEMENTS):
            planned = plan_of(call, (pred, tensor), None, None)
            assert planned[2].dtype == dtype if device == "cuda" else planned is None
        assert plan_of(BOXES, (pred.double(), tensor), None, None) is None


@pytest.mark.usefixtures("gpu")
def test_rows_read_labels_and_halves() -> None:
    """Labels are cast to int64; those on another device have no plan."""
    here = torch.empty(4, 3, device="cuda")
    near, far = (torch.empty(4, dtype=torch.int32, device=device) for device in ("cuda", "cpu"))
    plain = {"class_weight": None, "label_smoothing": 0.0}
    softmax = ELEMENTS._replace(function=F.softmax_cross_entropy, arguments=plain)
    focal = ELEMENTS._replace(
        function=F.sigmoid_focal_loss,
        arguments={"gamma": 2.0, "alpha": 0.25, "activated": False, "epsilon": 0.0, "weigh_poly": True},
    )
    for call in (softmax, focal):
        assert plan_of(call, (here, near), None, None)[1].dtype == torch.int64
        assert plan_of(call, (here, far), None, None) is None
    distances = ELEMENTS._replace(function=F.distribution_focal_loss, arguments={"y_min": 0.0, "y_max": None})
    assert (
        plan_of(distances, (here, torch.empty(4, dtype=torch.float16, device="cuda")), None, None)[2].dtype
        == torch.float16
    )


def test_predictions_of_a_class_or_device_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pred = torch.ones(4, 4)
    assert plan_of(BOXES, (pred, pred), None, None) is not None
    assert plan_of(BOXES, (pred.as_subclass(Own), pred), None, None) is None
    monkeypatch.setattr(plans, "ON_GPUS", True)
    assert plan_of(BOXES, (pred.to("meta"), pred.to("meta")), None, None) is None
    assert plan_of(BOXES, (torch.ones(4, 4, 4), pred), None, None) is None
    assert plan_of(BOXES, (torch.ones(4, 5), torch.ones(4, 5)), None, None) is None


def test_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """First for a plan, then for a generated kernel, each with all of the call."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(kernels, "plan_of", lambda *given: asked.append(given))
    monkeypatch.setattr(generated, "compute", lambda *given: asked.append(given))
    given = BOXES, (torch.rand(2, 4), torch.rand(2, 4)), torch.ones(2, 1), 3.0
    assert torch.equal(kernels.compute(*given), eager(*given))
    assert len(asked) == 2
    assert all(one is other for found in asked for one, other in zip(found, given, strict=True))


def test_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated kernel where there is no plan; of an unreduced loss none is asked."""
    answer = torch.tensor(7.0)
    monkeypatch.setattr(kernels, "plan_of", lambda *given: None)
    monkeypatch.setattr(generated, "compute", lambda *given: answer)
    inputs = torch.rand(2, 4), torch.rand(2, 4)
    assert kernels.compute(BOXES, inputs, None, 3.0) is answer
    monkeypatch.setattr(kernels, "plan_of", None)
    unreduced = BOXES._replace(reduction="none")
    assert torch.equal(kernels.compute(unreduced, inputs, None, None), eager(unreduced, inputs, None, None))


def test_labels_of_no_class_at_all() -> None:
    assert placed(torch.ones(2), torch.tensor([0, 1]), 0).shape == (2, 0)
