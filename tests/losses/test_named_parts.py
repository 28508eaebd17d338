"""``type=`` of what a loss holds: a name, a scoped name, a dotted path or the class, as everywhere else."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import mmdet_losses as ml
from mmdet_losses.modules.boxes.focus import FOCUSES
from mmdet_losses.modules.errors import OptionError
from mmdet_losses.modules.named import named

PRED, TARGET = torch.tensor([[0.0, 0, 12, 4]]), torch.tensor([[1.0, 1, 7, 9]])


class OwnFocus(nn.Module):
    def forward(self, pair):
        return torch.full_like(pair.iou, 3.0)


@pytest.mark.parametrize("name", FOCUSES)
def test_a_focus_by_every_form_of_its_type(name):
    cls = FOCUSES[name]
    expected = ml.CIoULoss(focus=cls())(PRED, TARGET)
    paths = [f"mmdet_losses.{name}", f"mmdet_losses.modules.{name}", f"{cls.__module__}.{name}"]
    for kind in (name, cls, *paths):
        loss = ml.CIoULoss(focus=dict(type=kind))
        assert type(loss.focus) is cls and loss(PRED, TARGET) == expected, kind


def test_its_options_are_taken():
    assert ml.CIoULoss(focus=dict(type=ml.WiseFocus, version=2, gamma=0.25)).focus.gamma == 0.25


def test_a_focus_of_one_s_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "her_focus", sys.modules[__name__])
    plain = ml.GIoULoss()(PRED, TARGET)
    for kind in (OwnFocus, "her_focus.OwnFocus"):
        torch.testing.assert_close(ml.GIoULoss(focus=dict(type=kind))(PRED, TARGET), 3 * plain)


@pytest.mark.parametrize(
    "kind", ["WiseFocuss", "mmdet_losses.Wise", "no_package.WiseFocus", "..", "", ml.CIoULoss, "CIoULoss", int, 3, None]
)
def test_what_is_no_focus(kind):
    with pytest.raises(OptionError, match="with a type of IoUFocus, WiseFocus, PowerfulFocus, got"):
        ml.CIoULoss(focus=dict(type=kind))


@pytest.mark.parametrize(
    "kind",
    [
        "CIoULoss",
        "mmdet_losses.CIoULoss",
        "mmdet.CIoULoss",
        "mmdet_losses.modules.CIoULoss",
        "mmdet_losses.modules.boxes.members.CIoULoss",
        ml.CIoULoss,
    ],
)
def test_the_box_loss_of_an_objective(kind):
    for given in (dict(type=kind), *([kind] if isinstance(kind, str) else [])):
        assert type(ml.GridObjectnessLoss(loss_box=given).loss_box) is ml.CIoULoss


def test_mmdetections_class_in_an_objective_is_this_package_s():
    pytest.importorskip("mmdet.models")
    from mmdet.models.losses import CIoULoss, DiceLoss

    for kind in (CIoULoss, "mmdet.models.losses.CIoULoss"):
        assert type(ml.YOLOv4Loss(loss_box=dict(type=kind)).loss_box) is ml.CIoULoss
    for kind in (DiceLoss, "mmdet.models.losses.DiceLoss", "mmdet_losses.stock.CIoULoss", "nowhere.at.all.CIoULoss"):
        with pytest.raises(OptionError, match="loss_box must be a loss of slot"):
            ml.YOLOv4Loss(loss_box=dict(type=kind))


def test_classes_by_name():
    known = {"Own": OwnFocus}
    assert named("Own", known) is named("mmdet.Own", known) is named(f"{__name__}.OwnFocus", known) is OwnFocus
    # a class with the name of another is itself
    other = type("Own", (), {})
    assert named(other, known) is other
    assert named("collections.abc", known) is None and named(OwnFocus(), known) is None
