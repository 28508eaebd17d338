"""Functions without options are the classes without options; with options, both do the same."""

from __future__ import annotations

import inspect
import math
import re
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from cases import CASES, Case, map_target, over
from oracle import longtail
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F
from mmdet_losses.functional.beyond_iou import combined_squares
from mmdet_losses.functional.longtail import count_labels, equalization_v2_gradients, equalization_v2_weight
from mmdet_losses.functional.ranking import lower_counts
from mmdet_losses.functional.reduce import match_rank
from mmdet_losses.modules.boxes.family import Modifiers

N = 40

# A public function names the class that it is the formula of: "see :class:`~mmdet_losses.GIoULoss`".
NAMES = {name: re.search(r":class:`~mmdet_losses\.(\w+)`", getattr(F, name).__doc__ or "") for name in F.__all__}
FUNCTIONS = {name: found[1] for name, found in NAMES.items() if found and name.endswith(("_loss", "_cross_entropy"))}
"""Name of a function -> name of its class."""
BATCH = {"average_precision_loss", "rank_sort_loss"}
"""Of ranking, which takes the whole batch."""


def needed(function: str) -> set[str]:
    """Arguments without a default beside the inputs: the state of its class, as a rule."""
    parameters = inspect.signature(getattr(F, function)).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty}


def functions_of(case: Case) -> list[str]:
    """The functions of a case's class that compute what its options ask for."""
    own = [name for name, cls in FUNCTIONS.items() if cls == case.name and name not in BATCH]
    function = case.build().function
    own = own if len(own) < 2 else [name for name in own if getattr(F, name) is function]
    return [name for name in own if needed(name) <= set(case.options)]


def arguments(function: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a class as its function takes them; the others say which function it is, as ``use_sigmoid``."""
    parameters = inspect.signature(getattr(F, function)).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    modifiers = Modifiers.__annotations__ if open_ended else ()
    known = {name: value for name, value in options.items() if name in parameters or name in modifiers}
    return {name: torch.tensor(value) if isinstance(value, list) else value for name, value in known.items()}


DERIVED = [
    pytest.param(case, function, id=f"{function}-{case.id}")
    for case in CASES
    if not case.whole
    for function in functions_of(case)
]

# more options than the cases have: class, its options, function, its options
PAIRS = [
    ("IoULoss", {"mode": "square", "power": 2.0}, F.iou_loss, {"mode": "square", "power": 2.0}),
    ("GIoULoss", {"power": 2.0}, F.giou_loss, {"power": 2.0}),
    ("InterpIoULoss", {"power": 2.0}, F.interp_iou_loss, {"power": 2.0}),
    ("DIoULoss", {"inner_ratio": 1.3}, F.diou_loss, {"inner_ratio": 1.3}),
    ("CIoULoss", {"alpha_gate": 0.5, "power": 2.0}, F.ciou_loss, {"alpha_gate": 0.5, "power": 2.0}),
    ("SmoothL1Loss", {"beta": 0.3}, F.smooth_l1_loss, {"beta": 0.3}),
    ("BalancedL1Loss", {"alpha": 0.7}, F.balanced_l1_loss, {"alpha": 0.7}),
    ("EIoULoss", {"focaler": (0.1, 0.8)}, F.eiou_loss, {"focaler": (0.1, 0.8)}),
    ("SIoULoss", {"power": 3.0}, F.siou_loss, {"power": 3.0}),
    ("FocalEIoULoss", {"gamma": 2.0, "power": 2.0}, F.focal_eiou_loss, {"gamma": 2.0, "power": 2.0}),
    (
        "AlphaIoULoss",
        {"alpha": 2.0, "base": "giou", "inner_ratio": 0.8},
        F.alpha_iou_loss,
        {"alpha": 2.0, "base": "giou", "inner_ratio": 0.8},
    ),
    ("InnerIoULoss", {"power": 2.0}, F.inner_iou_loss, {"power": 2.0}),
    ("FocalerIoULoss", {"power": 2.0}, F.focaler_iou_loss, {"power": 2.0}),
    ("WIoULoss", {"version": 2, "gamma": 1.5}, F.wise_iou_loss, {"version": 2, "gamma": 1.5}),
    ("WIoULoss", {"power": 2.0}, F.wise_iou_loss, {"power": 2.0}),
    ("MPDIoULoss", {"power": 2.0}, F.mpdiou_loss, {"power": 2.0}),
    ("ShapeIoULoss", {"scale": 1.0, "power": 2.0}, F.shape_iou_loss, {"scale": 1.0, "power": 2.0}),
    ("PowerfulIoULoss", {"version": 1, "power": 2.0}, F.powerful_iou_loss, {"version": 1, "power": 2.0}),
    ("PowerfulIoULoss", {"lambd": 2.0}, F.powerful_iou_loss, {"lambd": 2.0}),
    ("PowerfulIoULoss", {"focus": {"type": "IoUFocus"}}, F.powerful_iou_loss, {"focus": F.iou_focus}),
    (
        "UnifiedIoULoss",
        {"ratio": 2.0, "focal": "focal", "focus": {"type": "IoUFocus"}},
        F.unified_iou_loss,
        {"ratio": 2.0, "focal": "focal", "focus": F.iou_focus},
    ),
    ("UnifiedIoULoss", {"ratio": 2.0}, F.unified_iou_loss, {"ratio": 2.0}),
    ("UnifiedIoULoss", {"ratio": 2.0, "focal": "focal"}, F.unified_iou_loss, {"ratio": 2.0, "focal": "focal"}),
    ("UnifiedIoULoss", {"ratio": 0.7, "power": 2.0}, F.unified_iou_loss, {"ratio": 0.7, "power": 2.0}),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, F.softmax_cross_entropy, {"label_smoothing": 0.1}),
    (
        "CrossEntropyLoss",
        {"use_sigmoid": True, "label_smoothing": 0.1},
        F.sigmoid_cross_entropy,
        {"label_smoothing": 0.1},
    ),
    ("FocalLoss", {"use_sigmoid": False}, F.softmax_focal_loss, {}),
    ("Poly1FocalLoss", {}, F.sigmoid_focal_loss, {"epsilon": 1.0}),
    ("Poly1FocalLoss", {"use_sigmoid": False}, F.softmax_focal_loss, {"epsilon": 1.0}),
    (
        "EQLV2Loss",
        {"num_classes": 5, "mu": 90.0, "alpha": 2.0, "gamma": 0.1, "class_weight": (1.0, 2.0, 0.5, 3.0, 1.5, 0.7)},
        F.equalization_v2_loss,
        {
            "ratio": torch.full((5,), 100.0),
            "mu": 90.0,
            "alpha": 2.0,
            "gamma": 0.1,
            "class_weight": torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5, 0.7]),
        },
    ),
    (
        "EqualizedFocalLoss",
        {"num_classes": 5, "gamma": 1.5, "alpha": 0.4},
        F.equalized_focal_loss,
        {"ratio": torch.ones(5), "gamma": 1.5, "alpha": 0.4},
    ),
    ("EQLV2Loss", {"num_classes": 5}, F.equalization_v2_loss, {"ratio": torch.full((5,), 100.0)}),
    ("EqualizedFocalLoss", {"num_classes": 5}, F.equalized_focal_loss, {"ratio": torch.ones(5)}),
]


def input_of(name: str, options: dict) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Rows of the case of this class that is the nearest to these options."""
    softmax = options.get("use_sigmoid")
    near = [case for case in CASES if case.name == name and case.options.get("use_sigmoid") is softmax]
    pred, target = (near or [case for case in CASES if case.name == name])[0].batch(N, torch.float32, seed=3)
    return pred, map_target(target, lambda x: x)


@pytest.mark.parametrize(
    ("name", "options", "function", "given"),
    PAIRS,
    ids=lambda x: x if isinstance(x, str) else getattr(x, "__name__", None),
)
def test_function_with_options_is_its_class(name, options, function, given):
    compare(getattr(ml, name)(reduction="none", **options), partial(function, **given), *input_of(name, options))


@pytest.mark.parametrize(("case", "function"), DERIVED)
def test_function_is_its_class(case, function):
    """Of the same options, and so of the same defaults."""
    given = arguments(function, case.options)
    compare(case.build(reduction="none"), partial(getattr(F, function), **given), *case.batch(N, seed=3))


def compare(loss, function, pred, target):
    """Value and gradient."""
    results = []
    for compute in (loss, function):
        leaf = pred.clone().requires_grad_()
        value = compute(leaf, target)
        value.sum().backward()
        results.append((value.detach(), leaf.grad))
    (value, grad), (other, other_grad) = results
    torch.testing.assert_close(other, value, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(other_grad, grad, rtol=1e-5, atol=1e-7)


def test_every_loss_has_a_function_that_names_it():
    """Or, outside of the IoU family, is computed by the one of another loss."""
    for name, cls in ml.CATALOGUE.items():
        own = [function for function, named in FUNCTIONS.items() if named == name]
        if issubclass(cls, ml.IoUTypeLoss) and name == cls.__name__:
            assert len(own) == 1, f"{name}: write a function whose docstring says: see :class:`~mmdet_losses.{name}`"
        function = getattr(cls, "function", None)
        if inspect.isfunction(function):
            assert getattr(F, function.__name__, None) is function, f"{name}: its function is not public"


def test_every_function_of_a_loss_is_compared():
    """But for the parts of others."""
    parts = {"box_iou_loss", "pair_loss", "reduce_loss", "weighted_loss", "authentic_smooth_l1_loss"}
    compared = {value for param in DERIVED for value in param.values if isinstance(value, str)}
    compared |= {function.__name__ for _, _, function, _ in PAIRS}
    losses = {name for name in F.__all__ if name.endswith(("_loss", "_cross_entropy"))}
    of_embeddings = {"associative_embedding_loss", "margin_l2_loss", "triplet_loss"}  # test_embedding.py has them
    assert losses - compared == parts | BATCH | of_embeddings | {"seesaw_class_loss"}


def test_defaults_of_what_losses_are_made_of():
    """Functions of geometry, each with its default and with the number that it stands for."""
    pred, target = input_of("GIoULoss", {})
    pair = F.box_pair(pred, target)
    assert torch.equal(F.iou_focus(pair), F.iou_focus(pair, 0.5, True))
    leaf = pred.clone().requires_grad_()
    assert not F.iou_focus(F.box_pair(leaf, target)).requires_grad
    assert not F.powerful_focus(F.box_pair(leaf, target)).requires_grad
    assert F.powerful_focus(F.box_pair(leaf, target), detach=False).requires_grad
    assert torch.equal(F.powerful_focus(pair), F.powerful_focus(pair, 1.3, True))
    assert torch.equal(F.unified_focus(pair, "focal"), F.unified_focus(pair, "focal", 0.5))
    assert torch.equal(F.unified_focus(pair, "focal-inv"), F.iou_focus(pair, 0.5))
    assert torch.equal(F.wise_focus(pair), F.wise_focus(pair, 1.0, version=3, alpha=1.9, delta=3.0))
    assert torch.equal(F.wise_focus(pair, version=2), F.wise_focus(pair, 1.0, version=2, gamma=0.5))
    assert torch.equal(F.box_iou_loss(pred, target), F.iou_loss(pred, target, mode="linear"))
    assert torch.equal(F.pair_loss(pair), F.box_iou_loss(pred, target))
    assert torch.equal(F.box_iou_loss(pred, target, F.interp_terms), F.interp_iou_loss(pred, target))
    logits, dense = input_of("QualityFocalLoss", {})[0], torch.rand(N, 1)
    terms = F.quality_focal_terms(logits, dense.expand_as(logits))
    assert torch.equal(terms, F.quality_focal_terms(logits, dense.expand_as(logits), beta=2.0, activated=False))
    for terms, other in (
        (F.ciou_terms(pair), F.ciou_terms(pair, None)),
        (F.shape_terms(pair), F.shape_terms(pair, 0.0)),
    ):
        for one, another in zip(terms, other, strict=True):
            assert torch.equal(one, another)


def test_a_peak_of_probability_zero_costs_what_mmdet_lets_it():
    """mmdet adds 1e-12 under the logarithm: ln(1e12)."""
    for dtype in (torch.float64, torch.float32):
        loss = F.gaussian_focal_loss(torch.zeros(1, dtype=dtype), torch.ones(1, dtype=dtype))
        assert loss.item() == pytest.approx(12 * math.log(10), rel=1e-6)


# functions over the last axis, with labels or a target of a value per row
ROWS = {
    "quality_focal_loss": (F.quality_focal_loss, "quality"),
    "quality_focal_loss, dense": (F.quality_focal_loss, "dense"),
    "softmax_focal_loss": (F.softmax_focal_loss, "label"),
    "softmax_focal_loss, alpha": (partial(F.softmax_focal_loss, alpha=torch.tensor([0.1, 0.2, 0.3, 0.4])), "label"),
    "equalization_loss": (partial(F.equalization_loss, class_frequency=torch.tensor([0.5, 1e-4, 0.1, 1e-5])), "label"),
    "equalization_v2_loss": (
        partial(F.equalization_v2_loss, ratio=torch.tensor([0.7, 0.8, 0.9]), class_weight=torch.tensor([1.0, 2, 3, 4])),
        "label",
    ),
    "distribution_focal_loss": (F.distribution_focal_loss, "distance"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_in_two_axes_are_rows(name):
    """Predictions ``(2, 3, 4)`` are six rows of four."""
    function, kind = ROWS[name]
    g = torch.Generator().manual_seed(1)
    pred, score = torch.randn(2, 3, 4, generator=g), torch.rand(2, 3, generator=g)
    label = torch.randint(0, 4, (2, 3), generator=g)
    targets = {
        "label": label,
        "distance": 3 * score,
        "dense": torch.rand(2, 3, 4, generator=g),
        "quality": (label, score),
    }
    target = targets[kind]
    flat = map_target(target, lambda x: x.reshape(6, *x.shape[2:]))
    expected = function(pred.reshape(6, 4), flat)
    torch.testing.assert_close(function(pred, target), expected.reshape(2, 3, *expected.shape[1:]))


def test_labels_become_float32():
    """Whatever integers they are."""
    for dtype in (torch.int64, torch.int32, torch.uint8):
        target = F.dense_target(torch.zeros(2, 3), torch.tensor([2, 0], dtype=dtype))
        assert target.dtype == torch.float32 and target.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_softmax_cross_entropy_with_weights_and_ignored_labels():
    pred, label = torch.tensor([[0.0, 2.0, -1.0]] * 3, dtype=torch.float64), torch.tensor([1, 0, 7])
    total = math.log(1 + math.exp(2) + math.exp(-1))
    loss = F.softmax_cross_entropy(pred, label, class_weight=torch.tensor([3.0, 0.5, 9.0]), ignore_index=7)
    assert loss.tolist() == pytest.approx([0.5 * (total - 2), 3 * total, 0])


def test_sigmoid_cross_entropy_with_weights_and_uniform_smoothing():
    """Positive terms alone are weighed; a floor of e / C is that of the last axis, also of one class."""
    pred, ln2 = torch.zeros(1, 3, dtype=torch.float64), math.log(2)
    loss = F.sigmoid_cross_entropy(pred, torch.tensor([1]), class_weight=torch.tensor([5.0, 3.0, 7.0]))
    assert loss.tolist()[0] == pytest.approx([ln2, 3 * ln2, ln2])
    smooth = dict(label_smoothing=0.3, smoothing_mode="uniform")
    logit = torch.full((2, 5, 3), 2.0, dtype=torch.float64)
    plain, low = math.log1p(math.exp(-2.0)), 2.0
    # BCE of a logit z and a target y is ln(1 + e^-z) + (1 - y) z
    assert F.sigmoid_cross_entropy(logit, torch.zeros_like(logit), **smooth)[0, 0, 0].item() == pytest.approx(
        plain + (1 - 0.1) * low
    )
    one = torch.full((1, 1), 2.0, dtype=torch.float64)
    assert F.sigmoid_cross_entropy(one, torch.zeros_like(one), **smooth).item() == pytest.approx(
        plain + (1 - 0.3) * low
    )


def test_focal_loss_of_probabilities_with_an_odd_power():
    g = torch.Generator().manual_seed(0)
    logits, target = torch.randn(6, 4, generator=g, dtype=torch.float64), torch.rand(6, 4, generator=g).round().double()
    for gamma in (1.0, 3.0):
        of_logits = F.sigmoid_focal_loss(logits, target, gamma=gamma)
        torch.testing.assert_close(
            F.sigmoid_focal_loss(logits.sigmoid(), target, gamma=gamma, activated=True), of_logits
        )


def test_asymmetric_loss_without_focus_of_a_negative_within_the_margin():
    """A probability below the margin counts as 0, whatever the power: no loss, and no gain."""
    logit = torch.tensor([[math.log(0.01 / 0.99)]], dtype=torch.float64)
    assert F.asymmetric_loss(logit, torch.zeros(1, 1), gamma_neg=0.0).item() == 0
    assert F.asymmetric_loss(-logit, torch.zeros(1, 1), gamma_neg=0.0).item() == pytest.approx(-math.log(0.06))


def test_harmonizing_by_hand():
    """A norm on an edge is in the bin above it; elements of one bin alone weigh 1; of two bins alike half as many."""
    edges = F.bin_edges(4)
    assert edges.tolist() == [0, 0.25, 0.5, 0.75, 1] and edges.dtype == torch.float32
    norm = torch.tensor([0.0, 0.25, 0.5, 0.7499, 1.0])
    histogram = F.gradient_histogram(norm, torch.ones(5, dtype=torch.bool), edges)
    assert histogram.index.tolist() == [0, 1, 2, 2, 3] and histogram.count.tolist() == [1, 1, 2, 1]
    assert F.gradient_histogram(norm.double(), torch.ones(5, dtype=torch.bool), edges).count.tolist() == [1, 1, 2, 1]
    same = F.gradient_histogram(torch.full((3,), 0.1), torch.ones(3, dtype=torch.bool), edges)
    assert F.harmonizing_weight(same, same.count.float()).tolist() == [1, 1, 1]
    assert F.harmonizing_weight(histogram, histogram.count.float()).tolist() == pytest.approx(
        [1.25, 1.25, 0.625, 0.625, 1.25]
    )


def test_equalized_focal_loss_of_a_small_power_has_a_slope_everywhere():
    pred = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    F.equalized_focal_loss(pred, torch.tensor([0]), ratio=torch.ones(3), gamma=0.5).sum().backward()
    assert pred.grad.isfinite().all() and pred.grad[0, 2] > 0


def test_focal_multipliers_of_unified_iou():
    pair = F.box_pair(*input_of("UnifiedIoULoss", {}))
    torch.testing.assert_close(F.unified_focus(pair, "focal", 2.0), 1 - pair.iou.square())
    torch.testing.assert_close(F.unified_focus(pair, "focal-inv", 2.0), pair.iou.square())
    multiplier = F.unified_multiplier("focal-inv", 2.0, None)
    torch.testing.assert_close(multiplier(pair), pair.iou.square())


@pytest.mark.parametrize("power", [0.25, 0.5])
def test_a_power_below_one_has_a_slope_where_nothing_is_wrong(power):
    """The slope of error**power is infinite at 0, and 0 * inf is NaN."""
    pred = torch.tensor([[1e4, -1e4]], requires_grad=True)
    F.sigmoid_focal_loss(pred, torch.tensor([[1.0, 0.0]]), gamma=power).sum().backward()
    assert pred.grad.isfinite().all()


def test_scaled_pairs_keep_their_frame():
    pair = F.box_pair(*input_of("GIoULoss", {}))
    assert torch.equal(pair.scaled(2.0).unit, pair.unit)


def test_ap_loss_of_its_own_ramp():
    """Two positives and two negatives, by hand for delta = 1."""
    score, target = torch.tensor([2.0, 1.0, 1.5, -3.0]), torch.tensor([1, 1, 0, 0])
    assert F.average_precision_loss(score, target).sum().item() / 2 == pytest.approx(0.2363636364, rel=1e-6)
    quality = torch.tensor([0.6, 0.8, 0.0, 0.0])
    assert F.rank_sort_loss(score, quality).sum() == F.rank_sort_loss(score, quality, delta=0.5).sum()
    assert F.rank_sort_loss(score, quality).sum() != F.rank_sort_loss(score, quality, delta=1.5).sum()


@pytest.mark.parametrize("loss", [F.average_precision_loss, F.rank_sort_loss])
@pytest.mark.parametrize(("score", "delta"), [(0.7, 0.1), (3.3, 0.3), (1.0, 0.5)])
def test_positive_that_is_delta_above_a_negative_costs_nothing(loss, score, delta):
    """Exactly, also where the ramp at its lower end would be a rounding away from 0."""
    pred = torch.tensor([score, score - delta], dtype=torch.float64, requires_grad=True)
    value = loss(pred, torch.tensor([1.0, 0.0]), delta=delta)
    value.sum().backward()
    assert value.tolist() == pred.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("loss", [F.average_precision_loss, F.rank_sort_loss])
def test_ties_at_a_step_rank_above(loss):
    """Without a ramp H(0) = 1: the negative at the score of the only positive is as one above it."""
    pred = torch.tensor([0.5, 0.5, -1.0], dtype=torch.float64, requires_grad=True)
    value = loss(pred, torch.tensor([1.0, 0.0, 0.0]), delta=0.0)
    value.sum().backward()
    assert value.tolist() == [0.5, 0.0, 0.0]
    assert pred.grad.tolist() == [-0.5, 0.5, 0.0]


@pytest.mark.parametrize("kind", [float, int, torch.tensor, lambda number: torch.tensor([number])])
def test_divisor_by_hand(kind):
    """A sum of 6; a divisor of 0 gives 0."""
    loss = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    for divisor, expected in ((0, 0.0), (1, 6.0), (2, 3.0), (4, 1.5)):
        assert F.reduce_loss(loss, "mean", kind(divisor)).item() == expected
    assert F.reduce_loss(loss, "mean").item() == 1.5
    assert F.reduce_loss(loss, "sum").item() == 6
    assert F.reduce_loss(loss, "none") is loss


def test_mask_of_more_and_of_fewer_axes():
    """Of two rows of three places: a place is True where all that stands in it is."""
    mask = torch.ones(2, 3, 4, 2, dtype=torch.bool)
    mask[0, 1, 3, 0] = mask[1, 2, 0, 1] = False
    assert match_rank(mask, 2).tolist() == [[True, False, True], [True, True, False]]
    assert torch.equal(match_rank(mask, 4), mask)
    assert match_rank(mask[..., 0, 0], 4).shape == (2, 3, 1, 1)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_wide_weight_does_not_widen_the_loss(reduction):
    loss = F.weighted_loss(torch.abs, [torch.ones(3)], torch.ones(3, dtype=torch.float64), reduction=reduction)
    assert loss.dtype == torch.float32


WEIGHTED = sorted(name for name in FUNCTIONS if "class_weight" in inspect.signature(getattr(F, name)).parameters)


@pytest.mark.parametrize("name", [name for name in WEIGHTED if name != "equalization_v2_loss"])
def test_wide_class_weight_does_not_widen_the_loss(name):
    """Each class's own column times its weight, whatever dtype the weight is of."""
    function, logits, label = getattr(F, name), torch.tensor([[0.5, -1.0, 2.0]] * 2), torch.tensor([2, 0])
    state = {name: torch.ones(3, dtype=torch.int64) for name in needed(name) - {"class_weight"}}
    if name in ("quality_focal_loss", "varifocal_loss"):
        label = F.one_hot(label, 3).float()
    weight = torch.tensor([0.5, 1.0, 3.0])
    narrow, wide = (function(logits, label, **state, class_weight=weight.to(d)) for d in (torch.float32, torch.float64))
    assert wide.dtype == torch.float32 and torch.equal(wide, narrow)
    assert not torch.equal(narrow, function(logits, label, **state, class_weight=torch.ones(3)))


def test_wide_shares_of_classes_do_not_widen_the_loss():
    logits, shares = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    loss = F.softmax_cross_entropy(logits, shares)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(math.log(1 + math.e) - 0.75)


def test_distances_in_units_of_a_side_of_0_are_bounded():
    """Of points, in units of either: 2 * 800**2."""
    nothing = torch.zeros(2, dtype=torch.float64)
    assert combined_squares(nothing + torch.tensor([-1.0, 1.0]), nothing, nothing).tolist() == [1_280_000] * 2


def test_scale_dynamic_iou_of_a_small_target_by_default():
    """27 of 81 pixels: (1 - (1 - 1 / 3) / 2) (1 - 0) + (1 + (1 - 1 / 3) / 2) 100 / (13**2 + 9**2)."""
    loss = F.scale_dynamic_iou_loss(torch.tensor([[10.0, 0, 13, 9]]), torch.tensor([[0.0, 0, 3, 9]]))
    assert loss.item() == pytest.approx(2 / 3 + 4 / 3 * 0.4)


def test_slope_of_a_target_is_that_of_a_prediction_in_its_place():
    pred, target = input_of("GIoULoss", {})
    slopes = []
    for first, second in ((pred, target.clone().requires_grad_()), (target.clone().requires_grad_(), pred)):
        leaf = second if second.requires_grad else first
        slopes += torch.autograd.grad(F.giou_loss(first, second).sum(), leaf)
    torch.testing.assert_close(*slopes)


def test_mean_of_wise_iou():
    """The outlier degree is over the mean, so version 2 has its root."""
    pred, target = input_of("WIoULoss", {})
    one, quarter = (F.wise_iou_loss(pred, target, mean=mean, version=2) for mean in (1.0, 0.25))
    torch.testing.assert_close(quarter, 2 * one)


def test_range_from_its_beginning_alone():
    """Without an end the last bin is at ``bins - 1``: with 5 bins from 1 they stand at 1, 1.75, 2.5, 3.25 and 4."""
    sharp = 50 * torch.eye(5, dtype=torch.float64)
    places = torch.tensor([1.0, 1.75, 2.5, 3.25, 4.0], dtype=torch.float64)
    torch.testing.assert_close(F.integral(sharp, bins=5, y_min=1.0), places)
    torch.testing.assert_close(F.integral(sharp, bins=5), torch.arange(5.0, dtype=torch.float64))
    assert F.integral(torch.zeros(2, 1), bins=1).tolist() == [0.0, 0.0]
    assert F.distribution_focal_loss(sharp, places, y_min=1.0).max() < 1e-12
    assert F.distribution_focal_loss(sharp, places + 0.375, y_min=1.0)[:4].min() > 20


def test_seesaw_of_background_is_nothing():
    """Labels outside of the classes, whatever they are, have neither loss nor gradient."""
    pred = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = F.seesaw_class_loss(pred, torch.tensor([3, -1, 1, 1000]), counts=torch.tensor([9.0, 3.0, 1.0]))
    loss.sum().backward()
    assert (loss[[0, 1, 3]] == 0).all() and (pred.grad[[0, 1, 3]] == 0).all()
    assert loss[2] > 0


def test_seesaw_by_hand():
    """A score below eps counts as eps: factors (3/9)**0 (e**6 / (0.01 S))**2 and (1/3)**0.8 alone for a rarer class."""
    logits, label, counts = [6.0, 0.0, -2.0], 1, [9.0, 3.0, 1.0]
    total = sum(map(math.exp, logits))
    factor = [(math.exp(6.0) / total / 0.01) ** 2, 1.0, (1 / 3) ** 0.8 * max(math.exp(-2.0) / total / 0.01, 1) ** 2]
    expected = math.log(sum(f * math.exp(z) for f, z in zip(factor, logits, strict=True))) - logits[label]
    loss = F.seesaw_class_loss(torch.tensor([logits]).double(), torch.tensor([label]), counts=torch.tensor(counts))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"p": 0.3, "q": 1.2, "eps": 0.2}])
def test_seesaw_of_every_label(options):
    """Against the scalar reference, whose defaults are the paper's."""
    logits, counts = [2.0, -1.0, 0.5, -3.0], [40.0, 3.0, 0.0, 900.0]
    for label in range(4):
        factors = longtail.seesaw_factors(logits, label, counts, **options)
        expected = math.log(sum(f * math.exp(z) for f, z in zip(factors, logits, strict=True))) - logits[label]
        pred = torch.tensor([logits], dtype=torch.float64)
        loss = F.seesaw_class_loss(pred, torch.tensor([label]), counts=torch.tensor(counts), **options)
        assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"mu": 0.3, "alpha": 2.0, "gamma": 5.0}])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_equalization_v2_are_those_of_its_loss(options, weighted):
    g = torch.Generator().manual_seed(0)
    pred = (2 * torch.randn(N, 5, generator=g, dtype=torch.float64)).requires_grad_()
    label, ratio = torch.randint(-1, 6, (N,), generator=g), torch.tensor([0.1, 0.75, 0.5, 1.3]).double()
    weight = torch.rand(N, generator=g, dtype=torch.float64) if weighted else None
    loss = F.equalization_v2_loss(pred, label, ratio=ratio, **options)
    (loss if weight is None else loss * weight).sum().backward()
    positive = (label.clamp(-1, 4) % 5).unsqueeze(1) == torch.arange(5)
    size = pred.grad.abs()
    expected = (size * positive).sum(0), (size * ~positive).sum(0)
    found = equalization_v2_gradients(pred.detach(), label, weight, ratio=ratio, **options)
    torch.testing.assert_close(found, expected)


def test_wide_statistics_do_not_widen_the_loss():
    pred, label, ratio = torch.zeros(2, 3), torch.tensor([0, 2]), torch.ones(3, dtype=torch.float64)
    wide = torch.ones(4, dtype=torch.float64)
    assert F.equalized_focal_loss(pred, label, ratio=ratio).dtype == torch.float32
    assert F.equalization_v2_loss(torch.zeros(2, 4), label, ratio=ratio, class_weight=wide).dtype == torch.float32
    for function in (F.sigmoid_cross_entropy, F.softmax_cross_entropy):
        assert function(pred, label, class_weight=ratio).dtype == torch.float32
    for function in (F.sigmoid_focal_loss, F.softmax_focal_loss):
        assert function(pred, label, alpha=ratio).dtype == torch.float32
    assert F.gaussian_focal_loss(pred.sigmoid(), pred, ratio.expand(2, 3)).dtype == torch.float32


def test_weights_of_peaks_and_of_the_rest():
    """A peak has the one part alone, and a place of target 0 the other."""
    prob, target = torch.tensor([0.3, 0.6], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    peak, rest = -(0.7**2) * math.log(0.3), -(0.6**2) * math.log(0.4)
    for pos, neg in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (0.5, 3.0)):
        loss = F.gaussian_focal_loss(prob, target, pos_weight=pos, neg_weight=neg)
        assert loss.tolist() == pytest.approx([pos * peak, neg * rest])


def test_equalization_weights_by_hand():
    """At ratio mu a negative weighs 1/2 and a positive 1 + alpha / 2; objectness always 1."""
    negative, positive = equalization_v2_weight(torch.tensor([0.8, 100.0]))
    torch.testing.assert_close(negative, torch.tensor([0.5, 1.0, 1.0]))
    torch.testing.assert_close(positive, torch.tensor([3.0, 1.0, 1.0]))
    ratio = torch.tensor([0.7])
    explicit = equalization_v2_weight(ratio, mu=0.8, alpha=4.0, gamma=12.0)
    assert all(map(torch.equal, equalization_v2_weight(ratio), explicit))


def test_equalization_v2_by_hand():
    """Logits of 0, so that every term is its weight times ln 2; background by any label outside of the classes."""
    pred, labels = torch.zeros(3, 3, dtype=torch.float64), torch.tensor([0, 2, -1])
    options = dict(ratio=torch.tensor([0.5, 0.5]), mu=0.5, alpha=2.0, gamma=1.0)
    loss = F.equalization_v2_loss(pred, labels, **options) / math.log(2)
    assert loss.tolist() == pytest.approx([2 + 0.5 + 1, 0.5 + 0.5 + 1, 0.5 + 0.5 + 1])
    weighed = F.equalization_v2_loss(pred, labels, **options, class_weight=torch.tensor([2.0, 4.0, 8.0])) / math.log(2)
    assert weighed.tolist() == pytest.approx([4 + 2 + 8, 1 + 2 + 8, 1 + 2 + 8])
    steep = F.equalization_v2_loss(pred[:1], labels[:1], ratio=torch.tensor([0.5, 0.5]), mu=0.0, alpha=2.0, gamma=2.0)
    low = 1 / (1 + math.exp(-1.0))
    assert steep.item() / math.log(2) == pytest.approx(1 + 2 * (1 - low) + low + 1, rel=1e-6)
    share = 1 / (1 + math.exp(-12 * (0.7 - 0.8)))
    default = F.equalization_v2_loss(pred[:1], labels[:1], ratio=torch.tensor([0.7, 0.7])) / math.log(2)
    assert default.item() == pytest.approx(1 + 4 * (1 - share) + share + 1, rel=1e-6)


@pytest.mark.parametrize("label", [2, 3, 4, 1000, -1, -2, -100])
def test_objectness_of_equalization_v2_is_background_of_any_label(label):
    """ln(1 + e**-2) for the last logit, of 2, whose target is 1; classes of logit 0 and weight 1/2."""
    pred = torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64)
    loss = F.equalization_v2_loss(pred, torch.tensor([label]), ratio=torch.tensor([0.5, 0.5]), mu=0.5)
    assert loss.item() == pytest.approx(math.log(2) + math.log1p(math.exp(-2.0)), rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"gamma": 1.5, "alpha": 0.4, "scale_factor": 3.0}])
def test_gradient_of_equalized_focal_loss_in_closed_form(options):
    g = torch.Generator().manual_seed(0)
    pred = (3 * torch.randn(N, 5, generator=g, dtype=torch.float64)).requires_grad_()
    label, ratio = torch.randint(0, 6, (N,), generator=g), torch.tensor([0.125, 1.0, 0.5, 0.75, 0.0])
    F.equalized_focal_loss(pred, label, ratio=ratio, **options).sum().backward()
    size = F.equalized_focal_gradient(pred.detach(), label, ratio=ratio, **options)
    torch.testing.assert_close(size, pred.grad.abs())


def test_authentic_smooth_l1_by_hand():
    half, zero = torch.tensor([0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert F.authentic_smooth_l1_loss(half, zero).item() == pytest.approx(math.sqrt(0.2504) - 0.02)
    assert F.authentic_smooth_l1_gradient_norm(half, zero).item() == pytest.approx(0.5 / math.sqrt(0.2504))


def test_a_class_at_the_threshold_is_not_spared():
    """Equalization loss spares classes rarer than lambda, f < lambda, and not the one at it."""
    pred, target, frequency = torch.zeros(1, 3), torch.tensor([0]), torch.tensor([0.5, 0.00177, 0.001])
    loss = F.equalization_loss(pred, target, frequency)
    assert (loss > 0).tolist() == [[True, True, False]]


@over([case for case in CASES if case.name not in ("APLoss", "RankSortLoss")])
def test_no_tensor_is_made_on_another_device(case, monkeypatch):
    """On a device without values everything has to be made where the prediction is, and nothing can be read back."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())  # knows no such device
    pred, target = case.batch(N)
    leaf = pred.to("meta").requires_grad_()
    loss = case.build().to("meta")
    value = loss(leaf, map_target(target, lambda x: x.to("meta")), torch.ones(N, device="meta"), avg_factor=2.0)
    value.backward()
    assert value.device.type == "meta" and value.shape == ()
    assert leaf.grad.shape == pred.shape


def test_no_part_is_made_on_another_device():
    """Of what is called beside the losses."""
    label, pred = torch.zeros(3, dtype=torch.int64, device="meta"), torch.zeros(3, 8, device="meta")
    assert count_labels(label, label == 0, 5).device.type == "meta"
    assert F.integral(pred, bins=4).device.type == "meta"
    assert F.equalization_loss(pred, label, torch.ones(8)).device.type == "meta"
    score = pred.double()
    assert lower_counts(score[0], score[1], score[1:], 0.5).device.type == "meta"
