"""Both sides of the ledger's entries on torchvision and ultralytics, whose formulas stand here in plain numbers."""

from __future__ import annotations

import math

import pytest
import torch

import mmdet_losses as ml

EPS = 1e-7
"""What both add to denominators."""


def overlap_of_equal_squares(side: float) -> float:
    """IoU of a square with itself where ``eps`` is added to the union."""
    return side**2 / (side**2 + EPS)


@pytest.mark.parametrize("name", ["IoULoss", "GIoULoss", "DIoULoss", "CIoULoss"])
def test_small_boxes_do_not_match_themselves_with_an_eps_in_the_union(name):
    """At a side of 1e-4 torchvision's and ultralytics' loss of a perfect match is 0.91."""
    assert 1 - overlap_of_equal_squares(1e-4) == pytest.approx(1 / 1.1)
    box = torch.tensor([[0.0, 0, 1e-4, 1e-4]])
    assert getattr(ml, name)()(box, box).abs() <= 1e-6


def test_ciou_of_a_zero_target_is_nan_in_torchvision():
    """The aspect ratio is 0/0 there; ultralytics has an eps under it, as mmdet."""
    zero = torch.zeros(())
    assert torch.atan(zero / zero).isnan()
    loss = ml.CIoULoss()(torch.tensor([[10.0, 10, 30, 40]]), torch.zeros(1, 4))
    assert 1 < loss < 2


def test_dfl_of_the_last_bin_is_cut_short_in_ultralytics():
    """Targets are clamped to 0.01 before the last bin there, in the caller's tensor; here to the last bin."""
    logits, target = [0.0, 1.0, 2.0, -1.0, 0.5], 4.0
    total = math.log(sum(map(math.exp, logits)))
    theirs = 0.01 * (total - logits[3]) + 0.99 * (total - logits[4])
    ours = total - logits[4]
    assert theirs - ours == pytest.approx(0.015)
    given = torch.tensor([target], dtype=torch.float64)
    loss = ml.DistributionFocalLoss()(torch.tensor([logits], dtype=torch.float64), given)
    assert loss.item() == pytest.approx(ours)
    assert given.item() == target


def test_focal_loss_has_other_defaults_in_ultralytics():
    """A power of 1.5 there, and the sum over rows of the mean over classes; here the paper's 2 and the mean."""
    pred, label = torch.tensor([[0.0, 2.0, -1.0]], dtype=torch.float64), torch.tensor([1])
    probability = [0.5, 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    ce = [-math.log(1 - probability[0]), -math.log(probability[1]), -math.log(1 - probability[2])]
    miss = [probability[0], 1 - probability[1], probability[2]]
    share = [0.75, 0.25, 0.75]
    by_power = {g: sum(a * m**g * c for a, m, c in zip(share, miss, ce, strict=True)) / 3 for g in (1.5, 2.0)}
    assert by_power[1.5] > 1.3 * by_power[2.0]
    assert ml.FocalLoss()(pred, label).item() == pytest.approx(by_power[2.0])
    assert ml.FocalLoss(gamma=1.5)(pred, label).item() == pytest.approx(by_power[1.5])


def test_focal_alpha_is_switched_off_by_a_negative_number_in_torchvision():
    """Here by None, and a negative one is refused."""
    pred, label = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([1])
    with pytest.raises(ValueError, match="alpha must be"):
        ml.FocalLoss(alpha=-1.0)
    plain = ml.FocalLoss(alpha=None, gamma=0.0, reduction="sum")(pred, label)
    assert plain.item() == pytest.approx(1.133336879, rel=1e-6)


def test_varifocal_positives_of_quality_zero_weigh_nothing_in_ultralytics():
    """A mask of labels says what is positive there, with the quality as weight; a quality of 0 is a negative here."""
    probability = 1 / (1 + math.exp(-1.0))
    negative = 0.75 * probability**2 * -math.log(1 - probability)
    loss = ml.VarifocalLoss(reduction="sum")(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    assert loss.item() == pytest.approx(negative, rel=1e-6)
    assert negative > 0.5
