"""The hand-written kernels for CPUs against the eager losses in float64."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases.written import (
    ALL,
    BOXES,
    LOGITS,
    Batch,
    boxes,
    classes,
    distances,
    known_labels,
    labels,
    quality,
    soft,
    weights,
    wide,
)
from torch import Tensor, nn

from mmdet_losses import (
    BoundedIoULoss,
    CIoULoss,
    CrossEntropyLoss,
    DIoULoss,
    DistributionFocalLoss,
    ExtendedIoULoss,
    FocalEIoULoss,
    FocalLoss,
    GIoULoss,
    IoULoss,
    IoUTypeLoss,
    L1Loss,
    Poly1FocalLoss,
    QualityFocalLoss,
    VarifocalLoss,
)
from mmdet_losses.functional import giou_terms
from mmdet_losses.kernels import build, generated, written
from mmdet_losses.kernels.plans import PLANNERS, plan_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")

SIZES = [1, 2, 7, 16, 17, 500, 20_000]


class Used:
    """Counts how often a kernel ran, and notes whether the last one computed a gradient."""

    def __init__(self) -> None:
        self.count = 0
        self.gradient: Tensor | None = None

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        value, self.gradient = self.launch(*args)
        return value, self.gradient

    launch = staticmethod(written.launch)


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> Used:
    monkeypatch.setattr(written, "ENABLED", True)
    monkeypatch.setattr(written, "launch", counter := Used())
    return counter


def of_kernel(loss: nn.Module, used: Used, pred: Tensor, *args: Any, **call: Any) -> tuple[Tensor, Tensor]:
    """Value and gradient of one kernel that ran once."""
    leaf, before = pred.clone().requires_grad_(), used.count
    loss.fused = True
    value = loss(leaf, *args, **call)
    assert used.count == before + 1
    value.backward()
    assert used.count == before + 1
    return value.detach(), leaf.grad


def of_eager(loss: nn.Module, pred: Tensor, *args: Any, **call: Any) -> tuple[Tensor, Tensor]:
    leaf = pred.clone().requires_grad_()
    loss.fused = False
    value = loss(leaf, *args, **call)
    value.backward()
    return value.detach().float(), leaf.grad.float()


def assert_same(
    loss: nn.Module, used: Used, pred: Tensor, *args: Any, rtol: float = 1e-4, atol: float = 1e-7, **call: Any
) -> None:
    value, gradient = of_kernel(loss, used, pred, *args, **call)
    expected, slope = of_eager(loss, wide(pred), *map(wide, args), **call)
    assert value.dtype == gradient.dtype == torch.float32 and value.shape == ()
    place = partial(with_place, loss)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7, msg=place)
    torch.testing.assert_close(gradient, slope, rtol=rtol, atol=atol, msg=place)


def with_place(loss: nn.Module, message: str) -> str:
    """Tells who changed one of two places that compute a loss where the other is."""
    function = loss.call("mean").function
    source = "boxes" if issubclass(type(loss), IoUTypeLoss | BoundedIoULoss | ExtendedIoULoss) else "logits"
    here = Path(sys.modules[function.__module__].__file__).relative_to(Path(build.__file__).parents[2])
    return f"{message}\n{here} ({function.__name__}) and mmdet_losses/kernels/cpp/{source}.h compute the same loss."


@pytest.mark.parametrize("name", ALL)
def test_is_eager(name: str, used: Used) -> None:
    """Of all sizes, also across the limit from which on threads share the work, and for all forms of the weight."""
    build_loss, batch = ALL[name]
    for n in SIZES:
        pred, target = batch(n, n + 1)
        for weight in weights(build_loss(), pred, n)[: 3 if n < 1000 else 2]:
            assert_same(build_loss(), used, pred, target, weight, avg_factor=n / 3)
        assert_same(build_loss(loss_weight=2.5), used, pred, target)
    for weight in weights(build_loss(), *batch(40, 0)[:1], 0)[3:]:
        assert_same(build_loss(reduction="sum", loss_weight=0.1), used, *batch(40, 0), weight)


def test_a_difference_names_both_places() -> None:
    boxes, logits = (with_place(loss, "") for loss in (CIoULoss(), L1Loss()))
    assert "functional/iou.py (box_iou_loss) and mmdet_losses/kernels/cpp/boxes.h" in boxes
    assert "functional/coordinate.py (l1_loss) and mmdet_losses/kernels/cpp/logits.h" in logits


@pytest.mark.parametrize("name", ALL)
def test_rows_of_weight_0_are_masked(name: str, used: Used) -> None:
    """The rule of functional/reduce.py (drop_junk), which cpp/boxes.h, logits.h and logits.cpp write again."""
    build_loss, batch = ALL[name]
    for n in (3, 100, 7000):
        pred, target = batch(n, n)
        n = len(pred)
        weight = torch.rand(n) + 0.5
        weight[::3] = 0
        weight[n // 4 : n // 2] = 0
        drop = weight == 0
        value, gradient = of_kernel(build_loss(), used, pred, target, weight, avg_factor=7)
        for junk in (torch.nan, torch.inf, -torch.inf):
            spoilt = torch.where(drop[:, None], junk, pred)
            other = target[-1] if isinstance(target, tuple) else target
            if other.is_floating_point():
                other = torch.where(drop.reshape(-1, *[1] * (other.ndim - 1)), junk, other)
            other = (target[0], other) if isinstance(target, tuple) else other
            found = of_kernel(build_loss(), used, spoilt, other, weight, avg_factor=7)
            assert found[0] == value
            assert (found[1] == gradient).all()
        assert (gradient[drop] == 0).all()
        assert (of_kernel(build_loss(), used, pred, target, weight * 0, avg_factor=7)[1] == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_nan_is_seen(name: str, used: Used) -> None:
    build_loss, batch = ALL[name]
    pred, target = batch(40, 0)
    for column in range(min(4, pred.shape[1])):
        spoilt = pred.clone()
        spoilt[13, column] = torch.nan
        label = target.clamp(min=0) if isinstance(target, Tensor) and not target.is_floating_point() else target
        assert of_kernel(build_loss(), used, spoilt, label)[0].isnan()
        if batch is boxes:
            assert of_kernel(build_loss(), used, pred, torch.where(spoilt.isnan(), torch.nan, target))[0].isnan()


def test_masks(used: Used) -> None:
    draw = torch.Generator().manual_seed(0)
    pred, label = torch.randn(6, 5, 14, 14, generator=draw), torch.randint(5, (6,), generator=draw)
    masks = (torch.rand(6, 14, 14, generator=draw) > 0.5).float()
    assert_same(CrossEntropyLoss(use_mask=True), used, pred, masks, label)


def corners() -> Tensor:
    """Boxes that are alike, touch, lie within and beside each other; without width, without height, and inverted."""
    return torch.tensor(
        [
            [0.0, 0, 4, 4], [0, 0, 4, 2], [4, 0, 8, 4], [4, 4, 8, 8], [1, 1, 2, 3], [2, 2, 6, 6], [8, 0, 9, 1],
            [0, 0, 0, 0], [3, 3, 3, 3], [0, 0, 0, 4], [1, 2, 3, 2], [4, 4, 0, 0], [4, 0, 0, 4], [6, 1, 2, 5],
            [0, 5, 7, 1], [-3, -3, -1, -1],
        ]
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 2.0**-66, 2.0**66], ids=["1", "1e-20", "1e20"])
@pytest.mark.parametrize("name", BOXES)
def test_degenerate_boxes(name: str, scale: float, used: Used) -> None:
    """Each with each: value and gradient, on which side of a kink it may be too."""
    pairs = torch.cartesian_prod(torch.arange(16), torch.arange(16))
    pred, target = (corners()[pairs[:, i]] * scale for i in range(2))
    loss = BOXES[name](reduction="sum")
    # In float32, which rounds to the same side of a kink.
    (value, gradient), (total, slope) = of_kernel(loss, used, pred, target), of_eager(loss, pred, target)
    torch.testing.assert_close(value, total, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradient, slope, rtol=1e-4, atol=1e-6 / scale)
    loss.fused = False
    expected = loss(pred.double(), target.double(), reduction_override="none").float()
    loss.fused = True
    for i in range(256):
        value = loss(pred[i : i + 1], target[i : i + 1])
        torch.testing.assert_close(value, expected[i].sum(), rtol=1e-5, atol=2e-6, msg=lambda m, i=i: f"{pairs[i]} {m}")


@pytest.mark.parametrize("name", BOXES)
def test_perfect_match(name: str, used: Used) -> None:
    target = boxes(1000, 3)[1]
    value, gradient = of_kernel(BOXES[name](), used, target, target)
    expected, slope = of_eager(BOXES[name](), target, target)
    assert value <= max(1e-7, 2 * expected)
    torch.testing.assert_close(gradient, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, (_, batch) in LOGITS.items() if "range" not in name])
def test_extreme_logits(name: str, used: Used) -> None:
    build_loss, batch = LOGITS[name]
    pred, target = batch(64, 1)
    for size in (20.0, 100.0, 1e4):
        assert_same(build_loss(), used, pred.sign() * size, target, avg_factor=64)
    assert_same(build_loss(), used, pred * 1e-30, target, avg_factor=64)


def test_avg_factor(used: Used) -> None:
    """The rule of functional/reduce.py (reduce_total), which kernels/written.py (compute) writes again."""
    for build_loss, batch in ((CIoULoss, boxes), (FocalLoss, labels), (BoundedIoULoss, boxes)):
        pred, target = batch(300, 0)
        for factor in (None, 7, 7.5, torch.tensor(7.0), torch.tensor([7]), 0, torch.tensor(0.0), torch.tensor([[0]])):
            assert_same(build_loss(), used, pred, target, avg_factor=factor)


def test_other_layouts(used: Used) -> None:
    pred, target = boxes(60, 0)
    for view in (pred.t().contiguous().t(), pred.repeat(1, 2)[:, :4], pred.reshape(3, 20, 4)):
        goal = target.reshape(view.shape)
        assert_same(GIoULoss(), used, view, goal, torch.rand(view.shape[:-1]), avg_factor=9)
        assert_same(BoundedIoULoss(), used, view, goal, avg_factor=9)
    assert_same(GIoULoss(), used, pred, target.half(), torch.ones(60, dtype=torch.bool), avg_factor=9)
    pred, label = labels(60, 0)
    assert_same(FocalLoss(), used, pred.t().contiguous().t(), label.int(), avg_factor=9)
    assert_same(FocalLoss(), used, pred.reshape(3, 20, 5), label.reshape(3, 20), torch.rand(3, 20, 1), avg_factor=9)
    assert_same(FocalLoss(), used, pred, label, torch.rand(300), avg_factor=9)


@pytest.mark.parametrize("name", ALL)
def test_backward(name: str, used: Used) -> None:
    """From above comes another factor; twice through one graph; and a gradient of the gradient."""
    build_loss, batch = ALL[name]
    pred, target = batch(50, 5)
    weight = torch.rand(len(pred), 4) if batch is boxes else torch.rand(len(pred))
    found = []
    for option in (True, False):
        leaf = (pred if option else pred.double()).clone().requires_grad_()
        loss = build_loss()
        loss.fused = option
        value = 65536 * loss(leaf, target if option else wide(target), weight if option else wide(weight), avg_factor=9)
        first, again = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
        assert (first == again).all()
        kept = first.clone()
        value.backward(torch.tensor(3.0), retain_graph=True)
        assert (first == kept).all()
        (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum() / 65536, leaf)
        found.append([x.detach().float() for x in (first, leaf.grad, slope, second)])
    assert used.count > 0
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_transforms_of_backward(used: Used) -> None:
    """Several gradients from above at once, and a derivative in the direction of forward, which kernels do not have."""
    pred, label = labels(30, 0)
    upstream = torch.tensor([1.0, -2.0])
    found = []
    for option in (True, False):
        leaf, loss = pred.clone().requires_grad_(), FocalLoss(fused=option)
        value = loss(leaf, label)
        found += torch.autograd.grad(value, leaf, upstream, is_grads_batched=True)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(pred, torch.ones_like(pred))
        loss = FocalLoss()
        assert plan_of(loss.call("mean"), (dual, label), None, None) is None
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-7)


def test_without_a_gradient(used: Used) -> None:
    for build_loss, batch in ALL.values():
        pred, target = batch(50, 2)
        with_gradient, _ = of_kernel(build_loss(), used, pred, target)
        assert used.gradient is not None
        loss = build_loss()
        loss.fused = True
        value = loss(pred, target)
        assert used.gradient is None
        with torch.no_grad():
            assert loss(pred.requires_grad_(), target) == value
        assert used.gradient is None
        assert not value.requires_grad
        assert value == with_gradient


def test_other_calls_are_not_taken(used: Used, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and inputs that the kernels do not know."""
    monkeypatch.setattr(generated, "compute", lambda *call: None)

    class Marked(Tensor):
        pass

    class OwnTerms(GIoULoss):
        terms = staticmethod(lambda pair: (pair.iou,))

    class OwnTermsOfTheObject(GIoULoss):
        def __init__(self, **shared: Any) -> None:
            super().__init__(**shared)
            self.terms = lambda pair: tuple(0.5 * term for term in giou_terms(pair))

    class OwnLoss(FocalLoss):
        def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
            return super().unreduced(pred, target) * 2

    pred, target = boxes(30, 0)
    logits, label = labels(30, 0)
    goal = target.clone().requires_grad_()
    for loss in (
        OwnTerms(),
        OwnTermsOfTheObject(),
        CIoULoss(power=2.0),
        GIoULoss(inner_ratio=0.7),
        DIoULoss(focaler=(0.1, 0.9)),
        FocalEIoULoss(),
    ):
        loss.fused = True
        loss(pred, target)
    for loss in (OwnLoss(), Poly1FocalLoss(), FocalLoss(alpha=[0.5] * 5), FocalLoss(activated=True)):
        loss.fused = True
        loss(logits.sigmoid(), label)
    loss = GIoULoss(fused=True)
    loss(pred, target, reduction_override="none")
    loss(pred.double(), target)
    loss(pred.half(), target)
    loss(pred, target.double())
    loss(pred, target.as_subclass(Marked))
    loss(pred, target, avg_factor=torch.tensor(2.0, requires_grad=True))
    loss(pred[:0], target[:0])
    loss(pred, goal).backward()
    assert goal.grad.abs().sum() > 0
    torch.func.grad(lambda x: loss(x, target))(pred)
    monkeypatch.setattr(written, "ENABLED", False)
    loss(pred, target)
    assert used.count == 0
    with pytest.raises(ValueError, match="target must have the shape of pred"):
        loss(pred, target[:3])


def test_calls_without_a_plan() -> None:
    """A weight that broadcasts along rows, a loss weight that is a tensor, a prediction without axes, a dual number."""
    pred, target = boxes(3, 0)
    call = GIoULoss().call("mean")
    assert plan_of(call, (pred, target), torch.ones(3, 1), None) is not None
    assert plan_of(call, (pred, target), torch.ones(1, 4), None) is None
    assert plan_of(call._replace(loss_weight=torch.tensor(2.0)), (pred, target), None, None) is None
    assert plan_of(L1Loss().call("mean"), (pred[0, 0], target[0, 0]), None, None) is None
    with torch.autograd.forward_ad.dual_level():
        assert plan_of(call, (pred, target), None, None) is None


@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (CrossEntropyLoss(use_sigmoid=True, class_weight=[1.0, 2, 3, 4, 5]), known_labels),
        (CrossEntropyLoss(use_sigmoid=True, label_smoothing=0.1), known_labels),
        (CrossEntropyLoss(class_weight=[1.0, 2, 3, 4, 5]), known_labels),
        (CrossEntropyLoss(label_smoothing=0.1), known_labels),
        (CrossEntropyLoss(), soft),
        (QualityFocalLoss(beta=1.5), quality),
        (QualityFocalLoss(activated=True), quality),
        (VarifocalLoss(gamma=1.5), soft),
        (IoULoss(eps=1e-40), boxes),
        (IoULoss(mode="linear", power=2.0), boxes),
    ],
    ids=lambda x: "",
)
def test_options_without_a_plan(loss: nn.Module, batch: Callable[[int, int], Batch]) -> None:
    pred, target = batch(3, 0)
    targets = target if isinstance(target, tuple) else (target,)
    assert plan_of(loss.call("mean"), (pred, *targets), None, None) is None


def test_plan_of_distances_and_of_labels() -> None:
    """Five bins from 1 to 4 are 3 / 4 apart; from 0 to 8, 2 apart; at most 256 bins; labels are read as int64."""
    pred, target = distances(3, 0, 5)
    for options, numbers in (({"y_min": 1.0}, (1.0, 4 / 3)), ({"y_max": 8.0}, (0.0, 0.5)), ({}, (0.0, 1.0))):
        call = DistributionFocalLoss(**options).call("mean")
        assert plan_of(call, (pred, target), None, None)[0].numbers == pytest.approx(numbers)
        assert plan_of(call, (pred, target.requires_grad_()), None, None) is None
        target = target.detach()
    for bins, taken in ((256, True), (257, False)):
        assert (plan_of(call, distances(3, 0, bins), None, None) is not None) is taken
    call, (pred, label) = CrossEntropyLoss().call("mean"), classes(3, 0)
    assert plan_of(call, (pred, label.int()), None, None)[1].dtype == torch.int64


def test_what_is_not_taken_is_generated(used: Used, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its weight and its divisor; not where kernels were not asked for, and not for a loss of each row."""
    asked: list[tuple[Any, Any]] = []

    def compute(call: Any, inputs: Any, weight: Any, avg_factor: Any) -> Tensor:
        asked.append((weight, avg_factor))
        return torch.tensor(7.0)

    monkeypatch.setattr(generated, "compute", compute)
    pred, target = boxes(3, 0)
    weight = torch.ones(3)
    assert CIoULoss(power=2.0, fused=True)(pred, target, weight, avg_factor=5.0) == 7
    ((first, divisor),) = asked
    assert torch.equal(first, weight) and divisor == 5
    assert CIoULoss(power=2.0)(pred, target) != 7
    assert CIoULoss(power=2.0, fused=True, reduction="none")(pred, target).shape == (3,)
    assert CIoULoss(fused=True)(pred, target) != 7
    assert len(asked) == 1 and used.count == 1


def test_every_function_that_has_a_kernel_is_tried() -> None:
    assert {build_loss().call("mean").function for build_loss, _ in ALL.values()} == set(PLANNERS)


def test_subclasses_that_compute_alike_are_taken(used: Used) -> None:
    class Named(GIoULoss):
        paper = "of somebody"

    assert_same(Named(), used, *boxes(30, 0))
    from mmdet_losses.registry import LOSSES

    assert_same(LOSSES["QualityFocalLoss"](), used, *quality(30, 0))


def test_own_terms_of_an_object_have_no_kernel_of_others(used: Used) -> None:
    """Half of GIoU's term: 1 - 25 / 175 + 50 / 225 / 2 of the first pair."""

    class Half(GIoULoss):
        def __init__(self, **shared: Any) -> None:
            super().__init__(**shared)
            self.terms = lambda pair: tuple(term / 2 for term in giou_terms(pair))

    pred, target = torch.tensor([[[0.0, 0, 10, 10]] * 2, [[5.0, 5, 15, 15]] * 2])
    for fused in (False, True):
        assert Half(fused=fused)(pred, target).item() == pytest.approx(1 - 25 / 175 + 50 / 225 / 2)
    assert used.count == 0


def test_number_of_threads(used: Used) -> None:
    before = torch.get_num_threads()
    try:
        for name, (build_loss, batch) in ALL.items():
            found = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                found.append(of_kernel(build_loss(), used, *batch(9001, 4)))
            for value, gradient in found[1:]:
                torch.testing.assert_close(value, found[0][0], rtol=1e-6, atol=0)
                assert (gradient == found[0][1]).all(), name
    finally:
        torch.set_num_threads(before)


def test_sum_of_many(used: Used) -> None:
    pred, label = labels(1000, 0, 16)
    (once, _), (often, _) = (of_kernel(FocalLoss(), used, pred.repeat(n, 1), label.repeat(n)) for n in (1, 1000))
    torch.testing.assert_close(often, once, rtol=1e-6, atol=0)


def test_what_cannot_be_built_is_tried_once(used: Used, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing(name: str) -> None:
        asked.append(name)
        raise build.BuildError("c++: it is not there")

    monkeypatch.setattr(written, "kernel", missing)
    monkeypatch.setattr(written, "unavailable", None)
    monkeypatch.setattr(generated, "compute", lambda *call: None)
    pred, target = boxes(30, 0)
    for _ in range(2):
        assert GIoULoss(fused=True)(pred, target) == GIoULoss()(pred, target)
    assert asked == ["boxes"]
    assert written.unavailable == "c++: it is not there"


@pytest.mark.compiler
def test_without_kernels_one_warning_says_what_is_used(used: Used, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise build.BuildError("c++: it is not there")

    monkeypatch.setattr(written, "kernel", missing)
    monkeypatch.setattr(written, "unavailable", None)
    written.tell_unavailable.cache_clear()
    monkeypatch.setattr(generated, "BACKEND", lambda graph, inputs: graph.forward)
    generated.compiled.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for loss in (GIoULoss(fused=True), GIoULoss(fused=True), DIoULoss(fused=True)):
            loss(*boxes(30, 0))
    generated.compiled.cache_clear()
    torch._dynamo.reset()
    told = [str(warning.message) for warning in said if "fused=True" in str(warning.message)]
    assert told == [
        "fused=True uses torch.compile alone, since its own kernels could not be built: c++: it is not there"
    ]


@pytest.mark.parametrize("fused", [False, True])
def test_weights_and_gradients_from_above_multiply(fused: bool) -> None:
    """1 - 25 / 175 + 50 / 225 of one pair; each factor alone, 2 included, which no shortcut may take for 1."""
    pred, target = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]])
    plain = pred.clone().requires_grad_()
    GIoULoss()(plain, target).backward()
    for weight in (0.5, 1.0, 2.0, 3.0):
        for above in (0.5, 1.0, 2.0, 3.0):
            leaf = pred.clone().requires_grad_()
            value = GIoULoss(loss_weight=weight, fused=fused)(leaf, target)
            assert value.item() == pytest.approx(weight * (1 - 25 / 175 + 50 / 225), rel=1e-6)
            (above * value).backward()
            torch.testing.assert_close(leaf.grad, weight * above * plain.grad)
