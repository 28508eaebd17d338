"""A wrong value of an option ends where the loss is built, in an error that begins with its name."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from cases import REQUIRED
from cases.composite import over_composites
from torch import nn

import mmdet_losses as ml
from mmdet_losses import OptionError
from mmdet_losses.modules.boxes.focus import FOCUSES
from mmdet_losses.modules.declared import Configured, declared, option
from mmdet_losses.modules.options import options_of

CONFIGURABLE = {cls.__name__: cls for cls in (*ml.CATALOGUE.values(), *FOCUSES.values(), ml.Integral)}
WRONG = ["2", [], ["a"], [math.nan, 1.0], {"a": 1}, math.nan, math.inf, -math.inf, 1j, object(), torch.zeros(2, 3)]
SAID_OF = {"d": "focaler", "u": "focaler"}
"""Options that are two ends of another, which the error names."""


def build(name: str, **options: Any) -> nn.Module:
    return CONFIGURABLE[name](**(REQUIRED.get(name, {}) | options))


def wrong_values(parameter: inspect.Parameter) -> list[Any]:
    """What no reading of the option's annotation allows."""
    words = str(parameter.annotation).split(" | ")
    more = [] if "None" in words else [None]
    more += [1.5] if set(words) <= {"int", "None"} else []
    return [*WRONG, *more, *([] if "bool" in words else [True, False])]


@pytest.mark.filterwarnings("ignore:img_shape is not given")
@pytest.mark.parametrize("name", CONFIGURABLE)
def test_wrong_value_of_every_option(name: str) -> None:
    for option_name, parameter in options_of(CONFIGURABLE[name]).items():
        for value in wrong_values(parameter):
            with pytest.raises(ValueError, match=rf"^{SAID_OF.get(option_name, option_name)} (must|is) .*") as error:
                build(name, **{option_name: value})
                pytest.fail(f"{name}({option_name}={value!r}) was built")
            assert type(error.value).__module__ == "mmdet_losses.modules.errors", (option_name, value)


@pytest.mark.parametrize("name", ml.CATALOGUE)
def test_weight_of_a_loss_is_a_number_of_0_or_more(name: str) -> None:
    for value in (-1.0, -1e-9, torch.ones(2), torch.tensor(True), torch.zeros(1, 2)):
        with pytest.raises(OptionError, match=r"^loss_weight must be .*, got "):
            build(ml.CATALOGUE[name].__name__, loss_weight=value)
    for value in (0, 0.0, 3, 2.5, torch.tensor(2.0), nn.Parameter(torch.ones(1))):
        assert build(ml.CATALOGUE[name].__name__, loss_weight=value).loss_weight is value


def test_numbers_of_other_kinds_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    boxes = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]])
    expected = ml.AlphaIoULoss(3.0, loss_weight=2.0)(*boxes)
    for kind in (numpy.float32, numpy.float64, numpy.int64, torch.tensor, int):
        assert ml.AlphaIoULoss(kind(3), loss_weight=kind(2))(*boxes) == expected
    shape = numpy.array([50, 100])
    for same in (shape, shape.tolist(), torch.tensor([50, 100]), (50.0, 100.0)):
        assert ml.MPDIoULoss(same)(*boxes) == ml.MPDIoULoss((50, 100))(*boxes)
    logit, label = torch.zeros(1, 3), torch.tensor([1])
    assert ml.FocalLoss(alpha=numpy.float32(0.5))(logit, label) == ml.FocalLoss(alpha=0.5)(logit, label)
    weights = numpy.array([1.0, 4.0, 1.0])
    for same in (weights, weights.tolist(), torch.tensor(weights)):
        loss = ml.CrossEntropyLoss(class_weight=same)
        assert loss(torch.zeros(1, 3), torch.tensor([1])).item() == pytest.approx(4 * math.log(3))


def test_flags_as_numbers() -> None:
    """0 and 1 are what they are in Python."""
    boxes = torch.rand(3, 4), torch.rand(3, 4)
    loss = ml.FocalEIoULoss(detach=0)
    assert torch.equal(loss(*boxes), ml.FocalEIoULoss(detach=False)(*boxes))
    with pytest.raises(OptionError, match="detach must be True or False, got 2"):
        ml.FocalEIoULoss(detach=2)


@over_composites()
def test_weights_of_the_terms_of_an_objective(case) -> None:
    for name in (name for name in type(case.build()).options() if "lambda" in name or name == "negative_weight"):
        with pytest.raises(OptionError, match=f"^{name} must be .*0 or more, got -1"):
            case.build(**{name: -1})
        case.build(**{name: 0})


def test_annotation_says_what_an_option_is() -> None:
    @declared
    class Part(Configured):
        share: float = 0.5
        count: int = 1
        limit: float | None = None
        flag: bool = False
        later: float = None
        checked: float = option(default="auto")
        free: Any = None

    Part(0.1, 2, 3.0, True, None, "auto", object())
    for name, value in {"share": "a", "count": 1.5, "limit": "a", "flag": "a"}.items():
        with pytest.raises(OptionError, match=f"^{name} must be "):
            Part(**{name: value})
    # A default that its annotation does not allow says that the annotation is not meant so.
    assert Part(later="a", checked=3).later == "a"
