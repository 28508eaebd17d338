"""Slide loss against published values, its mean by hand, and the running mean over iterations and calls."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F

LOGITS = torch.tensor([[0.0, 2.0, -1.0]], dtype=torch.float64)


def pair(*qualities: float, label: int = 1) -> tuple[Tensor, Tensor]:
    return torch.full((len(qualities),), label), torch.tensor(qualities, dtype=torch.float64)


def running(mean: float) -> ml.EMASlideLoss:
    loss = ml.EMASlideLoss(reduction="none")
    loss.quality_mean.fill_(mean)
    return loss


@pytest.mark.parametrize("form", ["tuple", "dense"])
def test_bands(form):
    """Above the mean, between it and 0.1 below, and beyond; the middle one is exp(1 - m), not exp(m)."""
    target = pair(0.7) if form == "tuple" else torch.tensor([[0.0, 0.7, 0.0]], dtype=torch.float64)
    found = running(0.5)(LOGITS, target)
    assert found[0].tolist() == pytest.approx([0.6931471806, 0.9812501782, 0.3132616875], rel=1e-9)
    assert running(0.75)(LOGITS, target).sum().item() == pytest.approx(1.93980291, rel=1e-8)
    plain = ml.CrossEntropyLoss(use_sigmoid=True, reduction="none")(LOGITS, torch.tensor([[0.0, 0.7, 0.0]]).double())
    assert torch.allclose(running(0.85)(LOGITS, target), plain)


def test_the_mean_is_at_least_0_2():
    label, quality = pair(0.1)
    found = running(0.05)(LOGITS, (label, quality))[0, 1]
    cost = math.log1p(math.exp(2.0)) - 0.1 * 2.0
    assert found.item() == pytest.approx(cost, rel=1e-9)  # 0.1 is 0.1 below 0.2


@pytest.mark.parametrize("form", ["tuple", "dense"])
def test_the_mean_is_that_of_the_positives_that_count(form):
    """0.3 and 0.6, mean 0.45: weights 1 and exp(0.4); 0.9 has weight 0, and the last row is background."""
    quality, label = torch.tensor([0.3, 0.6, 0.9, 0.95], dtype=torch.float64), torch.tensor([1, 1, 1, 3])
    dense = torch.zeros(4, 4, dtype=torch.float64).scatter(1, label[:, None], quality[:, None])[:, :3]
    target = (label, quality) if form == "tuple" else dense
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = ml.SlideLoss(reduction="none")(LOGITS.expand(4, 3), target, weight)
    cost = [math.log1p(math.exp(2.0)) - q * 2.0 for q in (0.3, 0.6)]
    assert found[:2, 1].tolist() == pytest.approx([cost[0], math.exp(0.4) * cost[1]], rel=1e-9)
    function = ml.functional.slide_loss(LOGITS.expand(2, 3), (label[:2], quality[:2]))
    torch.testing.assert_close(function, found[:2])


def test_labels_alone_are_plain_cross_entropy():
    """Quality 1 is at the mean: exp(0)."""
    found = ml.SlideLoss(reduction="none")(LOGITS, torch.tensor([1]))
    torch.testing.assert_close(
        found, ml.CrossEntropyLoss(use_sigmoid=True, reduction="none")(LOGITS, torch.tensor([1]))
    )


def test_no_positives_and_no_rows():
    loss = ml.SlideLoss(reduction="sum")
    cost = sum(math.log1p(math.exp(z)) for z in (0.0, 2.0, -1.0))
    assert loss(LOGITS, pair(0.0, label=3)).item() == pytest.approx(cost)
    assert loss(LOGITS[:0], (torch.zeros(0, dtype=torch.int64), torch.zeros(0))).item() == 0


def test_running_mean():
    """After positives of 0.6, then 0.5; an iteration without positives changes nothing."""
    loss = ml.EMASlideLoss()
    for quality, label, mean in ((0.6, 1, 0.6001997501), (0.5, 1, 0.5001000495), (0.9, 3, 0.5001000495)):
        loss(LOGITS, pair(quality, label=label))
        ml.commit_statistics(loss)
        assert loss.quality_mean.item() == pytest.approx(mean, rel=1e-6)
    assert loss.updates.item() == 2


def test_calls_of_an_iteration_are_one_update():
    once, twice = ml.EMASlideLoss(), ml.EMASlideLoss()
    once(LOGITS.expand(3, 3), pair(0.2, 0.4, 0.9))
    twice(LOGITS.expand(2, 3), pair(0.2, 0.4))
    twice(LOGITS, torch.tensor([[0.0, 0.9, 0.0]]))
    for loss in (once, twice):
        ml.commit_statistics(loss)
    torch.testing.assert_close(once.quality_mean, twice.quality_mean)
    assert set(once.state_dict()) == {"quality_mean", "updates"}


def test_a_wide_mean_does_not_widen_the_loss():
    pred, target = torch.tensor([[0.5, -1.0]]), (torch.tensor([0]), torch.tensor([0.3]))
    narrow, wide = (F.slide_loss(pred, *target, torch.tensor(0.35, dtype=d)) for d in (torch.float32, torch.float64))
    assert wide.dtype == torch.float32 and torch.equal(narrow, wide)
