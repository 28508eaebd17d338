"""Every member of the IoU family with every modifier, and the named forms as the slots that they stand for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import BOX_CASES, Case, draw_boxes, over
from cases.boxes import iou_quality, wise
from cases.regimes import disjoint, overlap
from oracle import boxes
from oracle.dual import value_and_grad

import mmdet_losses as ml
import mmdet_losses.functional as F

N = 12
SLOTS = ("power", "inner_ratio", "focaler", "focus")
MEMBERS = [case for case in BOX_CASES if case.sum]


# by name: the slot, its value, and the same for the reference
MODIFIERS = {
    "power": ("power", 3.0, {"power": 3.0}),
    "root": ("power", 0.5, {"power": 0.5}),
    "shrunk": ("inner_ratio", 0.75, {"ratio": 0.75}),
    "grown": ("inner_ratio", 1.25, {"ratio": 1.25}),
    "focaler": ("focaler", (0.1, 0.9), {"interval": (0.1, 0.9)}),
    "IoUFocus": ("focus", {"type": "IoUFocus"}, {"focus": (iou_quality,)}),
    "IoUFocus, gradient": (
        "focus",
        {"type": "IoUFocus", "gamma": 1.0, "detach": False},
        {"focus": (lambda p, t: boxes.pair(p, t).iou,)},
    ),
    "WiseFocus": ("focus", {"type": "WiseFocus"}, {"focus": (wise,)}),
    "PowerfulFocus": ("focus", {"type": "PowerfulFocus"}, {"focus": (boxes.powerful_attention,)}),
}


def check(case: Case, options: dict[str, Any], expected: Callable) -> None:
    loss = case.build(reduction="none", **options)
    drawn = [regime(torch.Generator().manual_seed(9), N) for regime in (draw_boxes, overlap, disjoint)]
    pred, target = (torch.cat(part) for part in zip(*drawn, strict=True))
    pred.requires_grad_()
    value = loss(pred, target)
    value.sum().backward()
    rows = list(zip(pred.tolist(), target.tolist(), strict=True))
    for row, (p, t) in enumerate(rows):
        exact, slope = value_and_grad(lambda x, t=t: expected(x, t), p)
        assert value[row].item() == pytest.approx(exact, rel=1e-9, abs=1e-12)
        scale = max(map(abs, slope))
        assert pred.grad[row].tolist() == pytest.approx(slope, rel=1e-6, abs=1e-6 * scale + 1e-12)


@pytest.mark.parametrize("modifier", MODIFIERS)
@over(MEMBERS)
def test_member_with_modifier(case, modifier):
    slot, value, expected = MODIFIERS[modifier]
    if slot in case.loss_class.option_names():
        check(case, {slot: value}, case.sum.reference(**expected))
    else:
        with pytest.raises(ValueError, match=f"has no option '{slot}'"):
            case.build(**{slot: value})


@over(MEMBERS)
def test_member_with_all_modifiers(case):
    chosen = [MODIFIERS[name] for name in ("power", "grown", "focaler", "WiseFocus")]
    chosen = [(slot, value, more) for slot, value, more in chosen if slot in case.loss_class.option_names()]
    options = {slot: value for slot, value, _ in chosen}
    check(case, options, case.sum.reference(**{key: value for _, _, more in chosen for key, value in more.items()}))


def test_a_member_lacks_a_modifier_only_if_it_sets_it_itself():
    lacking = {case.name: set(SLOTS) - set(case.loss_class.option_names()) for case in MEMBERS}
    assert {name: slots for name, slots in lacking.items() if slots} == {
        "AlphaIoULoss": {"power"},
        "FocalEIoULoss": {"focus"},
        "FocalerIoULoss": {"focaler"},
        "InnerIoULoss": {"inner_ratio"},
        "WIoULoss": {"focus"},
    }


@over(MEMBERS)
def test_reference_composes_the_published_losses(case):
    """The general sum of the reference is the closed form of each loss that it has one for."""
    composed = case.sum.reference()
    for p, t in zip(*(x.tolist() for x in draw_boxes(torch.Generator().manual_seed(5), N)), strict=True):
        assert composed(p, t) == pytest.approx(case.reference(p, t)[0], rel=1e-9, abs=1e-12)


def test_every_member_is_here():
    """Its row in ``tests/cases/boxes.py`` is a ``member``."""
    family = {loss.__name__ for loss in ml.CATALOGUE.values() if issubclass(loss, ml.IoUTypeLoss)}
    assert {case.name for case in MEMBERS} == family


# a named form, and the slot form that it stands for
FORMS = [
    (("AlphaIoULoss", {"base": "eiou"}), ("EIoULoss", {"power": 3.0})),
    (("InnerIoULoss", {"base": "ciou"}), ("CIoULoss", {"inner_ratio": 0.7})),
    (("InnerIoULoss", {"ratio": 1.2}), ("IoULoss", {"mode": "linear", "inner_ratio": 1.2})),
    (("FocalerIoULoss", {"base": "diou"}), ("DIoULoss", {"focaler": (0.0, 0.95)})),
    (("FocalerIoULoss", {"d": 0.1, "u": 0.6}), ("IoULoss", {"mode": "linear", "focaler": [0.1, 0.6]})),
    (("FocalEIoULoss", {}), ("EIoULoss", {"focus": {"type": "IoUFocus"}})),
    (("WIoULoss", {}), ("IoULoss", {"mode": "linear", "focus": {"type": "WiseFocus"}})),
    (
        ("WIoULoss", {"version": 2, "gamma": 0.7}),
        ("IoULoss", {"mode": "linear", "focus": {"type": "WiseFocus", "version": 2, "gamma": 0.7}}),
    ),
    (
        ("WIoULoss", {"alpha": 1.7, "delta": 2.7}),
        ("IoULoss", {"mode": "linear", "focus": {"type": "WiseFocus", "alpha": 1.7, "delta": 2.7}}),
    ),
    (("PowerfulIoULoss", {}), ("PowerfulIoULoss", {"version": 1, "focus": {"type": "PowerfulFocus"}})),
    (
        ("PowerfulIoULoss", {"lambd": 2.0, "detach": False}),
        ("PowerfulIoULoss", {"version": 1, "focus": {"type": "PowerfulFocus", "lambd": 2.0, "detach": False}}),
    ),
    (("UnifiedIoULoss", {"ratio": 1.0}), ("CIoULoss", {})),
    (("UnifiedIoULoss", {"ratio": 1.0, "focal": "focal-inv"}), ("CIoULoss", {"focus": {"type": "IoUFocus"}})),
]


@pytest.mark.parametrize(("named", "slots"), FORMS)
def test_named_form_is_the_slot_form(named, slots):
    pred, target = (x.float() for x in draw_boxes(torch.Generator().manual_seed(2), 50))
    results = []
    for name, options in (named, slots):
        leaf = pred.clone().requires_grad_()
        value = getattr(ml, name)(reduction="none", **options)(leaf, target)
        value.sum().backward()
        results.append((value.detach(), leaf.grad))
    (value, grad), (slot_value, slot_grad) = results
    exact = named[0] != "UnifiedIoULoss"  # scaling by 1 rounds
    torch.testing.assert_close(value, slot_value, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)
    torch.testing.assert_close(grad, slot_grad, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-7)


# the classes and the functions of the same name
FUNCTIONS = [
    ("InnerIoULoss", {"ratio": 1.2, "base": "siou"}, F.inner_iou_loss),
    ("FocalerIoULoss", {"d": 0.1, "u": 0.8, "base": "giou"}, F.focaler_iou_loss),
    ("WIoULoss", {"version": 3, "alpha": 1.7, "delta": 2.7}, F.wise_iou_loss),
    ("MPDIoULoss", {"img_shape": (480, 640)}, F.mpdiou_loss),
    ("ShapeIoULoss", {"scale": 0.5}, F.shape_iou_loss),
    ("PowerfulIoULoss", {"lambd": 1.1}, F.powerful_iou_loss),
    ("UnifiedIoULoss", {"ratio": 1.5, "focal": "focal", "gamma": 2.0, "base": "giou"}, F.unified_iou_loss),
    ("BoundedIoULoss", {"beta": 0.4, "eps": 1e-2}, F.bounded_iou_loss),
    ("NWDLoss", {"mode": "norm_sqrt", "gamma": 2.0}, F.wasserstein_loss),
]


@pytest.mark.parametrize(("name", "options", "function"), FUNCTIONS)
def test_class_is_its_function(name, options, function):
    pred, target = draw_boxes(torch.Generator().manual_seed(2), N)
    assert torch.equal(getattr(ml, name)(reduction="none", **options)(pred, target), function(pred, target, **options))


def test_powerful_and_unified_take_a_focus_beside_their_own():
    pred, target = draw_boxes(torch.Generator().manual_seed(2), N)
    focus = {"type": "IoUFocus", "gamma": 1.0}
    for name, options in (("PowerfulIoULoss", {}), ("UnifiedIoULoss", {"ratio": 1.0, "focal": "focal"})):
        plain = getattr(ml, name)(reduction="none", **options)(pred, target)
        focused = getattr(ml, name)(reduction="none", focus=focus, **options)(pred, target)
        torch.testing.assert_close(focused, plain * F.box_pair(pred, target).iou)
