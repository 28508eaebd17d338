"""What losses compute in another way while they are traced, run eagerly: equal to the form that eager calls take."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from cases import CASES, map_target, over, run
from torch._subclasses import FakeTensorMode

from mmdet_losses import functional as F

FORMS = [
    module
    for name, module in sys.modules.items()
    if name.startswith("mmdet_losses.") and hasattr(module, "is_compiling") and not name.endswith(".compiling")
]


@pytest.fixture
def as_if_traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in FORMS:
        monkeypatch.setattr(module, "is_compiling", lambda: True)
    with torch._guards.tracing(torch._guards.TracingContext(FakeTensorMode())):
        yield


def test_forms_are_found() -> None:
    assert {module.__name__.removeprefix("mmdet_losses.") for module in FORMS} >= {
        "functional.distribution",
        "functional.pairs",
        "functional.reduce",
        "kernels",
        "modules.classes.per_class",
    }


@over(CASES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_form_under_tracing_is_the_eager_one(case, weighted: bool, request: pytest.FixtureRequest) -> None:
    loss = case.build()
    pred, target = case.batch(40, torch.float64, seed=7)
    weight = (torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.3).clamp(min=0)
    args = (weight,) if weighted else ()
    expected = [run(loss, pred, target, *args, **call) for call in ({}, {"reduction_override": "none"})]
    request.getfixturevalue("as_if_traced")
    for call, (value, gradient) in zip(({}, {"reduction_override": "none"}), expected, strict=True):
        other, slope = run(loss, pred, target, *args, **call)
        torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(slope, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "quality_focal_terms", "sigmoid_cross_entropy"])
def test_gradient_of_the_target_under_tracing(name: str, request: pytest.FixtureRequest) -> None:
    pred, target = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaves = pred.requires_grad_(), target.sigmoid().requires_grad_()
    expected = torch.autograd.grad(getattr(F, name)(*leaves).sum(), leaves)
    request.getfixturevalue("as_if_traced")
    gradients = torch.autograd.grad(getattr(F, name)(*leaves).sum(), leaves)
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("name", ["quality_focal_loss", "distribution_focal_loss"])
def test_rows_in_two_axes_under_tracing(name: str, request: pytest.FixtureRequest) -> None:
    """Labels of no class among them, and distances that are a bin's."""
    g = torch.Generator().manual_seed(1)
    pred, score = torch.randn(2, 3, 4, generator=g), torch.rand(2, 3, generator=g)
    label = torch.randint(-1, 6, (2, 3), generator=g)
    distance = torch.tensor([[0.0, 1.0, 1.3], [2.0, 2.9, 3.0]])
    targets = (label, score) if name == "quality_focal_loss" else (distance,)
    expected = getattr(F, name)(pred, *targets)
    request.getfixturevalue("as_if_traced")
    torch.testing.assert_close(getattr(F, name)(pred, *targets), expected)


@over([case for case in CASES if case.name not in ("APLoss", "RankSortLoss")])
def test_no_tensor_is_made_on_another_device_under_tracing(
    case, as_if_traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())  # knows no such device
    pred, target = case.batch(40)
    leaf = pred.to("meta").requires_grad_()
    value = case.build().to("meta")(leaf, map_target(target, lambda x: x.to("meta")), torch.ones(40, device="meta"))
    value.backward()
    assert value.device.type == "meta" and leaf.grad.shape == pred.shape


def test_weights_and_wide_divisors_under_tracing(request: pytest.FixtureRequest) -> None:
    pred, label = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 3, 1])
    weight, divisor = torch.tensor([1.0, 2.0, 5.0]), torch.tensor(2.0, dtype=torch.float64)
    expected = F.sigmoid_cross_entropy(pred, label, class_weight=weight)
    request.getfixturevalue("as_if_traced")
    torch.testing.assert_close(F.sigmoid_cross_entropy(pred, label, class_weight=weight), expected)
    assert F.reduce_loss(expected, "mean", divisor).dtype == torch.float32
