"""MMDetection's classes by class object, lazy object or dotted path: a registry builds this package's."""

import logging
import pickle

import pytest
import torch
from cases import REQUIRED
from mmdet.models import losses as theirs
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope, Registry, build_from_cfg
from processes import LISTEN, run_forks
from torch import nn

import mmdet_losses as ml
from mmdet_losses import exchange, registry, stock

REPLACED = sorted(registry.STOCK)
BOX = torch.tensor([[0.0, 0, 10, 10]])


def own_build(cfg, registry, default_args=None):
    return build_from_cfg(cfg, registry, default_args)


@pytest.fixture(scope="module")
def registries():
    """Of the model kind, with names as scopes: MMDetection's, MMEngine's, and what others make."""
    child = Registry("model", parent=ROOT, scope="exchange_child")
    own = Registry("model", parent=MODELS, scope="exchange_own", build_func=own_build)
    made = [MODELS, ROOT, registry.MODELS, child, own, Registry("heads", scope="exchange_root")]
    yield made
    ROOT.children.pop("exchange_child")
    MODELS.children.pop("exchange_own")


def forms(name):
    """Every way to name a class of MMDetection's that is not its name in a registry."""
    cls = registry.stock(name)
    lazy = LazyObject("mmdet.models.losses", name)
    return {
        "class": dict(type=cls),
        "class in a ConfigDict": ConfigDict(type=cls),
        "lazy": ConfigDict(type=lazy),
        "lazy attribute": ConfigDict(type=LazyAttr(name, LazyObject("mmdet.models.losses"))),
        "Config": Config(dict(type=cls)),
        "path": dict(type=f"mmdet.models.losses.{name}"),
        "path of the package": dict(type=f"mmdet.models.{name}"),
        # as text MMEngine takes such a path for one into the function iou_loss, and fails
        "lazy, of the file": ConfigDict(type=LazyObject(cls.__module__, name)),
    }


@pytest.mark.parametrize("name", REPLACED)
def test_every_form_in_every_registry(name, registries):
    for models in registries:
        for form, cfg in forms(name).items():
            before = dict(cfg)
            cfg.update(REQUIRED.get(name, {}))
            built = models.build(cfg, default_args=dict(loss_weight=3.0))
            assert type(built) is registry.LOSSES[name] and built.loss_weight == 3.0, (models.scope, form)
            assert cfg["type"] == before["type"]


def test_the_fault_that_it_was():
    """At a perfect match MMDetection's CIoU loss is NaN, value and gradient."""
    for kind in (theirs.CIoULoss, "mmdet.models.losses.CIoULoss"):
        assert MODELS.build(dict(type=kind))(BOX, BOX) == 0
    assert MODELS.build(dict(type="mmdet_losses.stock.CIoULoss"))(BOX, BOX).isnan()


def test_in_a_default_scope_and_in_lists_and_as_a_default():
    with DefaultScope.overwrite_default_scope("mmdet"):
        assert type(ROOT.build(dict(type=theirs.GIoULoss))) is ml.GIoULoss
        assert type(ROOT.build(dict(type="mmdet.models.losses.GIoULoss"))) is ml.GIoULoss
    both = MODELS.build([dict(type=theirs.GIoULoss), dict(type="L1Loss")])
    assert [type(part) for part in both] == [ml.GIoULoss, ml.L1Loss]
    assert type(MODELS.build({}, default_args=dict(type=theirs.GIoULoss))) is ml.GIoULoss


def test_in_the_slots_of_a_head():
    coder = dict(type="DeltaXYWHBBoxCoder")
    anchors = dict(type="AnchorGenerator", scales=[1], ratios=[1.0], strides=[8])
    head = ROOT.build(
        dict(
            type="mmdet.RetinaHead",
            num_classes=2,
            in_channels=4,
            anchor_generator={**anchors, "type": "mmdet.AnchorGenerator"},
            bbox_coder={**coder, "type": "mmdet.DeltaXYWHBBoxCoder"},
            reg_decoded_bbox=True,
            loss_cls=dict(type=theirs.FocalLoss, use_sigmoid=True),
            loss_bbox=dict(type="mmdet.models.losses.CIoULoss"),
        )
    )
    assert type(head.loss_cls) is ml.FocalLoss and type(head.loss_bbox) is ml.CIoULoss


class Sub(theirs.CIoULoss):
    pass


def test_what_is_not_exactly_a_replaced_class_is_built_as_it_is(registries):
    """A subclass, what this package has no loss for, this package's own, and what is no class."""
    for models in registries:
        assert type(models.build(dict(type=Sub))) is Sub
        assert type(models.build(dict(type=ml.CIoULoss))) is ml.CIoULoss
        assert models.build(dict(type=theirs.weight_reduce_loss, loss=BOX, reduction="sum")) == 20
    assert type(theirs.CIoULoss()) is theirs.CIoULoss
    assert type(build_from_cfg(dict(type="CIoULoss"), MODELS)) is ml.CIoULoss


def test_a_class_by_another_name_and_path(monkeypatch):
    """By ``is``: wherever the class is found."""
    monkeypatch.setattr(torch, "HerLoss", theirs.CIoULoss, raising=False)
    assert type(MODELS.build(dict(type="torch.HerLoss"))) is ml.CIoULoss


@pytest.mark.parametrize("name", REPLACED)
def test_stock_is_mmdetections_own(name, registries):
    cls = getattr(theirs, name)
    assert registry.stock(name) is cls
    for models in registries:
        for kind in (f"mmdet_losses.stock.{name}", getattr(stock, name)):
            assert type(models.build(dict(type=kind, **REQUIRED.get(name, {})))) is cls
        lazy = ConfigDict(type=LazyObject("mmdet_losses.stock", name), **REQUIRED.get(name, {}))
        assert type(models.build(lazy)) is type(models.build({**lazy})) is cls
    assert isinstance(pickle.loads(pickle.dumps(getattr(stock, name)))(**REQUIRED.get(name, {})), cls)


def test_stock_has_no_other_names():
    with pytest.raises(AttributeError, match="'FocalEIoULoss': name must be a loss that mmdet has too"):
        _ = stock.FocalEIoULoss
    with pytest.raises(ImportError):
        from mmdet_losses.stock import WIoULoss  # noqa: F401
    with pytest.raises(KeyError, match=r"mmdet_losses\.stock\.FocalEIoULoss"):
        MODELS.build(dict(type="mmdet_losses.stock.FocalEIoULoss"))


def test_within_stock_losses_nothing_is_exchanged():
    with registry.stock_losses():
        for form, cfg in forms("CIoULoss").items():
            assert type(MODELS.build(cfg)) is theirs.CIoULoss, form
        with registry.stock_losses():
            pass
        assert type(MODELS.build(dict(type=theirs.CIoULoss))) is theirs.CIoULoss
        assert type(MODELS.build(dict(type="mmdet_losses.stock.CIoULoss"))) is theirs.CIoULoss
        assert type(MODELS.build(dict(type=ml.CIoULoss))) is ml.CIoULoss
    assert type(MODELS.build(dict(type=theirs.CIoULoss))) is ml.CIoULoss


def test_one_line_says_so(monkeypatch, lines_at_info):
    monkeypatch.setattr(exchange, "TOLD", set())
    for _ in range(2):
        MODELS.build(dict(type=theirs.GIoULoss))
    ((text, level),) = lines_at_info
    assert level == logging.INFO and text.startswith("MMDetection's GIoULoss, named by its class")
    assert 'type="mmdet_losses.stock.GIoULoss" is MMDetection\'s own' in text


def test_a_loss_of_one_s_own_in_place_of_mmdetections_is_what_its_class_builds():
    run_forks(
        """
        import mmdet_losses as ml
        from mmdet.models.losses import CIoULoss, TripletLoss
        from mmdet.registry import MODELS

        @ml.register_loss("TripletLoss", force=True)
        class CIoULoss_(ml.GIoULoss):
            pass

        ml.register_loss("CIoULoss", force=True)(CIoULoss_)
        for own in (CIoULoss, TripletLoss):
            assert type(MODELS.build(dict(type=own))) is CIoULoss_
            assert type(MODELS.build(dict(type=f"mmdet_losses.stock.{own.__name__}"))) is own
        """
    )


def test_registries_from_before_the_import_and_the_first_thing_that_names_the_package():
    """A path of this package's brings it in; MMEngine's own look for the rest of it elsewhere does no harm."""
    run_forks(
        """
        import sys, types
        from mmengine.registry import MODELS as ROOT, Registry, build_from_cfg
        from mmdet.registry import MODELS
        elsewhere = sys.modules["stock"] = types.ModuleType("stock")
        elsewhere.CIoULoss = elsewhere.registry = dict
        build = lambda cfg, registry, default_args=None: build_from_cfg(cfg, registry, default_args)
        before = [ROOT, MODELS, Registry("m", parent=ROOT, scope="a"), Registry("m", parent=MODELS, scope="b"),
                  Registry("m", parent=MODELS, scope="c", build_func=build), Registry("m", scope="d")]
        for models in before:
            loss = models.build(dict(type="mmdet_losses.stock.CIoULoss"))
            assert type(loss).__module__ == "mmdet.models.losses.iou_loss", models.scope
            for kind in (type(loss), "mmdet.models.losses.CIoULoss"):
                assert type(models.build(dict(type=kind))).__module__.startswith("mmdet_losses."), models.scope
        """,
        """
        from mmengine.registry import MODELS as ROOT
        import mmdet_losses
        loss = ROOT.build(dict(type="mmdet.models.losses.CIoULoss"))
        assert type(loss) is mmdet_losses.CIoULoss
        """,
        """
        from mmengine.registry import MODELS as ROOT
        from mmdet.models import RetinaNet
        assert ROOT.get("mmdet_losses.detectors.RetinaNet") is RetinaNet
        import mmdet_losses.detectors
        assert mmdet_losses.detectors.RetinaNet is RetinaNet
        assert not hasattr(mmdet_losses.detectors, "__path__") and not hasattr(mmdet_losses.detectors, "NoNet")
        """,
    )


HEAD = """
from mmdet.models.dense_heads import RetinaHead
head = dict(type="RetinaHead", num_classes=2, in_channels=4, reg_decoded_bbox=True,
    anchor_generator=dict(type="AnchorGenerator", scales=[1], ratios=[1.0], strides=[8]),
    loss_cls=dict(type="FocalLoss", use_sigmoid=True), loss_bbox=dict(type={box}))
from mmdet.registry import MODELS
{first}
built = MODELS.build(head)
"""


def test_a_package_that_comes_while_a_model_is_built_says_what_it_came_too_late_for():
    scoped = '"mmdet_losses.CIoULoss"'
    late = (
        LISTEN
        + HEAD.format(box=scoped, first="")
        + (
            "assert type(built.loss_cls).__module__.startswith('mmdet.')\n"
            "text, = texts\n"
            "assert 'after these losses of MMDetection: loss_cls=FocalLoss of RetinaHead. They remain' in text, text\n"
            "assert 'from mmdet_losses.detectors import' in text and 'custom_imports=dict(imports=' in text\n"
        )
    )
    in_time = (
        LISTEN
        + HEAD.format(box=scoped, first="import mmdet_losses")
        + ("assert type(built.loss_cls).__module__.startswith('mmdet_losses.') and not texts, texts\n")
    )
    run_forks(late, in_time)


class Holder(nn.Module):
    def __init__(self, **losses):
        super().__init__()
        for name, loss in losses.items():
            setattr(self, name, MODELS.build(loss))


def test_nested_builds():
    cfg = ConfigDict(type=Holder, loss=ConfigDict(type=LazyObject("mmdet.models.losses", "DIoULoss")))
    assert type(MODELS.build(cfg).loss) is ml.DIoULoss
