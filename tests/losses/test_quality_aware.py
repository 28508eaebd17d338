"""The quality-aware losses against published values, closed forms and each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import mmdet_losses as ml

LABEL = torch.tensor([1])
NAMES = ["MatchabilityAwareLoss", "RTDETRVarifocalLoss", "IABCELoss", "PositionSupervisedLoss"]


def row(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([[0.0, 2.0, -1.0]], dtype=dtype, requires_grad=True)


def pair(quality: float, label: Tensor = LABEL) -> tuple[Tensor, Tensor]:
    return label, torch.tensor([quality], dtype=torch.float64)


BACKGROUND = pair(0.0, torch.tensor([3]))
TARGET_OF = {"Rank-DETR": 0.7649425287, "focal": 1.0}


@pytest.mark.parametrize(
    ("name", "options", "target", "entries"),
    [
        ("MatchabilityAwareLoss", {}, pair(0.7), [0.2450645359, 0.9556039739, 0.0436911853]),
        ("MatchabilityAwareLoss", {}, pair(0.3), [0.2450645359, 1.798294477, 0.0436911853]),
        ("MatchabilityAwareLoss", {}, pair(0.0), [0.2450645359, 2.126928011, 0.0436911853]),
        ("MatchabilityAwareLoss", {}, BACKGROUND, [0.2450645359, 1.75819317, 0.0436911853]),
        ("RTDETRVarifocalLoss", {}, pair(0.7), [0.1299650964, 0.5088496077, 0.0169935431]),
        ("RTDETRVarifocalLoss", {}, pair(0.3), [0.1299650964, 0.4580784033, 0.0169935431]),
        ("RTDETRVarifocalLoss", {}, pair(0.0), [0.1299650964, 0.0, 0.0169935431]),
        ("IABCELoss", {}, pair(0.7), [0.1732867951, 0.6441624449, 0.0226580575]),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, pair(0.7), [0.1299650964, 0.00594037999, 0.0169935431]),
        ("PositionSupervisedLoss", {}, pair(0.5), [0.1299650964, 0.1618406787, 0.0169935431]),
    ],
)
def test_entries(name, options, target, entries):
    found = getattr(ml, name)(reduction="none", **options)(row(), target)
    assert found[0].tolist() == pytest.approx(entries, rel=1e-9, abs=6e-11)


@pytest.mark.parametrize(
    ("name", "options", "target", "total"),
    [
        ("MatchabilityAwareLoss", {"gamma": 2.0}, pair(0.7), 1.342872864),
        ("MatchabilityAwareLoss", {"gamma": 2.0}, pair(0.3), 2.142872864),
        ("MatchabilityAwareLoss", {"gamma": 2.0}, BACKGROUND, 1.846023032),
        ("MatchabilityAwareLoss", {"alpha": 0.75}, pair(0.7), 1.172170765),
        ("MatchabilityAwareLoss", {"alpha": 0.75}, pair(0.3), 2.014861267),
        ("RTDETRVarifocalLoss", {}, pair(0.0), 0.1469586395),
        ("RTDETRVarifocalLoss", {}, BACKGROUND, 1.384517274),
        ("IABCELoss", {}, pair(0.3), 1.537474661),
        ("IABCELoss", {}, pair(0.0), 2.302872864),
        ("IABCELoss", {}, BACKGROUND, 1.846023032),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, pair(0.49), 0.1907490265),
        ("PositionSupervisedLoss", {}, pair(0.7), 0.1907490265),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, pair(0.5), 0.1878115871),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, pair(0.3), 0.2757264811),
        ("PositionSupervisedLoss", {}, BACKGROUND, 1.384517274),
        ("PositionSupervisedLoss", {}, pair(0.0), 0.5594781843),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, pair(TARGET_OF["Rank-DETR"]), 0.1489620584),
        ("PositionSupervisedLoss", {}, pair(1.0), 0.1474095302),
    ],
)
def test_row_sums(name, options, target, total):
    assert getattr(ml, name)(reduction="sum", **options)(row(), target).item() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "quality", "gradient"),
    [
        ("MatchabilityAwareLoss", {}, 0.7, [0.1767766953, 0.2951350595, 0.0375097560]),
        ("MatchabilityAwareLoss", {}, 0.3, [0.1767766953, 0.7164803106, 0.0375097560]),
        ("RTDETRVarifocalLoss", {}, 0.7, [0.09375, 0.1265579546, 0.0145892966]),
        ("RTDETRVarifocalLoss", {"detach_weight": False}, 0.7, [0.2237150963, 0.1265579546, 0.0394358475]),
        ("IABCELoss", {}, 0.7, [0.2982867952, 0.139414295, 0.0525811300]),
        ("IABCELoss", {}, 0.3, [0.2982867952, 0.4880979766, 0.0525811300]),
        ("IABCELoss", {"detach_weight": True}, 0.7, [0.125, 0.139414295, 0.0194523953]),
        ("PositionSupervisedLoss", {"quality_power": 1.0}, 0.7, [0.2237150963, 0.0083769225, 0.0394358475]),
        ("PositionSupervisedLoss", {}, 0.5, [0.2237150963, 0.1166247543, 0.0394358475]),
    ],
)
def test_gradients_tell_what_is_detached(name, options, quality, gradient):
    """A factor that is detached or not changes these by far more than the tolerance."""
    pred = row()
    getattr(ml, name)(reduction="sum", **options)(pred, pair(quality)).backward()
    assert pred.grad[0].tolist() == pytest.approx(gradient, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize(("name", "value"), [("MatchabilityAwareLoss", 1.13391707), ("IABCELoss", 0.8815594068)])
def test_two_rows(name, value):
    pred = row().expand(2, 3)
    target = torch.tensor([1, 3]), torch.tensor([0.7, 0.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert getattr(ml, name)()(pred, target, weight, avg_factor=2).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("MatchabilityAwareLoss", [0.2450645359, 5856.620186, 1e4]),
        ("RTDETRVarifocalLoss", [0.1299650964, 4900.0, 7500.0]),
        ("IABCELoss", [0.1732867951, 100.0, 1e4]),
    ],
)
def test_large_logits(name, entries, dtype):
    pred = torch.tensor([[0.0, -1e4, 1e4]], dtype=dtype, requires_grad=True)
    exact = pred.detach().double().tolist()[0]  # bfloat16 rounds 1e4
    found = getattr(ml, name)(reduction="none")(pred, pair(0.7))
    scale = [1.0, -exact[1] / 1e4, exact[2] / 1e4]
    assert found[0].tolist() == pytest.approx([a * b for a, b in zip(entries, scale, strict=True)], rel=1e-6)
    found.sum().backward()
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize(("logit", "total"), [(-104.0, 0.8174492400), (17.0, 17.81744787), (9.0, 9.815351647)])
def test_iabce_where_the_public_code_is_not_finite(logit, total):
    """Its logarithms of rounded probabilities are NaN at -104, and infinite at 17 in float32 and at 9 in bfloat16."""
    pred = torch.tensor([[0.0, 2.0, logit]])
    assert ml.IABCELoss(reduction="sum")(pred, pair(0.7)).item() == pytest.approx(total, rel=1e-6)


def test_position_supervised_of_quality_1_is_focal_loss():
    generator = torch.Generator().manual_seed(0)
    pred, label = 3 * torch.randn(50, 4, generator=generator), torch.randint(0, 5, (50,), generator=generator)
    for options in ({}, {"alpha": 0.5, "gamma": 1.5}):
        found = ml.PositionSupervisedLoss(reduction="none", **options)(pred, label)
        torch.testing.assert_close(found, ml.FocalLoss(reduction="none", **options)(pred, label))


def test_rtdetr_form_has_the_value_of_varifocal_loss_where_a_positive_has_a_quality():
    generator = torch.Generator().manual_seed(1)
    pred, label = 3 * torch.randn(50, 4, generator=generator), torch.randint(0, 5, (50,), generator=generator)
    quality = torch.rand(50, generator=generator) + 0.01
    dense = torch.zeros(50, 5).scatter(1, label[:, None], quality[:, None])[:, :4]
    found = ml.RTDETRVarifocalLoss(reduction="none")(pred, (label, quality))
    torch.testing.assert_close(found, ml.VarifocalLoss(reduction="none")(pred, dense.clamp(max=1)))


def test_a_match_of_quality_0_is_background_in_a_dense_target_alone():
    for name, labelled, dense in [
        ("MatchabilityAwareLoss", 2.415683732, 2.046948891),
        ("RTDETRVarifocalLoss", 0.1469586395, 1.384517274),
    ]:
        loss = getattr(ml, name)(reduction="sum")
        assert loss(row(), pair(0.0)).item() == pytest.approx(labelled, rel=1e-9)
        assert loss(row(), torch.zeros(1, 3, dtype=torch.float64)).item() == pytest.approx(dense, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_labels_alone_have_quality_1(name):
    loss = getattr(ml, name)(reduction="none")
    assert torch.equal(loss(row(), LABEL), loss(row(), pair(1.0)))
    assert torch.equal(loss(row(), torch.tensor([[0.0, 1, 0]])), loss(row(), pair(1.0)))


@pytest.mark.parametrize("name", NAMES)
def test_qualities_are_clamped_and_detached(name):
    """An IoU computed with an eps, or a GIoU, can lie outside of [0, 1]."""
    loss = getattr(ml, name)(reduction="none")
    for given, means in ((-0.2, 0.0), (1.3, 1.0)):
        assert torch.equal(loss(row(), pair(given)), loss(row(), pair(means)))
    label, quality = pair(0.7)
    quality.requires_grad_()
    loss(row(), (label, quality)).sum().backward()
    assert quality.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_dense_qualities_are_clamped(name):
    """A quality below 0 is that of background."""
    loss, pred = getattr(ml, name)(reduction="none"), torch.tensor([[0.5, -1, 2, 0.3]])
    assert torch.equal(loss(pred, torch.tensor([[1.5, 1, -0.5, 0]])), loss(pred, torch.tensor([[1.0, 1, 0, 0]])))


@pytest.mark.parametrize("name", NAMES)
def test_fractional_power_at_a_fit(name):
    """Where the probability is the target, a power below 1 has no slope."""
    quality = torch.tensor([0.5], dtype=torch.float64)
    options = {"quality_power": 1.0} if name == "PositionSupervisedLoss" else {}
    pred = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    getattr(ml, name)(gamma=0.5, **options)(pred, (LABEL, quality)).backward()
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_nan_quality_is_seen(name):
    loss = getattr(ml, name)(reduction="none")
    assert loss(row(), pair(math.nan))[0, 1].isnan()
    assert loss(row(), torch.tensor([[0.0, math.nan, 0.0]]))[0, 1].isnan()


@pytest.mark.parametrize("form", ["tuple", "dense"])
def test_normalize_divides_by_the_largest_quality_that_counts(form):
    """t = q^2 / max q; by hand 0.3^2 / 0.6 and 0.6^2 / 0.6. A row of weight 0, or background, does not count."""
    pred = row().detach().expand(4, 3)
    label, quality = torch.tensor([1, 1, 1, 3]), torch.tensor([0.3, 0.6, 0.9, 0.95], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0])
    dense = torch.zeros(4, 4, dtype=torch.float64).scatter(1, label[:, None], quality[:, None])[:, :3]
    target = (label, quality) if form == "tuple" else dense
    found = ml.PositionSupervisedLoss(reduction="none", normalize="call")(pred, target, weight)
    plain = ml.PositionSupervisedLoss(reduction="none", quality_power=1.0)
    for index, by_hand in ((0, 0.15), (1, 0.6)):
        torch.testing.assert_close(found[index], plain(row(), pair(by_hand))[0], rtol=1e-7, atol=0)
    none = ml.PositionSupervisedLoss(normalize="call")(pred[:0], (label[:0], quality[:0]))
    assert none.item() == 0


def test_normalize_does_not_lower_targets():
    """The authors' factor is max(1 / max q, 1)."""
    loss = ml.PositionSupervisedLoss(reduction="none", normalize="call")
    torch.testing.assert_close(loss(row(), pair(1.0)), ml.PositionSupervisedLoss(reduction="none")(row(), pair(1.0)))


@pytest.mark.parametrize("name", NAMES)
def test_errors(name):
    loss = getattr(ml, name)()
    pred = torch.zeros(2, 3)
    for target, message in [
        ((torch.zeros(2), torch.zeros(2)), r"target\[0\] must hold integer labels"),
        ((torch.tensor([0, 1]), torch.zeros(2, 3)), r"target\[1\] must have shape \(2,\)"),
        ((torch.tensor([0, 1]),), "tuple of labels and qualities"),
        (torch.zeros(2, 4), "shape of pred"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss(pred, target)
    with pytest.raises(ValueError, match=r"pred must have shape \(n, c\).*GroundingDINOHead.*FocalLoss"):
        loss(torch.zeros(3), torch.zeros(3))


@pytest.mark.parametrize(
    ("power", "weights"),
    [(1.0, [0.0270270270, 0.2702702703, 2.702702703]), (0.5, [0.2118303335, 0.6698663314, 2.118303335])],
)
@pytest.mark.parametrize("name", [*NAMES, "QualityFocalLoss", "VarifocalLoss"])
def test_class_weights_by_counts(name, power, weights):
    """(1 / count)^power with a mean of 1, on the entries of each class."""
    counted = getattr(ml, name)(class_weight=dict(counts=[100, 10, 1], power=power), reduction="sum")
    assert counted.class_weight == pytest.approx(weights, rel=1e-8)
    dense = torch.tensor([[0.0, 0.7, 0.0]], dtype=torch.float64)
    plain = getattr(ml, name)(reduction="sum")
    by_class = [
        plain(row(), dense).item()
        - plain(torch.where(torch.arange(3) == k, -1e4, row()), dense * (torch.arange(3) != k))
        for k in range(3)
    ]
    total = sum(weight * float(part) for weight, part in zip(weights, by_class, strict=True))
    assert counted(row(), dense).item() == pytest.approx(total, rel=1e-8)


@pytest.mark.parametrize(
    "wrong", [dict(counts=[1, 0]), dict(counts=[1, 2], power=-1), dict(counts=[1, 0], power=1), 2.0]
)
def test_wrong_class_weights(wrong):
    for name in (*NAMES, "QualityFocalLoss", "VarifocalLoss"):
        with pytest.raises(ValueError, match=r"class_weight must be None, one number per class.*counts"):
            getattr(ml, name)(class_weight=wrong)
