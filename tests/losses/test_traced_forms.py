"""What losses compute in another way while they are traced, run eagerly: equal to the form that eager calls take."""

import sys
from collections.abc import Iterator

import pytest
import torch
from cases import CASES, over, run
from torch._subclasses import FakeTensorMode

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
