"""No loss that is made for disjoint boxes pushes them apart."""

import pytest
import torch
from cases import BOX_CASES, SIDE_CASES, one_per_class, over
from cases.pull import disjoint_pairs, pull_share

PULLING = ("GIoULoss", "DIoULoss", "CIoULoss", "SIoULoss", "WIoULoss", "NWDLoss")
FEW = 20_000


def test_pairs_are_disjoint_and_of_many_shapes():
    pred, target = disjoint_pairs(FEW)
    low, high = torch.maximum(pred[:, :2], target[:, :2]), torch.minimum(pred[:, 2:], target[:, 2:])
    assert (low > high).any(-1).all()
    size = pred[:, 2:] - pred[:, :2]
    assert size.min() < 5
    assert size.max() > 280
    assert ((low < high).any(-1)).float().mean() > 0.1  # one above the other, or side by side


@over([case for case in BOX_CASES if case.name in PULLING])
def test_never_away_from_the_target(case):
    share = pull_share(case)
    assert share.away == 0
    assert share.towards > 0


@over([case for case in one_per_class() if case in BOX_CASES + SIDE_CASES and case.name not in PULLING])
def test_share_of_the_others(case, record_property):
    share = pull_share(case, FEW)
    record_property("pull", str(share))
    print(case.id, share)
    assert sum(share) == pytest.approx(1)
    assert min(share) >= 0


def test_plain_iou_does_not_pull():
    (case,) = [case for case in BOX_CASES if case.id == "IoULoss-mode=linear"]
    assert pull_share(case, FEW) == (0, 0, 1)
