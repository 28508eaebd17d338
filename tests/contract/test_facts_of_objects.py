"""Facts that an option changes are right for the object, over every form of the IoU family and its modifiers."""

import itertools
import math

import pytest
import torch
from cases import BOX_CASES, SIDE_CASES, draw_boxes, over

import mmdet_losses as ml

FORMS = [
    {},
    {"power": 3.0},
    {"power": 0.5},
    {"inner_ratio": 0.7},
    {"inner_ratio": 1.3},
    {"focaler": (0.0, 0.95)},
    {"focus": dict(type="IoUFocus", gamma=0.5)},
    {"focus": dict(type="WiseFocus", version=1)},
    {"focus": dict(type="WiseFocus", version=2)},
    {"focus": dict(type="WiseFocus", version=3)},
    {"focus": dict(type="PowerfulFocus", lambd=1.3)},
    {"focus": dict(type="PowerfulFocus", lambd=0.4)},
]
TAKEN = [
    (case, form)
    for case, form in itertools.product(BOX_CASES, FORMS)
    if set(form) <= set(case.loss_class.option_names()) and not set(form) & set(case.options)
]


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes near each other, far apart, of very different shapes, points, and pairs that reach the bounds."""
    g = torch.Generator().manual_seed(3)
    near = draw_boxes(g, 300)
    centres, sizes = torch.rand(2, 300, 2, generator=g) * 1000, 10 ** (torch.rand(2, 300, 2, generator=g) * 5 - 2)
    far = torch.cat([centres - sizes / 2, centres + sizes / 2], -1).double()
    drawn = [
        [[0, 0, 1, 1], [1e6, 1e6, 1e6 + 1, 1e6 + 1]],
        [[0, 0, 1e-3, 1e6], [2e6, 2e6, 4e6, 2e6 + 1e-3]],
        [[0, 0, 1, 1], [1e6, 0, 2e6, 1e6]],
        [[0, 0, 0, 0], [5, 5, 5, 5]],
    ]
    drawn = torch.tensor(drawn, dtype=torch.float64).transpose(0, 1)
    return tuple(torch.cat(parts) for parts in zip(near, far, drawn, strict=True))


@pytest.mark.parametrize(("case", "form"), TAKEN, ids=[f"{case.id}-{form}" for case, form in TAKEN])
def test_facts_hold_for_every_form(case, form) -> None:
    loss = case.build(reduction="none", **form).double()
    pred, target = pairs()
    value, exchanged = loss(pred, target), loss(target, pred)
    low, high = loss.bounds
    assert value.min() >= low - 1e-12
    assert value.max() <= high + 1e-12
    # the root of what rounding leaves of a term
    close = 1e-7 if form.get("power") == 0.5 else 1e-12
    assert torch.allclose(value, exchanged, rtol=1e-9, atol=close) is loss.symmetric
    scaled = loss(pred * 0.37, target * 0.37)
    assert torch.allclose(value, scaled, rtol=1e-9, atol=close) is loss.scale_invariant
    assert loss.unit == ("" if loss.scale_invariant else "pixels")


@over([case for case in BOX_CASES + SIDE_CASES if "power" not in case.options and "alpha" not in case.options])
def test_upper_bound_of_an_object_is_not_idle(case) -> None:
    loss = case.build(reduction="none").double()
    if math.isfinite(loss.bounds[1]):
        # a multiplier that is small where the loss is large
        apart = case.name == "FocalEIoULoss" or case.options.get("focal") == "focal-inv"
        assert loss(*pairs()).max() >= (0.1 if apart else 0.5) * loss.bounds[1]


@pytest.mark.parametrize("name", ["AlphaIoULoss", "InnerIoULoss", "FocalerIoULoss", "UnifiedIoULoss"])
@pytest.mark.parametrize("base", ml.functional.BASES)
def test_modified_forms_have_the_facts_of_their_base(name: str, base: str) -> None:
    loss = getattr(ml, name)(base=base, reduction="none").double()
    value, exchanged = loss(*pairs()), loss(*reversed(pairs()))
    assert torch.allclose(value, exchanged, rtol=1e-9, atol=1e-12) is loss.symmetric is (base != "powerful")
    # 1, and for each term of the base the most that it can be
    highest = {"iou": 1, "giou": 2, "diou": 2, "ciou": 3, "eiou": 4, "siou": 2.0243, "shape": 2.1597, "powerful": 2}
    bound = highest[base] if name != "AlphaIoULoss" or base not in ("siou", "shape") else loss.bounds[1]
    assert loss.bounds == (0.0, pytest.approx(bound, abs=1e-4))
    assert 0.5 * loss.bounds[1] <= value.max() <= loss.bounds[1] + 1e-12


def test_log_form_reaches_the_bound_that_its_eps_sets() -> None:
    apart = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64), torch.tensor([[5.0, 5, 6, 6]], dtype=torch.float64)
    for eps in (1e-6, 1e-12, 0.01):
        loss = ml.IoULoss(eps=eps)
        assert loss(*apart).item() == pytest.approx(-math.log(eps)) == loss.bounds[1]
    for mode in ("linear", "square"):
        loss = ml.IoULoss(mode=mode)
        assert loss(*apart).item() == 1 == loss.bounds[1]


def test_other_boxes() -> None:
    apart = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64), torch.tensor([[1e9, 1e9, 1e9 + 1, 1e9 + 1]]).double()
    match = apart[0], apart[0]
    for smooth_point in (0.1, 1.0, 2.0, 5.0):
        loss = ml.ExtendedIoULoss(smooth_point=smooth_point)
        assert loss(*apart).item() == pytest.approx(loss.bounds[1], rel=1e-6)
    for mode, gamma in (("exp", 1.0), ("norm_sqrt", 1.0), ("norm_sqrt", 2.0)):
        loss = ml.NWDLoss(mode=mode, gamma=gamma)
        assert loss(*match).item() == pytest.approx(loss.best) == loss.bounds[0]
        assert loss(*apart).item() == pytest.approx(loss.bounds[1], rel=1e-6)
    exact = ml.BoundedIoULoss(eps=0)
    assert exact(*match).item() == exact.best == 0
    assert (exact.unit, ml.BoundedIoULoss().unit) == ("", "pixels")


def test_classification() -> None:
    sure, label = torch.tensor([[60.0, -60.0, -60.0]], dtype=torch.float64), torch.tensor([0])
    assert ml.CrossEntropyLoss().best == 0
    assert ml.CrossEntropyLoss(label_smoothing=0.1).best is None
    assert ml.CrossEntropyLoss(label_smoothing=0.1)(sure, label).item() > 1
    logits = torch.linspace(-8, 8, 801, dtype=torch.float64).unsqueeze(1)
    for epsilon, weigh_poly in ((-1.0, False), (-0.5, False), (2.0, False), (-1.0, True)):
        loss = ml.Poly1FocalLoss(epsilon=epsilon, weigh_poly=weigh_poly, reduction="none")
        value = torch.cat([loss(logits, torch.full((801,), label)) for label in (0, 1)])
        assert value.min() >= loss.bounds[0]
        assert not weigh_poly or value.min() >= 0


def test_facts_of_a_class_are_those_of_its_default_form() -> None:
    assert ml.GIoULoss.bounds == ml.GIoULoss().bounds == (0.0, 2.0)
    assert ml.IoULoss.bounds == ml.IoULoss().bounds
    assert ml.NWDLoss.unit == ml.MPDIoULoss.unit == "pixels"

    class Mine(ml.GIoULoss):
        bounds = (0.0, 7.0)
        symmetric = False

    assert Mine().bounds == Mine.bounds == (0.0, 7.0)
    assert Mine().symmetric is False
