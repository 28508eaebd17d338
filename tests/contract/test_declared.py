"""Options that a class body declares: the constructor that comes of them, its checks, and what it hands on."""

from __future__ import annotations

import inspect

import pytest
import torch
from cases import one_per_class, over

import mmdet_losses as ml
from mmdet_losses import L1Loss, OptionError
from mmdet_losses.modules.declared import (
    Configured,
    at_least,
    between,
    declared,
    more_than,
    none_or,
    one_of,
    option,
    whole,
)


@ml.published()
class Scaled(L1Loss):
    """Made for this file, and taken out of the catalogue at once."""

    scale: float = option(default=1.0, check=more_than(0))
    reduction: str = "mean"
    loss_weight: float = option(default=3.0, check=at_least(1), alias="times")
    mode: str = option(default="a", check=one_of(("a", "b")), kw_only=True)

    def __post_init__(self) -> None:
        self.doubled = 2 * self.scale


del ml.CATALOGUE["Scaled"]


def test_options_stand_in_the_order_of_the_body_before_those_of_the_bases() -> None:
    assert list(Scaled.options()) == ["scale", "reduction", "times", "mode", "debug", "fused"]
    assert Scaled.options()["mode"].kind is inspect.Parameter.KEYWORD_ONLY
    assert str(inspect.signature(Scaled)).startswith("(scale: 'float' = 1.0, reduction: 'str' = 'mean', times:")


def test_constructor_keeps_its_own_and_hands_on_the_others() -> None:
    loss = Scaled(2.0, "sum", 4.0, mode="b", fused=True)
    assert (loss.scale, loss.reduction, loss.loss_weight, loss.mode, loss.fused) == (2.0, "sum", 4.0, "b", True)
    assert loss.doubled == 4.0
    assert Scaled().loss_weight == 3.0
    # defaults of a body are no attributes of the class, where they would hide submodules and buffers
    assert not hasattr(Scaled, "scale")


@pytest.mark.parametrize(
    ("args", "given", "said"),
    [
        ((), {"scale": 0}, "scale must be more than 0, got 0"),
        ((), {"scale": "2"}, "scale must be more than 0, got '2'"),
        ((), {"scale": None}, "scale must be more than 0, got None"),
        ((), {"scale": torch.ones(2)}, "scale must be more than 0, got tensor"),
        ((), {"times": 0.5}, "times must be 1 or more, got 0.5"),
        ((), {"loss_weight": 2.0}, "Scaled has no option 'loss_weight'"),
        ((), {"mode": "c"}, "mode must be one of 'a', 'b', got 'c'"),
        ((), {"mode": ["a"]}, r"mode must be one of 'a', 'b', got \['a'\]"),
        ((1.0, "sum", 1.0, "a"), {}, "takes at most 3 options by position, scale, reduction, times, got 4"),
        ((1.0,), {"scale": 2.0}, "got scale twice, by position and by name"),
    ],
)
def test_what_is_wrong_is_named(args: tuple, given: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Scaled(*args, **given)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (at_least(0), [0, 3.5], [-1e-9]),
        (more_than(1), [1.1], [1, 0]),
        (between(0, 1), [0, 0.5, 1], [-0.1, 1.1]),
        (one_of((1, 2)), [1, 2], [3, "1"]),
        (none_or(more_than(0)), [None, 1], [0]),
        (whole(2), [2, 7], [1, 2.0]),
    ],
)
def test_checks(check, good: list, bad: list) -> None:
    assert all(check.holds(value) for value in good)
    assert not any(check.holds(value) for value in bad)
    assert check.expected


def test_module_that_is_no_loss_declares_options_too() -> None:
    @declared
    class Part(Configured):
        size: int = option(default=3, check=whole(1))

    assert (Part().size, Part(5).size) == (3, 5)
    with pytest.raises(OptionError, match=r"Part has no option 'sise'\. Did you mean 'size'\?"):
        Part(sise=2)


@over(one_per_class())
def test_positions_are_those_of_the_signature(case) -> None:
    """Every option given by position, with its default, makes the loss that its names make."""
    signature = inspect.signature(case.loss_class)
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    values = [case.options.get(p.name, p.default) for p in positional]
    others = {k: v for k, v in case.options.items() if k not in {p.name for p in positional}}
    assert repr(case.loss_class(*values, **others)) == repr(case.build())
