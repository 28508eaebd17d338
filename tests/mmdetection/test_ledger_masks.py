"""The deviation ledger, both sides: mask losses, distillation and embeddings."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("mmdet.models")

import mmdet_losses as ml
from mmdet_losses.registry import stock

STUDENT, TEACHER = torch.tensor([[0.0, 1, 2, -1, 0.5]]), torch.tensor([[0.5, 1.5, 1, -2, 0]])


def both(name: str, **options):
    return getattr(ml, name)(**options), stock(name)(**options)


@pytest.mark.parametrize("name", ["DiceLoss", "KnowledgeDistillationKLDivLoss", "MultiPosCrossEntropyLoss"])
def test_no_rows_are_nan_in_mmdet(name):
    ours, theirs = both(name)
    pred, target = torch.zeros(0, 4), torch.zeros(0, 4)
    assert theirs(pred, target).isnan()
    assert ours(pred, target) == 0


def test_dice_of_a_large_mask_overflows_in_mmdet():
    ours, theirs = both("DiceLoss")
    pred, target = torch.zeros(1, 512, 512, dtype=torch.float16), torch.ones(1, 512, 512, dtype=torch.float16)
    leaf = pred.clone().requires_grad_()
    loss = theirs(leaf, target)
    loss.backward()
    assert (loss.item(), leaf.grad.abs().max().item()) == (1.0, 0.0)
    assert ours(pred, target).item() == pytest.approx(0.2, rel=1e-5)


def test_dice_broadcasts_a_target_in_mmdet():
    ours, theirs = both("DiceLoss")
    pred, target = torch.zeros(2, 4), torch.ones(1, 4)
    assert theirs(pred, target).isfinite()
    with pytest.raises(ValueError, match="target must have the shape of pred"):
        ours(pred, target)


def test_dice_takes_avg_factor_last_in_mmdet():
    ours, theirs = both("DiceLoss")
    pred, target, weight = torch.zeros(2, 4), torch.ones(2, 4), torch.ones(2)
    with pytest.raises(AssertionError):
        theirs(pred, target, weight, 4.0)
    assert ours(pred, target, weight, 4.0) == theirs(pred, target, weight, avg_factor=4.0)


def test_distillation_is_negative_in_mmdet_in_half_precision():
    ours, theirs = both("KnowledgeDistillationKLDivLoss")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert theirs(STUDENT.bfloat16(), TEACHER.bfloat16()) < 0
        found = ours(STUDENT.bfloat16(), TEACHER.bfloat16())
    assert found.item() == pytest.approx(0.0464, abs=5e-4)


def test_distillation_broadcasts_a_weight_in_mmdet():
    ours, theirs = both("KnowledgeDistillationKLDivLoss")
    pred, target = torch.tensor([[0.0, 1, 2], [3, 0, 0]]), torch.tensor([[1.0, 0, 0], [0, 0, 5]])
    weight = torch.tensor([[1.0], [0.0]])
    assert theirs(pred, target, weight).item() == pytest.approx(0.5509, abs=5e-5)
    assert ours(pred, target, weight).item() == pytest.approx(0.1309, abs=5e-5)


def test_an_ignored_entry_counts_twice_in_mmdet():
    ours, theirs = both("MultiPosCrossEntropyLoss")
    pred, target = torch.tensor([[1.0, 2, -1, 5]]), torch.tensor([[1, 0, 0, -1]])
    alone = pred[:, :3], target[:, :3]
    assert ours(pred, target) == ours(*alone) == pytest.approx(theirs(*alone).item())
    assert theirs(pred, target) > theirs(*alone) + 0.1


def test_margin_l2_writes_into_its_inputs_in_mmdet():
    ours, theirs = both("MarginL2Loss", neg_margin=0.1)
    pred, target, weight = torch.full((2, 2), 0.5), torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    leaf = pred.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="in-place"):
        theirs(leaf, target.clone(), weight)
    kept = target.clone()
    theirs(pred.clone(), kept, weight)
    assert kept[0, 1] == -1
    ours(leaf, target, weight).backward()
    assert torch.equal(target, torch.zeros(2, 2))


def test_sum_of_margin_l2_fails_in_mmdet():
    ours, theirs = both("MarginL2Loss", reduction="sum")
    pred, target = torch.full((2, 2), 0.5), torch.zeros(2, 2)
    with pytest.raises(ValueError):
        theirs(pred.clone(), target.clone())
    assert ours(pred, target).item() == 1.0


def test_triplets_of_one_identity_fail_in_mmdet():
    ours, theirs = both("TripletLoss")
    pred, target = torch.randn(3, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises((RuntimeError, IndexError)):
        theirs(pred, target)
    assert ours(pred, target) == 0


def test_channels_are_objects_in_mmdet():
    """One object of two channels is pushed from itself there."""
    ours, theirs = both("AssociativeEmbeddingLoss")
    maps, objects = torch.rand(1, 2, 3, 3), [[[[0, 0], [1, 1]]]]
    assert ours(maps, maps, objects)[1] == 0
    assert theirs(maps, maps, objects)[1] > 0
