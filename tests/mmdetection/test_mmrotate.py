"""Losses of rotated boxes in MMRotate's scope and heads, of which the parts that matter are written down here."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

import mmdet_losses
from mmdet_losses import mmrotate
from mmdet_losses.import_hook import when_imported

FILES = {
    "__init__": "",
    "registry": """
        from mmengine.registry import MODELS as ROOT
        from mmengine.registry import Registry
        MODELS = Registry("model", parent=ROOT, scope="mmrotate", locations=["mmrotate.models"])
    """,
    "models/__init__": "from .losses import *",
    "models/losses": """
        from mmrotate.registry import MODELS

        @MODELS.register_module()
        class RotatedIoULoss:
            pass

        @MODELS.register_module()
        class KFLoss:
            pass
    """,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package with the names that MMRotate has, and none of it left behind."""
    for name, text in FILES.items():
        path = tmp_path / "mmrotate" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(DefaultScope, "get_current_instance", classmethod(lambda cls: None))
    finders, there = list(sys.meta_path), set(sys.modules)
    yield tmp_path
    sys.meta_path[:] = finders
    ROOT.children.pop("mmrotate", None)
    for name in set(sys.modules) - there:
        if name.partition(".")[0] == "mmrotate":
            del sys.modules[name]


def test_free_names_are_registered_and_others_are_left(folder, monkeypatch):
    said = []
    monkeypatch.setattr(mmrotate, "log", said.append)
    # once more, since the package's own hook waits for the first MMRotate alone
    when_imported("mmrotate.models", mmrotate.register_with_mmrotate)
    models = importlib.import_module("mmrotate.registry").MODELS
    assert "KLDLoss" not in models.module_dict
    importlib.import_module("mmrotate.models")
    ours = {"ProbIoULoss", "KLDLoss", "JDLoss", "GWDLoss", "GDLoss", "KFIoULoss"}
    assert {name for name, cls in models.module_dict.items() if cls.__module__.startswith("mmdet_losses")} == ours
    assert models.get("RotatedIoULoss").__module__ == models.get("KFLoss").__module__ == "mmrotate.models.losses"
    assert type(models.build(dict(type="KLDLoss", loss_weight=5.5))) is mmdet_losses.KLDLoss
    for name in mmrotate.ROTATED:
        options = {"loss_type": "kld"} if name == "GDLoss" else {}
        built = models.build(dict(type=f"mmdet_losses.{name}", **options))
        assert type(built) is mmdet_losses.CATALOGUE[name]
    assert any("in MMRotate's scope: " in line and "KLDLoss" in line and "RotatedIoULoss" not in line for line in said)
    # and what MMRotate has is replaced on demand
    mmdet_losses.register_into(models, force=True)
    assert type(models.build(dict(type="RotatedIoULoss", mode="linear"))) is mmdet_losses.RotatedIoULoss


def test_names_are_those_of_the_losses_of_rotated_boxes():
    named = {name for name, cls in mmdet_losses.CATALOGUE.items() if cls.slot == "rbox"}
    assert set(mmrotate.ROTATED) == named
    assert {"GDLoss", "KFLoss", "RotatedIoULoss"} < named


class RotatedHead(RetinaHead):
    """MMRotate's option: what is passed as what, beside ``reg_decoded_bbox``."""

    def __init__(self, *args, loss_bbox_type="normal", **options):
        super().__init__(*args, **options)
        self.loss_bbox_type = loss_bbox_type

    def loss_by_feat_single(self, *args):
        raise NotImplementedError


@pytest.fixture
def build(monkeypatch):
    monkeypatch.setitem(MMDET_MODELS.module_dict, "RotatedHead", RotatedHead)

    def build(loss, kind="RotatedHead", **options):
        return MMDET_MODELS.build(dict(type=kind, num_classes=3, in_channels=8, loss_bbox=loss, **options))

    return build


@pytest.mark.parametrize("name", ["KLDLoss", "RotatedIoULoss", "KFIoULoss"])
def test_a_head_that_passes_deltas_stops_where_it_is_built(build, name):
    for kind in ("RotatedHead", "RetinaHead"):
        with pytest.raises(ValueError, match=rf"loss_bbox={name} of {kind} needs decoded boxes.*reg_decoded_bbox=True"):
            build(dict(type=name), kind)
        build(dict(type=name), kind, reg_decoded_bbox=True)


def test_deltas_and_boxes_are_for_kfiou_alone(build):
    build(dict(type="KFIoULoss"), loss_bbox_type="kfiou")
    with pytest.raises(ValueError, match=r'loss_bbox_type="kfiou", with which it passes both'):
        build(dict(type="KFIoULoss"))
    with pytest.raises(ValueError, match=r"GWDLoss of RotatedHead takes decoded boxes alone.*or choose KFIoULoss"):
        build(dict(type="GWDLoss"), loss_bbox_type="kfiou")
    # losses of deltas are none of its business
    build(dict(type="SmoothL1Loss"), loss_bbox_type="kfiou")
    build(dict(type="L1Loss"))


def test_call_of_a_kfiou_head():
    """As MMRotate's heads make it: by keyword, with weights of five columns."""
    boxes = torch.rand(4, 5) + torch.tensor([0.0, 0, 3, 3, 0])
    pred, weight = torch.zeros(4, 5, requires_grad=True), torch.ones(4, 5)
    loss = MMDET_MODELS.build(dict(type="KFLoss", fun="ln", loss_weight=5.0))
    value = loss(pred, torch.ones(4, 5), weight, pred_decode=boxes, targets_decode=boxes, avg_factor=2)
    # four rows of ln 3 and two smooth L1 of 1, which are 1 - 1/18 each
    assert value.item() == pytest.approx(5 * 4 / 2 * (torch.tensor(3.0).log().item() + 2 * (1 - 1 / 18)), rel=1e-6)
    value.backward()
    assert pred.grad[:, :2].tolist() == [pytest.approx([-2.5 / 1, -2.5 / 1])] * 4
