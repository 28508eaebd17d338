"""Bins at any distance: D-FINE's, its targets and its loss."""

from __future__ import annotations

import pytest
import torch

import mmdet_losses as ml
from mmdet_losses import functional as F

LOGITS = [0.0, 1, 2, -1, 0.5, 0, 0.3, -0.2, 0.1]


def tensor(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_bins_of_dfine():
    bins = F.dfine_bins()
    assert len(bins) == 33
    assert bins[:5] == pytest.approx([-4, -2, -1.788130974, -1.591224775, -1.408224685], rel=1e-9)
    assert bins[14:19] == pytest.approx([-0.1577536725, -0.0759896247, 0, 0.0759896247, 0.1577536725], abs=6e-11)
    eight = [-4, -2, -1.080083823, -0.4422495703, 0, 0.4422495703, 1.080083823, 2, 4]
    assert F.dfine_bins(8) == pytest.approx(eight, rel=1e-9)
    assert F.dfine_bins(4) == pytest.approx([-4, -2, 0, 2, 4])
    large = F.dfine_bins(reg_scale=8)
    assert large[:3] == pytest.approx([-8, -4, -3.491299369], rel=1e-9)
    assert large[17] == pytest.approx(0.1132635768, rel=1e-9)
    for wrong in (2, 7):
        with pytest.raises(ValueError, match="reg_max must be an even number"):
            F.dfine_bins(wrong)


def shares(distance: float, bins: list[float]) -> tuple[int, float]:
    """The left one of the two bins that a distance trains, and the share of the right one, read off the gradient."""
    pred = torch.zeros(1, len(bins), dtype=torch.float64, requires_grad=True)
    F.distribution_focal_loss(pred, tensor([distance]), bins=tensor(bins)).sum().backward()
    target = 1 / len(bins) - pred.grad[0]
    left = int((target > 1e-12).nonzero()[0])
    return (left, target[left + 1].item()) if left + 1 < len(bins) else (left - 1, 1.0)


@pytest.mark.parametrize(
    ("box", "intervals", "expected"),
    [
        ([5.0, 8, 15, 12], 32, [(21, 0.526939193), (9, 0.0263141155)] * 2),
        ([5.0, 8, 15, 12], 8, [(5, 0.0905414368), (2, 0.6481576595)] * 2),
        ([-30.0, 9.9, 30, 10.1], 8, [(7, 1.0), (1, 0.0724703710)] * 2),
    ],
)
def test_targets_and_shares(box, intervals, expected):
    distances = F.fgl_targets(tensor([[10.0, 10, 8, 6]]), tensor([box]))[0]
    found = [shares(distance, F.dfine_bins(intervals)) for distance in distances.tolist()]
    assert [left for left, _ in found] == [left for left, _ in expected]
    assert [right for _, right in found] == pytest.approx([right for _, right in expected], abs=1e-9)


def test_fine_grained_localisation_loss():
    """The sides summed, weighed by the IoU."""
    targets = F.fgl_targets(tensor([[10.0, 10, 8, 6]]), tensor([[5.0, 8, 15, 12]])).flatten()
    pred = tensor([LOGITS] * 4)
    for loss in (
        ml.DistributionFocalLoss(bins=F.dfine_bins(8)),
        ml.DistributionFocalLoss(bins=tensor(F.dfine_bins(8))),
    ):
        found = loss(pred, targets, reduction_override="none")
        assert found.tolist() == pytest.approx([2.829175532, 2.800810941] * 2, rel=1e-9)
        total = loss(pred, targets, torch.full((4,), 0.4), avg_factor=1)
        assert total.item() == pytest.approx(4.503989178, rel=1e-6)


def test_even_bins_are_a_range():
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(50, 9, generator=g), torch.rand(50, generator=g) * 8 - 2
    table = [-1.5 + 0.75 * k for k in range(9)]
    even = ml.DistributionFocalLoss(y_min=-1.5, y_max=4.5, reduction="none")(pred, target)
    torch.testing.assert_close(ml.DistributionFocalLoss(bins=table, reduction="none")(pred, target), even)
    torch.testing.assert_close(ml.Integral(bins=table)(pred), ml.Integral(-1.5, 4.5, 9)(pred))


def test_expectation_of_uneven_bins():
    """Of a uniform distribution their mean, of a certain one its bin; for each of two distances."""
    table = [-4.0, -1.0, 0.5, 7.0]
    layer = ml.Integral(bins=table)
    assert layer(torch.zeros(3, 4)).tolist() == pytest.approx([0.625] * 3)
    certain = torch.tensor([[0.0, 99, 0, 0, 0, 0, 0, 99]])
    assert layer(certain)[0].tolist() == pytest.approx([-1.0, 7.0])


def test_wide_bins_do_not_widen_the_loss():
    bins = torch.tensor([0.0, 1, 4], dtype=torch.float64)
    assert F.distribution_focal_loss(torch.zeros(2, 3), torch.ones(2), bins=bins).dtype == torch.float32
    distance = F.integral(torch.zeros(2, 2, 3), bins=bins)
    assert distance.dtype == torch.float32 and distance.tolist() == [[pytest.approx(5 / 3)] * 2] * 2
    assert F.integral(torch.zeros(2, 5, 6), bins=bins).shape == (2, 5, 2)


def test_form_for_a_compiler(monkeypatch):
    """Before the first bin, between bins, at one, and beyond the last; a certain logit has no share elsewhere."""
    pred, target = torch.randn(6, 4, dtype=torch.float64), tensor([-1.0, 0.25, 1, 2.5, 4, 9])
    pred[1, 3] = -torch.inf
    bins = tensor([0.0, 1, 2, 4])
    for options in ({"bins": bins}, {"y_max": 4.0}):
        eager = F.distribution_focal_loss(pred, target, **options)
        with monkeypatch.context() as patch:
            patch.setattr("mmdet_losses.functional.distribution.is_compiling", lambda: True)
            torch.testing.assert_close(F.distribution_focal_loss(pred, target, **options), eager)
            meta = {name: value.to("meta") if name == "bins" else value for name, value in options.items()}
            assert F.distribution_focal_loss(pred.to("meta"), target.to("meta"), **meta).device.type == "meta"


def test_compiled_forms_agree():
    g = torch.Generator().manual_seed(1)
    pred, target = torch.randn(40, 9, generator=g), torch.rand(40, generator=g) * 10 - 5
    bins = torch.tensor(F.dfine_bins(8))
    compiled = torch.compile(F.distribution_focal_loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(pred, target, bins=bins), F.distribution_focal_loss(pred, target, bins=bins))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": [1.0]}, "ascending distances of"),
        ({"bins": [0.0, 0.0, 1.0]}, "ascending"),
        ({"bins": [0.0, 1.0], "y_min": 0.5}, "bins must be left out with y_min"),
        ({"bins": [0.0, 1.0], "y_max": 2.0}, "bins must be left out with y_min"),
    ],
)
def test_wrong_bins(options, message):
    for kind in (ml.DistributionFocalLoss, ml.Integral):
        with pytest.raises(ValueError, match=message):
            kind(**options)


def test_bins_of_another_number_and_targets_beyond():
    loss = ml.DistributionFocalLoss(bins=[0.0, 1.0, 4.0], debug=True)
    with pytest.raises(ValueError, match="bins must have 5 entries"):
        loss(torch.zeros(2, 5), torch.zeros(2))
    with pytest.raises(ValueError, match=r"distances, 0 to 4 .* got 5"):
        loss(torch.zeros(2, 3), torch.tensor([0.5, 5.0]))
