"""A sum of box losses: values, what its members get and keep, and what does not go together."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from cases.draw import draw_boxes

import mmdet_losses as ml

CIOU_NWD = [dict(type="CIoULoss", loss_weight=0.5), dict(type="NWDLoss", loss_weight=0.5)]


def boxes(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return draw_boxes(torch.Generator().manual_seed(0), n)


def test_published_values():
    pred = torch.tensor([[0.0, 0, 10, 10], [2, 3, 9, 11]], dtype=torch.float64)
    target = torch.tensor([[5.0, 5, 15, 15], [1, 2, 11, 10]], dtype=torch.float64)
    found = ml.SumLoss(CIOU_NWD, reduction="none")(pred, target)
    assert found.tolist() == pytest.approx([0.696351408, 0.290013708], rel=2e-9)


@pytest.mark.parametrize(
    "call", [{}, {"avg_factor": 3.0}, {"reduction_override": "sum"}, {"reduction_override": "none"}]
)
def test_every_argument_reaches_every_member(call):
    pred, target = boxes()
    weight = torch.tensor([1.0, 0, 2, 0.5, 1, 1])
    own = [ml.CIoULoss(loss_weight=0.5), ml.NWDLoss(loss_weight=0.5)]
    expected = 3 * sum(loss(pred, target, weight, **call) for loss in own)
    torch.testing.assert_close(ml.SumLoss(CIOU_NWD, loss_weight=3.0)(pred, target, weight, **call), expected)


def test_members_by_name_config_and_module():
    pred, target = boxes()
    forms = ["CIoULoss", dict(type="mmdet_losses.CIoULoss"), dict(type=ml.CIoULoss), ml.CIoULoss()]
    values = {ml.SumLoss([form, "GIoULoss"])(pred, target).item() for form in forms}
    assert len(values) == 1


def test_a_share_is_seen_by_a_hook():
    shares = {}
    loss = ml.SumLoss(CIOU_NWD)
    for part in loss.losses:
        part.register_forward_hook(lambda module, _, value: shares.update({type(module).__name__: value.item()}))
    total = loss(*boxes())
    assert shares.keys() == {"CIoULoss", "NWDLoss"}
    assert sum(shares.values()) == pytest.approx(total.item())


def test_statistics_of_members_are_committed():
    loss = ml.SumLoss(["WIoULoss", "GIoULoss"])
    pred, target = boxes()
    for reduction, moves in (("none", False), (None, True)):
        loss(pred.requires_grad_(), target, reduction_override=reduction)
        ml.commit_statistics(loss)
        assert (loss.losses[0].focus.iou_mean != 1).item() is moves
    assert list(loss.state_dict()) == ["losses.0.focus.iou_mean"]


def test_members_are_fused():
    loss = ml.SumLoss(["CIoULoss", "GIoULoss"])
    assert not loss.fused
    assert ml.fuse_losses(loss) == 2
    assert loss.fused
    assert all(part.fused for part in loss.losses)
    loss.fused = False
    assert not any(part.fused for part in loss.losses)
    assert all(part.fused for part in ml.SumLoss(["CIoULoss", "GIoULoss"], fused=True).losses)


def test_debug_names_the_row_in_a_member():
    pred, target = boxes()
    pred[2] = torch.nan
    with pytest.raises(ValueError, match=r"CIoULoss: pred .* row 2"):
        ml.SumLoss(CIOU_NWD, debug=True)(pred, target)


def test_facts_are_those_of_the_members():
    loss = ml.SumLoss([dict(type="CIoULoss", loss_weight=2.0), "NWDLoss"])
    assert (loss.boxes, loss.unit, loss.scale_invariant, loss.best, loss.bounds) == (
        True,
        "pixels",
        False,
        0.0,
        (0.0, 7.0),
    )
    plain = ml.SumLoss(["L1Loss", "SmoothL1Loss"])
    assert (plain.boxes, plain.unit) == (False, "")
    assert ml.SumLoss(["GIoULoss", "DIoULoss"]).scale_invariant


def test_coordinates():
    pred, target = torch.randn(5, 4), torch.randn(5, 4)
    found = ml.SumLoss(["L1Loss", dict(type="MSELoss", loss_weight=0.1)])(pred, target)
    torch.testing.assert_close(found, (pred - target).abs().mean() + 0.1 * (pred - target).square().mean())


def test_copies_and_pickles():
    loss = ml.SumLoss(CIOU_NWD, "sum", 2.0)
    pred, target = boxes()
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(other(pred, target), loss(pred, target))


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([], "losses must be a list of one loss or more"),
        ("CIoULoss", "losses must be a list of one loss or more"),
        (dict(type="CIoULoss"), "losses must be a list of one loss or more"),
        (["CIoULoss", "L1Loss"], "CIoULoss of boxes and L1Loss of coordinates"),
        (["CIoULoss", "FocalLoss"], "losses must be a loss of slot 'bbox'.*FocalLoss"),
        (["CIoULos"], "losses must be a loss.*CIoULos"),
        ([dict(type="CIoULoss", reduction="sum")], "losses must leave out reduction"),
        ([dict(type="CIoULoss", gamma=2)], "has no option 'gamma'"),
    ],
)
def test_what_does_not_go_together(losses, message):
    with pytest.raises(ValueError, match=message):
        ml.SumLoss(losses)


def test_members_can_be_set():
    loss = ml.SumLoss(["CIoULoss"])
    loss.losses = ["GIoULoss", dict(type="DIoULoss", loss_weight=2.0)]
    pred, target = boxes()
    assert loss(pred, target) == ml.GIoULoss()(pred, target) + ml.DIoULoss(loss_weight=2.0)(pred, target)
    with pytest.raises(ValueError, match="losses must be a list of one loss or more"):
        loss.losses = []


def test_unreduced_values_of_another_shape():
    loss = ml.SumLoss(["CIoULoss", "BoundedIoULoss"])
    pred, target = boxes()
    assert loss(pred, target).ndim == 0
    with pytest.raises(ValueError, match=r"CIoULoss \(6,\), BoundedIoULoss \(6, 4\)"):
        loss(pred, target, reduction_override="none")
