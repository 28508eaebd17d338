"""Options that are set on a built loss: each takes effect in the next call, or an AttributeError says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import CASES, CLASSES, one_per_class, over, run
from cases import composite as yolo

import mmdet_losses as ml
from mmdet_losses import OptionError, ReductionError

ONE_OF_EACH = list({case.name: case for case in reversed(yolo.COMPOSITE_CASES)}.values())[::-1]
FREQUENCY = [0.3, 0.0001, 0.5, 0.002, 0.0001]
NUMBERS = [0.5, 0.25, 0.75, 0.125, 1.0]

OTHER: dict[str, list] = {
    "activation": ["logistic"],
    "alpha": [NUMBERS],
    "alpha_gate": [0.3],
    "anchors": [[[(50, 44), (34, 20)], [(12, 24), (30, 10)]]],
    "average": ["objects"],
    "base": ["giou", "siou"],
    "bin_reduction": ["sum"],
    "bins": [[-4.0, -2.0, -1.5, -0.5, 0.0, 1.0, 2.5, 3.0, 9.0]],
    "class_frequency": [FREQUENCY],
    "class_weight": [NUMBERS, [*NUMBERS, 2.0]],
    "flavor": ["paper", "darknet"],
    "focal": ["focal"],
    "focaler": [(0.1, 0.9)],
    "focus": [{"type": "IoUFocus", "gamma": 1.0}],
    "ignore_index": [2],
    "ignore_thr": [0.3],
    "fun": ["sqrt", "ln"],
    "img_shape": [(50, 100)],
    "lambda_box": [0.5],
    "loss_box": ["DIoULoss"],
    "loss_class": ["squared"],
    "loss_dfl": ["DistributionFocalLoss"],
    "loss_obj": ["FocalLoss"],
    "losses": [["GIoULoss", "DIoULoss"]],
    "loss_type": ["jd", "gwd"],
    "mode": ["linear", "sqrt", "classy_vision", "l2"],
    "normalize": ["call"],
    "num_classes": [CLASSES, CLASSES + 1],
    "order": ["max"],
    "ratio": [1.3],
    "reduction": ["sum"],
    "representation": ["xy_stddev_pearson"],
    "schedule": ["cosine"],
    "scale_x_y": [[1.3, 1.4]],
    "smooth_point": [0.3],
    "smoothing_mode": ["uniform"],
    "strides": [[16, 8]],
    "units": ["image"],
    "use_sigmoid": [True],
    "version": [2, 1],
    "y_max": [5.0, 9.0],
}
"""Values of options that are neither numbers nor True and False, and of those that may be None."""


def candidates(name: str, value: Any) -> list:
    """Values of an option other than the one it has, some of which the loss takes."""
    if isinstance(value, bool):
        return [not value]
    if not isinstance(value, int | float):
        assert name in OTHER, f"{name}={value!r}: give it another value in OTHER"
        return [other for other in OTHER[name] if other != value]
    return [value + 1, value / 2 + 0.1, value / 2, value - 1]


def assert_followed_or_refused(build: Callable, options: dict[str, Any], name: str, outcome: Callable) -> None:
    """Set an option, and compare value and gradient with those of a loss that was built with it."""
    parameter = build().options()[name]
    refused = None
    for other in candidates(name, options.get(name, parameter.default)):
        try:
            build(**{name: other})
        except OptionError as error:
            refused = (other, error)
            continue
        loss = build()
        try:
            setattr(loss, name, other)
        except AttributeError as error:
            assert name in str(error) and any(word in str(error) for word in ("build the loss again", "set that"))
            return
        assert getattr(loss, name) is not None
        if name == "fused":
            assert loss.call("mean").fused == build(fused=True).call("mean").fused
            return
        for found, expected in zip(outcome(loss), outcome(build(**{name: other})), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        return
    other, error = refused
    with pytest.raises(OptionError) as raised:
        setattr(build(), name, other)
    assert name in str(raised.value) and name in str(error)


def pairs(cases: list) -> list:
    return [pytest.param(case, name, id=f"{case.id}-{name}") for case in cases for name in case.loss_class.options()]


FORMS = [case for case in CASES if case.id in ("LabelSmoothLoss-mode=multi_label-dense", "IoULoss-mode=linear")]


@pytest.mark.parametrize(("case", "name"), pairs(one_per_class() + FORMS))
def test_options_follow_or_say_how(case, name: str) -> None:
    def outcome(loss: torch.nn.Module) -> tuple:
        try:
            return run(loss, *case.batch())
        except (AttributeError, ValueError) as error:
            return (sum(map(ord, str(error))),)

    assert_followed_or_refused(case.build, case.options, name, outcome)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.name}-{name}")
        for case in ONE_OF_EACH
        for name in getattr(ml, case.name).options()
    ],
)
def test_options_of_objectives_follow_or_say_how(case, name: str) -> None:
    def outcome(loss: torch.nn.Module) -> tuple:
        try:
            value, gradients = yolo.run(case, loss, *case.batch(2))
            return (value, *gradients)
        except ValueError as error:
            return (sum(map(ord, str(error))),)

    assert_followed_or_refused(case.build, case.options, name, outcome)


FOCUSES = [
    (ml.IoUFocus, {"gamma": 2.0}),
    (ml.IoUFocus, {"detach": False}),
    (ml.WiseFocus, {"alpha": 1.2}),
    (ml.WiseFocus, {"delta": 2.0}),
    (ml.WiseFocus, {"version": 2}),
    (ml.WiseFocus, {"version": 1}),
    (ml.PowerfulFocus, {"lambd": 0.7}),
    (ml.PowerfulFocus, {"detach": False}),
]


@pytest.mark.parametrize(("kind", "options"), FOCUSES)
def test_options_of_a_focus_follow(kind: type, options: dict[str, Any]) -> None:
    case = next(case for case in CASES if case.name == "GIoULoss")
    loss = ml.GIoULoss(focus=kind())
    for name, value in options.items():
        setattr(loss.focus, name, value)
    for found, expected in zip(
        run(loss, *case.batch()), run(ml.GIoULoss(focus=kind(**options)), *case.batch()), strict=True
    ):
        assert torch.equal(found, expected)


def test_integral_follows() -> None:
    layer, logits = ml.Integral(bins=5), torch.arange(10.0)
    layer.bins, layer.y_max = 10, 3.0
    assert torch.equal(layer(logits), ml.Integral(bins=10, y_max=3.0)(logits))
    with pytest.raises(OptionError, match="y_max must be more than y_min"):
        layer.y_max = -1.0
    assert layer.y_max == 3.0


def test_what_a_module_is_built_around_cannot_change() -> None:
    for loss, name, value in (
        (ml.SeesawLoss(num_classes=3), "num_classes", 4),
        (ml.EQLV2Loss(num_classes=3), "num_classes", 4),
        (ml.EqualizedFocalLoss(num_classes=3), "num_classes", 4),
        (ml.GHMC(), "bins", 30),
        (ml.GHMR(), "momentum", 0.5),
        (ml.WIoULoss(version=1), "version", 3),
        (ml.UnifiedIoULoss(ratio=1.0), "ratio", None),
        (ml.UnifiedIoULoss(), "schedule", "cosine"),
    ):
        held = getattr(loss, name)
        with pytest.raises(AttributeError, match=rf"{name} .*build the loss again, with {name}={value!r}"):
            setattr(loss, name, value)
        assert getattr(loss, name) == held
        setattr(loss, name, held)


@pytest.mark.parametrize(
    ("loss", "name", "value", "message"),
    [
        (ml.L1Loss(), "reduction", "avg", "reduction must be one of 'none', 'mean', 'sum', got 'avg'"),
        (ml.FocalLoss(), "gamma", "2", "gamma must be 0 or more, got '2'"),
        (ml.FocalLoss(), "alpha", [0.5, 2.0], "alpha must be from 0 to 1"),
        (ml.FocalLoss(alpha=3.0, use_sigmoid=False), "use_sigmoid", True, "alpha must be from 0 to 1"),
        (ml.AlphaIoULoss(), "alpha", -1.0, "alpha must be more than 0"),
        (ml.WIoULoss(), "alpha", 1.0, "alpha must be more than 1"),
        (ml.IoULoss(), "eps", 0.0, "eps must be more than 0 in mode 'log'"),
        (ml.GIoULoss(), "focaler", 0.5, "focaler must be None or an interval"),
        (ml.GIoULoss(), "focus", "WiseFocus", "focus must be None or dict"),
        (ml.CrossEntropyLoss(use_mask=True), "label_smoothing", 0.1, "label_smoothing does not go with use_mask"),
        (ml.CrossEntropyLoss(use_sigmoid=True), "use_mask", True, "use_sigmoid and use_mask are two forms"),
        (ml.EQLV2Loss(num_classes=2), "class_weight", [1.0, 2.0], "class_weight must be None or 3 numbers"),
        (ml.YOLOv3Loss(), "strides", [32], "strides must be 3 numbers"),
        (ml.YOLOv4Loss(), "loss_box", "L1Loss", "loss_box must be a loss of boxes"),
    ],
)
def test_wrong_value_is_an_error_where_it_is_set(loss, name: str, value: Any, message: str) -> None:
    held = getattr(loss, name)
    with pytest.raises(ValueError, match=message):
        setattr(loss, name, value)
    assert getattr(loss, name) is held


def test_wrong_reduction_is_what_mmdetection_raises() -> None:
    with pytest.raises(AssertionError) as raised:
        ml.L1Loss().reduction = "avg"
    assert isinstance(raised.value, ReductionError)


def test_computed_options_say_what_they_come_from() -> None:
    loss = ml.LabelSmoothLoss(0.1)
    with pytest.raises(AttributeError, match="label_smoothing of LabelSmoothLoss comes from its other options"):
        loss.label_smoothing = 0.2
    loss.label_smooth_val = 0.2
    assert loss.label_smoothing == 0.2


@over(one_per_class())
def test_other_attributes_are_free(case) -> None:
    loss = case.build()
    loss.my_own, loss.layer = "anything", torch.nn.Linear(1, 1)
    assert loss.my_own == "anything" and "layer" in dict(loss.named_children())
    del loss.my_own


def test_option_of_a_published_name_that_is_another_attribute() -> None:
    loss = ml.EqualizationLoss([0.1, 0.2])
    assert not loss.custom_activation
    loss.two_stage, loss.class_frequency = True, [0.1, 0.2, 0.3]
    assert loss.custom_cls_channels and loss.custom_activation and loss.custom_accuracy and loss.num_classes == 3


def test_dynamic_values_of_flavors() -> None:
    loss = ml.YOLOv3Loss()
    assert loss.ignoring() == 0.7
    loss.flavor = "paper"
    assert loss.ignoring() == 0.5
