"""A function that is called with what it does not take says so under its own name."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import pytest
import torch

from mmdet_losses import functional as F

BOXES = torch.tensor([[0.0, 0, 10, 10], [2.0, 2, 9, 9]]), torch.tensor([[5.0, 5, 15, 15], [1.0, 2, 9, 8]])
PUBLIC = [name for name in F.__all__ if inspect.isfunction(getattr(F, name)) and name != "pair_loss"]
OPEN = [
    name
    for name in PUBLIC
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(getattr(F, name)).parameters.values())
    and name not in ("box_iou_loss", "weighted_loss")
]
"""Those that hand keywords on, as the IoU family does its modifiers."""


def required(function: Any) -> dict[str, torch.Tensor]:
    """Something for each argument that has to be given."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: BOXES[0] for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}


@pytest.mark.parametrize("unknown", ["reduction", "loss_weight", "gama", "debug"])
@pytest.mark.parametrize("name", PUBLIC)
def test_unknown_keyword(name: str, unknown: str) -> None:
    """A function that hands keywords on begins with ``check_modifiers("its_name", KEYWORDS, modifiers)``."""
    function = getattr(F, name)
    if name in ("box_iou_loss", "weighted_loss") and unknown != "reduction":
        return  # hands what it does not know on to a function that the caller gives
    if unknown in inspect.signature(function).parameters:
        return
    with pytest.raises(TypeError, match=rf"\b{name}\(\) got an unexpected keyword argument '{unknown}'"):
        function(**required(function), **{unknown: "sum"})


def test_those_with_modifiers_are_here() -> None:
    assert {"ciou_loss", "iou_loss", "wise_iou_loss", "alpha_iou_loss", "focal_eiou_loss", "unified_iou_loss"} <= set(
        OPEN
    )


@pytest.mark.parametrize("name", OPEN)
def test_reduction_says_what_reduces(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\(\) .*unreduced loss, which its class weighs and reduces"):
        getattr(F, name)(*BOXES, **{"ratio": 1.0} if name == "unified_iou_loss" else {}, reduction="sum")


def test_the_whole_sentence() -> None:
    with pytest.raises(TypeError) as error:
        F.giou_loss(*BOXES, reduction="sum")
    assert str(error.value) == (
        "giou_loss() got an unexpected keyword argument 'reduction': "
        "functions return the unreduced loss, which its class weighs and reduces."
    )
    with pytest.raises(TypeError) as error:
        F.unified_iou_loss(*BOXES, ratio=1.0, base="ciou", gama=2.0)
    assert str(error.value) == (
        "unified_iou_loss() got an unexpected keyword argument 'gama': "
        "its modifiers are power, inner_ratio, focaler, focus, cost, alpha_gate."
    )
    with pytest.raises(TypeError) as error:
        F.focal_eiou_loss(*BOXES, gama=2.0)
    assert str(error.value) == (
        "focal_eiou_loss() got an unexpected keyword argument 'gama': "
        "its modifiers are power, inner_ratio, focaler, ratio, cost."
    )


@pytest.mark.parametrize("name", OPEN)
def test_modifier_that_is_none(name: str) -> None:
    more = {"ratio": 1.0} if name == "unified_iou_loss" else {}
    own = {"alpha_iou_loss": "power", "inner_iou_loss": "inner_ratio", "focaler_iou_loss": "focaler"}.get(name)
    wrong = [("power", "2"), ("power", None), ("inner_ratio", [0.7]), ("focaler", 0.5), ("focaler", (0.1, 0.2, 0.3))]
    for option, value in wrong:
        with pytest.raises((TypeError, ValueError), match=rf"^{name}\(\).*{option}"):
            getattr(F, name)(*BOXES, **more, **{option: value})
        if option != own:
            getattr(F, name)(*BOXES, **more, **{option: (0.1, 0.9) if option == "focaler" else 1.5})


@pytest.mark.parametrize(
    ("name", "options", "allowed"),
    [
        ("iou_loss", {"mode": "cubic"}, "'linear', 'square', 'log'"),
        ("wasserstein_loss", {"mode": "l2"}, "'exp', 'sqrt', 'log', 'norm_sqrt', 'w2'"),
        ("wise_iou_loss", {"version": 4}, "1, 2, 3"),
        ("powerful_iou_loss", {"version": 3}, "1, 2"),
        ("unified_iou_loss", {"focal": "inverse", "ratio": 1.0}, "None, 'focal', 'focal-inv'"),
        ("unified_iou_loss", {"base": "CIoU", "ratio": 1.0}, "'ciou'"),
        ("alpha_iou_loss", {"base": "CIoU"}, "'ciou'"),
        ("inner_iou_loss", {"base": "mpdiou"}, "'ciou'"),
        ("focaler_iou_loss", {"base": None}, "'ciou'"),
        ("sigmoid_cross_entropy", {"smoothing_mode": "darknet", "label_smoothing": 0.1}, "'binary', 'uniform'"),
    ],
)
def test_option_that_is_none_of_its_choices(name: str, options: dict[str, Any], allowed: str) -> None:
    option = next(iter(options))
    with pytest.raises(ValueError, match=rf"^{name}\(\): {option} must be one of .*{allowed}.*, got"):
        getattr(F, name)(*BOXES, **options)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("alpha_iou_loss", {"power": 2.0}),
        ("inner_iou_loss", {"inner_ratio": 0.8}),
        ("focaler_iou_loss", {"focaler": None}),
    ],
)
def test_what_a_function_sets_itself_is_none_of_its_modifiers(name: str, own: dict[str, Any]) -> None:
    (option,) = own
    with pytest.raises(
        TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{option}': its modifiers are"
    ):
        getattr(F, name)(*BOXES, **own)


def test_wise_iou_of_other_terms() -> None:
    """Whose options the function cannot know."""
    focus = partial(F.wise_focus, mean=1.0, version=3, alpha=1.9, delta=3.0, gamma=0.5)
    expected = F.box_iou_loss(*BOXES, F.shape_terms, scale=1.0, focus=focus)
    assert torch.equal(F.wise_iou_loss(*BOXES, terms=F.shape_terms, scale=1.0), expected)


def test_iou_loss_takes_no_cost() -> None:
    with pytest.raises(TypeError, match=r"^iou_loss\(\) got an unexpected keyword argument 'cost': its modifiers are"):
        F.iou_loss(*BOXES, cost=lambda overlap: 1 - overlap)


def test_what_is_handed_on_still_is() -> None:
    """The modifiers, what box_iou_loss takes beside them, and the options of a base's terms."""
    scaled = F.box_iou_loss(*BOXES, F.ciou_terms, ratio=0.5)
    assert torch.equal(F.ciou_loss(*BOXES, ratio=0.5), scaled)
    gated = F.box_iou_loss(*BOXES, F.ciou_terms, alpha_gate=0.5, power=3.0)
    assert torch.equal(F.alpha_iou_loss(*BOXES, base="ciou", alpha_gate=0.5), gated)
    shaped = F.box_iou_loss(*BOXES, F.shape_terms, scale=1.0, inner_ratio=0.7)
    assert torch.equal(F.inner_iou_loss(*BOXES, base="shape", scale=1.0), shaped)
    squared = F.box_iou_loss(*BOXES, F.giou_terms, cost=lambda overlap: 1 - overlap**2)
    assert torch.equal(F.giou_loss(*BOXES, cost=lambda overlap: 1 - overlap**2), squared)
    with pytest.raises(TypeError, match=r"^alpha_iou_loss\(\) got an unexpected keyword argument 'scale'"):
        F.alpha_iou_loss(*BOXES, base="ciou", scale=1.0)
