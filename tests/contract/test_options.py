"""Options of losses: what every constructor takes, how a subclass hands it on, and what an unknown one says."""

from __future__ import annotations

import inspect

import pytest
import torch
from cases import one_per_class, over

import mmdet_losses as ml
from mmdet_losses import GIoULoss, L1Loss, OptionError
from mmdet_losses.modules.options import unknown_option

PRED, TARGET = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]])
GIOU = 1.0793650793650793  # 1 - 25 / 175 + 50 / 225


class Handing(GIoULoss):
    def __init__(self, scale: float = 1.0, **shared: object) -> None:
        super().__init__(**shared)
        self.scale = scale


class Cutting(GIoULoss):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale


@over(one_per_class())
@pytest.mark.parametrize("name", ["fused", "debug"])
def test_every_loss_takes_the_shared_options(case, name: str) -> None:
    assert getattr(case.build(), name) is False
    assert getattr(case.build(**{name: True}), name) is True


def test_losses_have_the_plain_metaclass() -> None:
    assert {type(cls) for cls in ml.CATALOGUE.values()} == {type}


def test_module_of_mmengine_may_be_a_second_base() -> None:
    base_module = pytest.importorskip("mmengine.model").BaseModule

    class Mine(GIoULoss, base_module):
        pass

    loss = Mine(loss_weight=2.0, fused=True)
    assert loss.fused
    assert loss(PRED, TARGET).item() == pytest.approx(2 * GIOU)
    loss.init_weights()


def test_subclass_hands_the_shared_options_on() -> None:
    loss = Handing(2.0, fused=True, loss_weight=3.0)
    assert (loss.scale, loss.fused, loss.loss_weight) == (2.0, True, 3.0)
    assert {"scale", "fused", "debug", "power", "loss_weight"} <= set(Handing.options())


def test_subclass_that_hands_nothing_on_says_what_to_add() -> None:
    assert Cutting.option_names() == ("scale",)
    with pytest.raises(OptionError, match=r"Cutting has no option 'fused'.*\*\*shared.*or set it on the object"):
        Cutting(fused=True)
    loss = Cutting()
    loss.fused = True
    assert loss(PRED, TARGET).item() == pytest.approx(GIOU)


def test_unknown_option_names_a_near_one() -> None:
    with pytest.raises(OptionError, match=r"L1Loss has no option 'loss_wieght'\. Did you mean 'loss_weight'\?"):
        L1Loss(loss_wieght=1.0)


def test_option_of_another_loss_is_no_mistyped_word() -> None:
    """``class_weight`` was taken for ``loss_weight``."""
    classes = dict.fromkeys(ml.CATALOGUE.values())
    words = {name for cls in classes for name in cls.options()}
    for cls in classes:
        for name in words - set(cls.options()) - set(cls.fixed):
            said = str(unknown_option(cls, name))
            assert "Did you mean" not in said
            owners = said.partition("It is an option of ")[2].partition(".")[0].removesuffix(" and others")
            assert owners or "=[...] here" in said
            assert all(name in ml.CATALOGUE[owner].options() for owner in owners.split(", ") if owner)


@pytest.mark.parametrize(
    ("name", "option", "remedy"),
    [
        ("FocalLoss", "class_weight", r"The weight of each class is alpha=\[...\] here"),
        ("FocalCustomLoss", "class_weight", r"The weight of each class is alpha=\[...\] here"),
        ("Poly1CrossEntropyLoss", "class_weight", r"The weight of each class is alpha=\[...\] here"),
        ("CrossEntropyLoss", "pos_weight", r"The weight of the positives is class_weight=\[...\] here"),
        ("GaussianFocalLoss", "class_weight", "It is an option of CrossEntropyLoss, "),
        ("FocalLoss", "gama", "Did you mean 'gamma'"),
        ("SmoothL1Loss", "betta", "Did you mean 'beta'"),
        ("GIoULoss", "lossweight", "Did you mean 'loss_weight'"),
    ],
)
def test_what_an_unknown_option_was_meant_for(name: str, option: str, remedy: str) -> None:
    with pytest.raises(OptionError, match=rf"{name} has no option '{option}'\. {remedy}"):
        ml.CATALOGUE[name](**{option: [1.0, 2.0]})


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_fused_is_a_boolean(value: object) -> None:
    with pytest.raises(OptionError, match="fused must be True or False"):
        GIoULoss(fused=value)


@over(one_per_class())
def test_options_are_those_of_the_constructors(case) -> None:
    """Each is a parameter of a constructor of the class or of one of its bases, with its default."""
    signatures = [
        inspect.signature(cls.__init__).parameters for cls in case.loss_class.__mro__ if "__init__" in vars(cls)
    ]
    for name, parameter in case.loss_class.options().items():
        first = next(signature[name] for signature in signatures if name in signature)
        assert first.default == parameter.default or first.default is parameter.default


def test_constructor_of_mmdetection_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = pytest.importorskip("mmdet.models.losses")

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("MMDetection's constructor ran")

    for name in ("QualityFocalLoss", "SmoothL1Loss"):
        theirs = getattr(stock, name)
        monkeypatch.setattr(theirs, "__init__", forbidden)
        assert isinstance(getattr(ml, name)(), theirs)
