"""Every member of the IoU family with every modifier, and the named forms as the slots that they stand for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from cases import draw_boxes
from cases.regimes import disjoint, overlap
from oracle import boxes
from oracle.dual import freeze, value_and_grad

import mmdet_losses as ml
import mmdet_losses.functional as F

N = 12
ALL = ("power", "inner_ratio", "focaler", "focus")


@dataclass(frozen=True)
class Member:
    """A loss of the family as the scalar reference has it.

    Attributes:
        penalties: What it adds to its cost of the overlap.
        cost: Its cost of an overlap.
        own: The multipliers that belong to it.
        zoom: Ratio by which both boxes are scaled first.
        slots: The modifiers that it takes.
        fixed: The modifiers that it sets.
    """

    name: str
    options: dict[str, Any]
    penalties: Callable
    cost: Callable = lambda overlap: 1 - overlap
    own: tuple[Callable, ...] = ()
    zoom: float = 1.0
    slots: tuple[str, ...] = ALL
    fixed: dict[str, Any] = field(default_factory=dict)


def without(name: str) -> tuple[str, ...]:
    return tuple(slot for slot in ALL if slot != name)


def iou_quality(p, t):
    return freeze(boxes.pair(p, t).iou) ** 0.5


def wise(p, t):
    return boxes.wise_factor(p, t, 3) * boxes.wise_attention(p, t)


PENALTIES = boxes.PENALTIES
MEMBERS = {
    "IoU, log": Member("IoULoss", {}, PENALTIES["iou"], lambda x: -boxes.log(x) if x > 1e-6 else -boxes.log(1e-6)),
    "IoU, linear": Member("IoULoss", {"mode": "linear"}, PENALTIES["iou"]),
    "IoU, square": Member("IoULoss", {"mode": "square"}, PENALTIES["iou"], lambda x: 1 - x * x),
    "GIoU": Member("GIoULoss", {}, PENALTIES["giou"]),
    "DIoU": Member("DIoULoss", {}, PENALTIES["diou"]),
    "CIoU": Member("CIoULoss", {}, PENALTIES["ciou"]),
    "EIoU": Member("EIoULoss", {}, PENALTIES["eiou"]),
    "SIoU": Member("SIoULoss", {}, PENALTIES["siou"]),
    "MPDIoU": Member("MPDIoULoss", {}, PENALTIES["mpdiou"]),
    "Shape-IoU": Member("ShapeIoULoss", {}, PENALTIES["shape"]),
    "PIoU v1": Member("PowerfulIoULoss", {"version": 1}, PENALTIES["powerful"]),
    "PIoU v2": Member("PowerfulIoULoss", {}, PENALTIES["powerful"], own=(boxes.powerful_attention,)),
    "UIoU": Member("UnifiedIoULoss", {"ratio": 1.4}, PENALTIES["ciou"], zoom=1.4),
    "Focal UIoU": Member(
        "UnifiedIoULoss",
        {"ratio": 0.8, "focal": "focal", "base": "diou"},
        PENALTIES["diou"],
        own=(lambda p, t: 1 - iou_quality(p, t),),
        zoom=0.8,
    ),
    "Focal-EIoU": Member("FocalEIoULoss", {}, PENALTIES["eiou"], own=(iou_quality,), slots=without("focus")),
    "WIoU": Member("WIoULoss", {}, PENALTIES["iou"], own=(wise,), slots=without("focus")),
    "alpha-GIoU": Member(
        "AlphaIoULoss", {"base": "giou"}, PENALTIES["giou"], slots=without("power"), fixed={"power": 3.0}
    ),
    "Inner-SIoU": Member(
        "InnerIoULoss", {"base": "siou"}, PENALTIES["siou"], slots=without("inner_ratio"), fixed={"ratio": 0.7}
    ),
    "Focaler-Shape-IoU": Member(
        "FocalerIoULoss", {"base": "shape"}, PENALTIES["shape"], slots=without("focaler"), fixed={"interval": (0, 0.95)}
    ),
}

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


def reference(member: Member, modifiers: dict[str, Any]) -> Callable:
    options = member.fixed | modifiers
    focus = (*member.own, *options.pop("focus", ()))

    def loss(p, t):
        if member.zoom != 1:
            p, t = boxes.scaled(p, member.zoom), boxes.scaled(t, member.zoom)
        return boxes.compose(p, t, member.penalties, member.cost, focus=focus, **options)

    return loss


def check(member: Member, options: dict[str, Any], expected: Callable) -> None:
    loss = getattr(ml, member.name)(reduction="none", **member.options, **options)
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
@pytest.mark.parametrize("member", MEMBERS)
def test_member_with_modifier(member, modifier):
    slot, value, expected = MODIFIERS[modifier]
    member = MEMBERS[member]
    if slot in member.slots:
        check(member, {slot: value}, reference(member, expected))
    else:
        with pytest.raises(ValueError, match=f"has no option '{slot}'"):
            getattr(ml, member.name)(**{slot: value})


@pytest.mark.parametrize("member", MEMBERS)
def test_member_with_all_modifiers(member):
    member = MEMBERS[member]
    chosen = [MODIFIERS[name] for name in ("power", "grown", "focaler", "WiseFocus")]
    chosen = [(slot, value, expected) for slot, value, expected in chosen if slot in member.slots]
    options = {slot: value for slot, value, _ in chosen}
    check(member, options, reference(member, {k: v for _, _, expected in chosen for k, v in expected.items()}))


@pytest.mark.parametrize("member", MEMBERS)
def test_reference_composes_the_published_losses(member):
    """The general sum of the reference is the closed form of each loss that it has one for."""
    closed = {
        "IoU, log": boxes.iou_log,
        "IoU, linear": boxes.iou_linear,
        "IoU, square": boxes.iou_square,
        "GIoU": boxes.giou,
        "DIoU": boxes.diou,
        "CIoU": boxes.ciou,
        "EIoU": boxes.efficient_iou,
        "SIoU": boxes.siou,
        "MPDIoU": boxes.mpdiou,
        "Shape-IoU": boxes.shape_iou,
        "PIoU v1": lambda p, t: boxes.powerful_iou(p, t, version=1),
        "PIoU v2": boxes.powerful_iou,
        "UIoU": lambda p, t: boxes.unified_iou(p, t, 1.4),
        "Focal UIoU": lambda p, t: boxes.unified_iou(p, t, 0.8, "focal", base=boxes.diou),
        "Focal-EIoU": boxes.focal_efficient_iou,
        "WIoU": boxes.wise_iou,
        "alpha-GIoU": lambda p, t: boxes.alpha_iou(p, t, base="giou"),
        "Inner-SIoU": lambda p, t: boxes.inner(p, t, 0.7, boxes.siou),
        "Focaler-Shape-IoU": lambda p, t: boxes.focaler(p, t, base=boxes.shape_iou),
    }[member]
    composed = reference(MEMBERS[member], {})
    for p, t in zip(*(x.tolist() for x in draw_boxes(torch.Generator().manual_seed(5), N)), strict=True):
        assert composed(p, t) == pytest.approx(closed(p, t), rel=1e-9, abs=1e-12)


def test_every_member_is_here():
    members = {name for name, loss in ml.CATALOGUE.items() if issubclass(loss, ml.IoUTypeLoss)}
    assert {member.name for member in MEMBERS.values()} == members - {"EfficientIoULoss"}


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
