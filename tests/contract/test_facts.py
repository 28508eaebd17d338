"""What the classes say of themselves holds."""

import math

import pytest
import torch
from cases import (
    BINS,
    BOX_CASES,
    CASES,
    COORDINATE_CASES,
    RANK_CASES,
    SIDE_CASES,
    draw_boxes,
    one_per_class,
    over,
)
from cases.composite import COMPOSITE_CASES
from cases.embeddings import OTHER

import mmdet_losses as ml
from mmdet_losses.registry import LOSSES

N = 400


def far_boxes(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of very different sizes anywhere, most of them disjoint, some degenerate."""
    g = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(n, 2, generator=g, dtype=torch.float64) * 1000 for _ in range(2))
    sizes = [10 ** (torch.rand(n, 2, generator=g, dtype=torch.float64) * 5 - 2) for _ in range(2)]
    return tuple(torch.cat([c - s / 2, c + s / 2], 1) for c, s in zip((first, second), sizes, strict=True))


def test_every_loss_has_a_case():
    covered = {case.name for case in CASES + RANK_CASES + COMPOSITE_CASES} | OTHER
    assert covered == {loss_class.__name__ for loss_class in LOSSES.values()}
    for name, loss_class in LOSSES.items():
        assert issubclass(getattr(ml, name), loss_class) or issubclass(loss_class, getattr(ml, name))


@over(one_per_class())
def test_facts_are_declared(case):
    cls = case.loss_class
    slot = {"box": "bbox", "sides": "bbox", "rotated": "rbox", "coordinate": "bbox"}.get(case.kind, case.kind)
    assert cls.slot == slot
    assert cls.boxes is (case.kind in ("box", "sides"))
    assert bool(cls.unit) is (cls.boxes and not cls.scale_invariant)
    assert isinstance(cls.paper, str)
    low, high = cls.bounds
    assert low <= (cls.best or 0) <= high
    assert isinstance(cls.scale_invariant, bool)
    assert isinstance(cls.symmetric, bool)
    assert cls.__doc__


@over(CASES)
def test_bounds(case):
    low, high = case.build().bounds
    batches = [case.batch(N, torch.float64, seed=5)]
    if case.kind in ("box", "sides"):
        batches.append(far_boxes(N))
    for pred, target in batches:
        value = case.build(reduction="none")(pred, target)
        assert value.min() >= low - 1e-12
        if not (case.options.get("power") or "alpha" in case.options):
            assert value.max() <= high + 1e-12


# the bounds of these are those over all of their options
MANY_BOUNDS = ("FocalEIoULoss", "AlphaIoULoss", "InnerIoULoss", "FocalerIoULoss", "UnifiedIoULoss")
BOUNDED = [case for case in BOX_CASES + SIDE_CASES if not case.options and math.isfinite(case.loss_class.bounds[1])]


@over([case for case in BOUNDED if case.name not in MANY_BOUNDS])
def test_bounds_are_not_idle(case):
    """Pairs chosen for it come near the upper bound."""
    _, high = case.loss_class.bounds
    corner = [[0, 0, 1, 1], [1e6, 1e6, 1e6 + 1, 1e6 + 1]]
    crossed = [[0, 0, 1e-3, 1e6], [2e6, 2e6, 4e6, 2e6 + 1e-3]]
    sideways = [[0, 0, 1, 1], [1e6, 0, 2e6, 1e6]]
    drawn = torch.tensor([corner, crossed, sideways], dtype=torch.float64)
    pred, target = (torch.cat([drawn[:, i], x]) for i, x in enumerate(far_boxes(4000, 1)))
    assert case.build(reduction="none")(pred, target).max() >= 0.5 * high


def test_bound_of_the_modified_forms_is_that_of_their_largest_base():
    pred, target = torch.tensor([[0.0, 0, 1e-3, 1e6]]), torch.tensor([[2e6, 2e6, 4e6, 2e6 + 1e-3]])
    for name in ("AlphaIoULoss", "InnerIoULoss", "FocalerIoULoss", "UnifiedIoULoss"):
        _, high = getattr(ml, name).bounds
        values = [getattr(ml, name)(base=base)(pred, target).item() for base in ml.functional.BASES]
        assert 0.5 * high <= max(values) <= high


@over(SIDE_CASES)
def test_bounded_iou_is_zero_at_a_match_up_to_its_eps(case):
    target = torch.tensor([[0.0, 0, 10, 10]], dtype=torch.float64)
    value = case.build(reduction="none")(target, target)[0]
    assert case.loss_class.best is None
    assert (value[:2] if case.options else value).tolist() == pytest.approx(
        [0.0, 0.0] if case.options else [2.4995e-08] * 4, rel=1e-5
    )
    assert (value == 0).all() if case.options.get("eps") == 0 else (value > 0).all()


@over(BOX_CASES + COORDINATE_CASES)
def test_best_value_is_that_of_a_perfect_match(case):
    for pred in (case.batch(N, torch.float64)[0], far_boxes(N)[0]):
        value = case.build(reduction="none")(pred, pred)
        assert case.loss_class.best == 0
        assert value.abs().max() <= 1e-12


def test_best_value_of_classification():
    """Loss of a confident and right prediction; None where the target decides."""
    logits, label = torch.tensor([[60.0, -60.0, -60.0]], dtype=torch.float64), torch.tensor([0])
    one_hot = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    for loss, target in (
        (ml.CrossEntropyLoss(), label),
        (ml.CrossEntropyLoss(use_sigmoid=True), label),
        (ml.FocalLoss(), label),
        (ml.FocalLoss(use_sigmoid=False), label),
        (ml.Poly1FocalLoss(), label),
        (ml.Poly1CrossEntropyLoss(), label),
        (ml.AsymmetricLoss(), label),
        (ml.EqualizationLoss([0.001, 0.5, 0.0001]), label),
    ):
        assert loss.best == 0
        assert loss(logits, target).item() < 1e-20
    quality = 0.7
    right = torch.full_like(one_hot, -60.0)
    right[0, 0] = math.log(quality / (1 - quality))
    assert ml.QualityFocalLoss().best == 0
    assert ml.QualityFocalLoss()(right, quality * one_hot).item() < 1e-20
    # a perfect positive costs q times the entropy of q: 0.7 (-0.7 ln 0.7 - 0.3 ln 0.3)
    assert ml.VarifocalLoss.best is None
    assert ml.VarifocalLoss(reduction="sum")(right, quality * one_hot).item() == pytest.approx(0.42760502)
    assert ml.DistributionFocalLoss.best is None


@over(BOX_CASES + SIDE_CASES + COORDINATE_CASES)
def test_symmetry(case):
    pred, target = case.batch(N, torch.float64)
    if case.kind in ("box", "sides"):
        pred, target = (torch.cat(pair) for pair in zip((pred, target), far_boxes(N), strict=True))
    loss = case.build(reduction="none")
    same = torch.allclose(loss(pred, target), loss(target, pred), rtol=1e-9, atol=1e-12)
    if case.id == "ShapeIoULoss":
        assert same  # with scale 0 the target's shape has no weight
    else:
        assert same is case.loss_class.symmetric


@over(BOX_CASES + COORDINATE_CASES)
def test_scale_invariance(case):
    pred, target = case.batch(N, torch.float64)
    loss = case.build(reduction="none")
    plain = loss(pred, target)
    for factor in (1e-3, 0.37, 1e3):
        same = torch.allclose(loss(pred * factor, target * factor), plain, rtol=1e-9, atol=1e-12)
        assert same is case.loss_class.scale_invariant


@over(BOX_CASES)
def test_translation_mirror_and_transpose(case):
    loss = case.build(reduction="none")
    pred, target = (
        torch.cat(pair) for pair in zip(draw_boxes(torch.Generator().manual_seed(4), N), far_boxes(N), strict=True)
    )
    plain = loss(pred, target)
    shift = torch.tensor([3000.0, -7000.0] * 2, dtype=torch.float64)
    torch.testing.assert_close(loss(pred + shift, target + shift), plain, rtol=1e-7, atol=1e-9)

    def mirrored(boxes):
        return torch.stack([-boxes[:, 2], boxes[:, 1], -boxes[:, 0], boxes[:, 3]], 1)

    if case.name == "ExtendedIoULoss":
        # its signed intersection is measured from the top left corner, so disjoint boxes have a handedness
        assert not torch.allclose(loss(mirrored(pred), mirrored(target)), plain)
    else:
        torch.testing.assert_close(loss(mirrored(pred), mirrored(target)), plain, rtol=1e-9, atol=1e-12)

    def transposed(boxes):
        return boxes[:, [1, 0, 3, 2]]

    torch.testing.assert_close(loss(transposed(pred), transposed(target)), plain, rtol=1e-9, atol=1e-12)


# with its factor in the gradient, Focal-EIoU can fall by lowering the IoU
@over([case for case in BOX_CASES if case.options.get("detach", True) is not False])
def test_gradient_never_pushes_away_from_the_target(case):
    """Moving the prediction as the gradient says never takes equal-sized boxes apart."""
    g = torch.Generator().manual_seed(0)
    shift = torch.cat([torch.randn(N, 2, generator=g, dtype=torch.float64) * s for s in (0.2, 1.0, 5.0)])
    size = torch.rand(len(shift), 2, generator=g, dtype=torch.float64) * 100 + 10
    target = torch.cat([-size / 2, size / 2], 1)
    pred = (target + (shift * size).repeat(1, 2)).requires_grad_()
    case.build(reduction="sum")(pred, target).backward()
    pull = -(pred.grad[:, :2] + pred.grad[:, 2:])
    assert ((pull * -shift * size).sum(1) >= -1e-9).all()


def test_distribution_focal_loss_is_least_at_the_two_bins():
    target = torch.linspace(0, BINS - 1, 50, dtype=torch.float64)
    left = target.floor().long().clamp(max=BINS - 2)
    share = target - left
    probability = torch.zeros(50, BINS, dtype=torch.float64)
    probability.scatter_(1, left[:, None], 1 - share[:, None]).scatter_(1, left[:, None] + 1, share[:, None])
    best = probability.clamp(min=1e-30).log().requires_grad_()
    ml.DistributionFocalLoss(reduction="sum")(best, target).backward()
    assert best.grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    "name", ["FocalLoss", "QualityFocalLoss", "VarifocalLoss", "AsymmetricLoss", "GaussianFocalLoss"]
)
def test_sigmoid_losses_say_so(name):
    """Heads read ``use_sigmoid`` from the module."""
    assert getattr(ml, name)().use_sigmoid is True


@pytest.mark.parametrize("name", ["FocalLoss", "Poly1FocalLoss", "Poly1CrossEntropyLoss", "LabelSmoothLoss"])
@pytest.mark.parametrize("use_sigmoid", [True, False])
def test_losses_of_two_forms_say_which(name, use_sigmoid):
    assert getattr(ml, name)(use_sigmoid=use_sigmoid).use_sigmoid is use_sigmoid


def test_cross_entropy_says_whether_it_is_a_sigmoid():
    assert ml.CrossEntropyLoss().use_sigmoid is False
    assert ml.CrossEntropyLoss(use_sigmoid=True).use_sigmoid is True
    assert ml.CrossEntropyLoss(use_mask=True).use_mask is True
