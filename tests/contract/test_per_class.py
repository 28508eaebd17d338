"""Options with one number per class: where and when a module was built and moved does not change its loss."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from cases.compiler import Counting, fresh_compiler  # noqa: F401  the fixture
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import OptionError
from mmdet_losses.kernels import generated, written
from mmdet_losses.modules.classes import per_class

LOGITS, LABELS = torch.tensor([[0.0, 2, -1], [1.0, 0, 0]]), torch.tensor([1, 0])
BUILDS: dict[str, tuple[Callable, str, list[float], list[float]]] = {
    "softmax": (ml.CrossEntropyLoss, "class_weight", [1.0, 4, 1], [2.0, 5, 0.5]),
    "sigmoids": (lambda **given: ml.CrossEntropyLoss(True, **given), "class_weight", [1.0, 4, 1], [2.0, 5, 0.5]),
    "custom": (
        lambda **given: ml.CrossEntropyCustomLoss(num_classes=3, **given),
        "class_weight",
        [1.0, 4, 1],
        [2, 5, 1],
    ),
    "focal": (ml.FocalLoss, "alpha", [0.25, 0.5, 1.0], [0.5, 0.125, 0.75]),
    "softmax focal": (lambda **given: ml.FocalLoss(False, **given), "alpha", [0.25, 0.5, 3.0], [0.5, 0.125, 0.75]),
    "poly": (ml.Poly1FocalLoss, "alpha", [0.25, 0.5, 1.0], [0.5, 0.125, 0.75]),
    "equalization": (ml.EqualizationLoss, "class_frequency", [0.5, 0.001, 0.5], [0.5, 0.001, 0.0001]),
    "equalization v2": (lambda **given: ml.EQLV2Loss(num_classes=2, **given), "class_weight", [1.0, 4, 1], [2.0, 5, 3]),
}

over_builds = pytest.mark.parametrize(("make", "name", "numbers", "others"), BUILDS.values(), ids=BUILDS)


def value_of(loss: Callable, pred: Tensor = LOGITS) -> tuple[Tensor, Tensor]:
    """Value and gradient."""
    pred = pred.clone().requires_grad_()
    value = loss(pred, LABELS)
    value.backward()
    return value.detach(), pred.grad


def assert_same(found: tuple, expected: tuple, rtol: float = 0.0) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=0)


def test_values() -> None:
    """By hand: (4 * 0.169846 + 0.551445) / 2; a perfect place on meta or in half precision changes nothing."""
    with torch.device("meta"):
        loss = ml.CrossEntropyLoss(class_weight=[1.0, 4.0, 1.0])
    loss.to_empty(device="cpu")
    assert loss(LOGITS, LABELS).item() == pytest.approx(0.6154, abs=5e-5)
    loss = ml.CrossEntropyLoss(class_weight=[1.0, 4.0, 1e5]).half()
    assert loss(LOGITS, torch.tensor([2, 2])).item() == pytest.approx(236064.5, rel=1e-6)
    loss = ml.CrossEntropyLoss(class_weight=[1.0, 1.0, 1.0])
    assert loss(LOGITS[:1], LABELS[:1]).item() == pytest.approx(0.1698, abs=5e-5)
    loss.class_weight = [10.0, 10.0, 10.0]
    assert loss(LOGITS[:1], LABELS[:1]).item() == pytest.approx(1.6985, abs=5e-5)


@over_builds
@pytest.mark.parametrize("form", [list, tuple, torch.tensor, np.array])
def test_option_may_be_a_list_a_tuple_a_tensor_or_an_array(make, name, numbers, others, form) -> None:
    expected = value_of(make(**{name: numbers}))
    assert_same(value_of(make(**{name: form(numbers)})), expected)
    loss = make(**{name: others})
    setattr(loss, name, form(numbers))
    assert_same(value_of(loss), expected)


@over_builds
def test_option_is_the_only_holder(make, name, numbers, others) -> None:
    """Nothing but statistics is in buffers, state, copies or pickles; copies have an option of their own."""
    loss, plain = make(**{name: numbers}), make(**{name: tuple(numbers)})
    expected = value_of(loss)
    statistics = dict(plain.named_buffers()).keys()
    assert not any("per_class" in buffer or "weight" in buffer for buffer in statistics)
    assert not any(isinstance(value, Tensor) for value in vars(loss).values())
    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), torch.load(buffer, weights_only=False)):
        assert vars(twin).keys() == vars(loss).keys()
        assert_same(value_of(twin), expected)
        getattr(twin, name)[1] = others[1]
        assert_same(value_of(loss), expected)


@over_builds
def test_where_it_was_built_does_not_matter(make, name, numbers, others) -> None:
    expected = value_of(make(**{name: numbers}))
    loss = make(**{name: numbers}).half().double().to(torch.bfloat16)
    assert_same(value_of(loss), expected)
    with torch.inference_mode():
        per_class.made.cache_clear()
        make(**{name: numbers})(LOGITS, LABELS)
    assert_same(value_of(make(**{name: numbers})), expected)


def test_double_inputs_are_weighed_in_double() -> None:
    loss = ml.CrossEntropyLoss(class_weight=[0.1, 0.1, 0.1])
    expected = ml.CrossEntropyLoss()(LOGITS.double(), LABELS) * 0.1
    torch.testing.assert_close(loss(LOGITS.double(), LABELS), expected, rtol=1e-15, atol=0)


def test_tensor_without_values_is_named() -> None:
    loss = ml.CrossEntropyLoss(class_weight=torch.ones(3, device="meta"))
    with pytest.raises(ValueError, match="class_weight must hold numbers, got a tensor on the meta device"):
        loss(LOGITS, LABELS)


@over_builds
def test_change_in_place_or_anew_counts(make, name, numbers, others) -> None:
    mixed = [numbers[0], others[1], numbers[2]]
    for form in (list, torch.tensor):
        loss = make(**{name: form(numbers)})
        value_of(loss)
        getattr(loss, name)[1] = others[1]
        assert_same(value_of(loss), value_of(make(**{name: mixed})))
        setattr(loss, name, others)
        assert_same(value_of(loss), value_of(make(**{name: others})))


@over_builds
def test_steady_call_makes_no_tensor_of_them(make, name, numbers, others, monkeypatch) -> None:
    calls = []
    for maker in ("tensor", "as_tensor"):
        real = getattr(torch, maker)
        monkeypatch.setattr(torch, maker, lambda *a, real=real, **k: calls.append(a) or real(*a, **k))
    per_class.made.cache_clear()
    per_class.recent.clear()
    loss, twin = make(**{name: numbers}), make(**{name: list(numbers)})
    calls.clear()
    value_of(loss)
    assert [tuple(values) for values, *_ in calls] == [tuple(numbers)]
    for again in (loss, twin, copy.deepcopy(loss)):
        value_of(again)
    assert len(calls) == 1
    setattr(loss, name, others)
    for _ in range(2):
        value_of(loss)
    assert len(calls) == 2


@pytest.mark.compiler
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    ("case", "dynamic"), [(case, True) for case in BUILDS] + [("softmax", None), ("equalization v2", None)]
)
def test_compiled(case: str, dynamic: bool | None) -> None:
    """One graph for all sizes; other numbers are followed, by one more graph each."""
    make, name, numbers, others = BUILDS[case]
    backend, loss = Counting(), make(**{name: list(numbers)})
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend=backend)

    def call(rows: int) -> tuple[Tensor, Tensor]:
        found = []
        for function in (compiled, loss):
            pred = LOGITS[:1].repeat(rows, 1).requires_grad_()
            value = function(pred, LABELS[:1].repeat(rows))
            value.backward()
            found.append((value.detach(), pred.grad))
        assert_same(*found, rtol=1e-5)

    for rows in (11, 4, 29):
        call(rows)
    graphs = backend.graphs
    assert graphs <= 2
    for rows in (11, 4, 29):
        call(rows)
    assert backend.graphs == graphs
    getattr(loss, name)[1] = others[1]
    call(4)
    setattr(loss, name, list(others))
    for rows in (4, 11):
        call(rows)
    assert backend.graphs <= graphs + 2


@pytest.mark.parametrize("name", ["softmax", "sigmoids", "focal", "equalization"])
def test_fused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other numbers are an input of the kernel, and compile nothing."""
    if generated.TOO_OLD:
        pytest.skip("torch.compile takes every loss from torch 2.4 on")
    backend = Counting()
    torch._dynamo.reset()
    generated.compiled.cache_clear()
    monkeypatch.setattr(generated, "uncompiled", set())
    monkeypatch.setattr(generated, "BACKEND", backend)
    monkeypatch.setattr(written, "ENABLED", False)
    make, option, numbers, others = BUILDS[name]
    loss = make(**{option: list(numbers)})
    for change in (lambda held: None, lambda held: held.__setitem__(1, others[1]), lambda held: None):
        change(getattr(loss, option))
        loss.fused = True
        found = value_of(loss)
        loss.fused = False
        assert_same(found, value_of(loss), rtol=1e-5)
    assert backend.graphs == 1
    generated.compiled.cache_clear()
    torch._dynamo.reset()


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("entries", [1, 2, 4])
@pytest.mark.parametrize("form", [{}, {"use_sigmoid": True}, {"use_mask": True}], ids=["softmax", "sigmoids", "masks"])
def test_weight_of_the_wrong_length_is_named(form: dict, entries: int, rows: int) -> None:
    loss = ml.CrossEntropyLoss(class_weight=[1.0] * entries, **form)
    pred, label = torch.zeros(rows, 3), torch.zeros(rows, dtype=torch.long)
    with pytest.raises(ValueError, match=rf"class_weight must have 3 entries, .*, got {entries}\."):
        if "use_mask" in form:
            loss(pred[..., None, None].expand(-1, -1, 2, 2), torch.zeros(rows, 2, 2), label)
        else:
            loss(pred, label)


@pytest.mark.parametrize("rows", [0, 2])
def test_alpha_of_the_wrong_length_is_named(rows: int) -> None:
    for loss in (ml.FocalLoss(alpha=[0.25, 0.5]), ml.FocalLoss(False, alpha=[0.25, 0.5]), ml.FocalLoss(alpha=[0.5])):
        with pytest.raises(ValueError, match=r"alpha must have 3 entries, one per class of pred, which has shape"):
            loss(torch.zeros(rows, 3), torch.zeros(rows, dtype=torch.long))


@pytest.mark.parametrize(
    "value",
    [
        "123",
        [[1.0, 2.0]],
        ["1", 2.0],
        [None, 1.0],
        [1.0, float("nan")],
        [1.0, float("inf")],
        [1.0, -1.0],
        {0: 1.0},
        -1.0,
    ],
)
@pytest.mark.parametrize("use_sigmoid", [True, False])
def test_weight_that_is_no_number_per_class_is_named(use_sigmoid: bool, value: object) -> None:
    with pytest.raises(OptionError, match="class_weight must be None or one number per class, finite and 0 or more"):
        ml.CrossEntropyLoss(use_sigmoid, class_weight=value)
    loss = ml.CrossEntropyLoss(use_sigmoid, class_weight=[1.0, 2.0])
    with pytest.raises(OptionError, match="class_weight must be"):
        loss.class_weight = value
    assert loss.class_weight == [1.0, 2.0]


def test_one_number_for_all_classes() -> None:
    """MMDetection's sigmoids take it; its softmax raises."""
    loss = ml.CrossEntropyLoss(True, class_weight=4.0)
    assert_same(value_of(loss), value_of(ml.CrossEntropyLoss(True, class_weight=[4.0, 4.0, 4.0])))
    with pytest.raises(OptionError, match="class_weight must be None or one number per class"):
        ml.CrossEntropyLoss(class_weight=4.0)


def test_masks_are_weighed_by_their_class() -> None:
    pred, target, label = torch.randn(4, 3, 2, 2), torch.rand(4, 2, 2).round(), torch.tensor([0, 1, 2, 1])
    rows = ml.CrossEntropyLoss(use_mask=True, reduction="none")(pred, target, label)
    weighed = ml.CrossEntropyLoss(use_mask=True, reduction="none", class_weight=[1.0, 4, 2])(pred, target, label)
    torch.testing.assert_close(weighed, rows * torch.tensor([1.0, 4, 2, 4])[:, None, None])
