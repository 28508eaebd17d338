"""Classes that somebody else has under one of this package's names keep their bare name."""

from types import SimpleNamespace

import pytest
from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT
from mmengine.registry import Registry
from processes import LISTEN, run_forks
from torch import nn

import mmdet_losses as ml
from mmdet_losses import foreign, registry, toolboxes

LINES = (
    LISTEN
    + """
from mmengine.registry import MODELS as ROOT
from mmdet.registry import MODELS
from torch import nn

def theirs(name):
    return type(name, (nn.Module,), {"__module__": "her_code.losses"})
"""
)

BEFORE = """
import mmdet.models
mmdets = mmdet.models.losses.CIoULoss
WIoU, MPD = theirs("WIoULoss"), theirs("MPDIoULoss")
CIoU = theirs("CIoULoss")
MODELS.register_module(module=WIoU)
MODELS.register_module(name="CIoULoss", module=CIoU, force=True)
ROOT.register_module(module=MPD)
GIoU = theirs("GIoULoss")
ROOT.register_module(module=GIoU)
import mmdet_losses as ml
from mmdet_losses import registry
"""
KEEP = """
held = dict(WIoULoss=WIoU, MPDIoULoss=MPD, CIoULoss=CIoU)
for name, cls in held.items():
    for key in (name, f"mmdet.{name}") if cls is not MPD else (name,):
        assert MODELS.get(key) is cls, key
    assert MODELS.get(f"mmdet_losses.{name}") is ROOT.get(f"mmdet_losses.{name}") is getattr(ml, name)
assert MODELS.get("GIoULoss") is ml.GIoULoss and ROOT.get("GIoULoss") is GIoU
"""


def test_imported_before():
    run_forks(
        LINES
        + BEFORE
        + KEEP
        + """
text, = texts
for said in ("CIoULoss (her_code.losses)", "WIoULoss (her_code.losses)", "MPDIoULoss (her_code.losses)",
             'type="mmdet_losses.CIoULoss" is this package\\'s'):
    assert said in text, text
assert "GIoULoss (" not in text
# what is MMDetection's is MMDetection's, by whatever name the registry has it
assert registry.stock("CIoULoss") is mmdets and issubclass(ml.CIoULoss, mmdets)
assert not issubclass(ml.WIoULoss, WIoU) and not issubclass(ml.CIoULoss, CIoU)
assert type(MODELS.build(dict(type=mmdets))) is ml.CIoULoss
assert type(MODELS.build(dict(type=CIoU))) is CIoU
try:
    registry.stock("WIoULoss")
except ValueError as error:
    assert "got 'WIoULoss'" in str(error)
else:
    raise AssertionError
before = dict(MODELS.module_dict)
with registry.stock_losses():
    assert MODELS.get("CIoULoss") is mmdets and MODELS.get("WIoULoss") is WIoU and MODELS.get("MPDIoULoss") is MPD
    assert MODELS.get("GIoULoss") is mmdet.models.losses.GIoULoss and "FocalEIoULoss" not in MODELS.module_dict
assert dict(MODELS.module_dict) == before
"""
        + KEEP
        + "assert len(texts) == 1"
    )


AFTER = """
import mmdet_losses as ml
import mmdet.models
from mmdet_losses import registry
mmdets = mmdet.models.losses.CIoULoss
WIoU, MPD, CIoU, GIoU = theirs("WIoULoss"), theirs("MPDIoULoss"), theirs("CIoULoss"), theirs("GIoULoss")
assert MODELS.register_module()(WIoU) is WIoU
assert MODELS.register_module(name=["CIoULoss", "HerLoss"])(CIoU) is CIoU
assert ROOT.register_module(module=MPD) is MPD
ROOT.register_module()(GIoU)
"""


def test_imported_after():
    run_forks(
        LINES
        + AFTER
        + KEEP
        + """
assert MODELS.get("HerLoss") is CIoU
assert len(texts) == 3
for text, name in zip(texts, ("WIoULoss", "CIoULoss", "MPDIoULoss")):
    assert f'{name} (her_code.losses). type="mmdet_losses.{name}" is this package' in text, text
# it is taken, now, as in any registry
try:
    MODELS.register_module(module=theirs("WIoULoss"))
except KeyError as error:
    assert "WIoULoss is already registered in model at her_code.losses" in str(error)
else:
    raise AssertionError
before = dict(MODELS.module_dict)
with registry.stock_losses():
    assert MODELS.get("CIoULoss") is mmdets and MODELS.get("WIoULoss") is WIoU
assert dict(MODELS.module_dict) == before
# by force, as the one who registers asks for
DIoU = MODELS.register_module(module=theirs("DIoULoss"), force=True)
with registry.stock_losses():
    assert MODELS.get("DIoULoss") is mmdet.models.losses.DIoULoss
assert MODELS.get("DIoULoss") is DIoU and len(texts) == 3
"""
    )


def test_what_a_file_of_mmdetections_registers_later_is_replaced():
    """As what it registered before is: one of a fork, say, that is imported by custom_imports."""
    run_forks(
        LINES
        + """
import mmdet_losses as ml
import mmdet.models
from mmdet_losses import registry
early = ml.WIoULoss()
Late = MODELS.register_module(module=type("WIoULoss", (nn.Module,), {"__module__": "mmdet.models.losses.wiou"}))
assert MODELS.get("WIoULoss") is ml.WIoULoss and registry.stock("WIoULoss") is Late and isinstance(early, Late)
assert type(MODELS.build(dict(type=Late))) is ml.WIoULoss
with registry.stock_losses():
    assert MODELS.get("WIoULoss") is Late
assert MODELS.get("WIoULoss") is ml.WIoULoss and not texts
"""
    )


def theirs(name):
    return type(name, (nn.Module,), {"__module__": "her_code.losses"})


@pytest.fixture
def warnings(warnings_of_guard):
    return warnings_of_guard


@pytest.fixture
def models(monkeypatch):
    """A registry of a toolbox, given back with all that hangs on it."""
    monkeypatch.setattr(toolboxes, "TARGETS", [])
    homes = list(foreign.HOMES)
    child = Registry("model", parent=ROOT, scope="foreign_test")
    yield child
    ROOT.children.pop("foreign_test")
    foreign.HOMES[:] = homes


def test_a_registry_of_another_toolbox_gives_way_too(models, warnings):
    ml.register_into(models)
    cls = models.register_module(module=theirs("WIoULoss"))
    assert models.get("WIoULoss") is cls and models.get("mmdet_losses.WIoULoss") is ml.WIoULoss
    ((text, _),) = warnings
    assert "WIoULoss (her_code.losses)" in text
    assert ml.register_into(models).left == ("WIoULoss",)
    # MMDetection's class is somebody else's there
    own = models.register_module(module=registry.stock("CIoULoss"))
    assert models.get("CIoULoss") is own is not ml.CIoULoss
    assert MODELS.get("WIoULoss") is ml.WIoULoss and MODELS.get("CIoULoss") is ml.CIoULoss


def test_names_that_the_losses_were_given_by_force_stay_theirs(models, warnings):
    ml.register_into(models, force=True)
    with pytest.raises(KeyError, match="WIoULoss is already registered"):
        models.register_module(module=theirs("WIoULoss"))
    assert models.get("WIoULoss") is ml.WIoULoss and not warnings


def test_a_registration_that_fails_leaves_the_names_as_they_were(models, warnings):
    ml.register_into(models)
    models.register_module(name="HerLoss", module=theirs("HerLoss"))
    with pytest.raises(KeyError, match="HerLoss is already registered"):
        models.register_module(name=["WIoULoss", "HerLoss"], module=theirs("WIoULoss"))
    assert models.get("WIoULoss") is ml.WIoULoss and not warnings
    with pytest.raises(TypeError, match="force must be a boolean"):
        models.register_module(force="yes")


def test_other_names_are_nobody_s_business(models, warnings):
    cls = models.register_module(module=theirs("HerOtherLoss"))
    assert models.get("HerOtherLoss") is cls and not warnings
    ml.register_into(models)
    with pytest.raises(KeyError, match="HerOtherLoss is already registered"):
        models.register_module(module=theirs("HerOtherLoss"))
    assert not warnings


def test_a_registry_whose_methods_are_not_its_class_s(models):
    """Any object with the interface will do; it keeps its own rules."""
    parts = {name: getattr(models, name) for name in ("register_module", "get", "build", "module_dict")}
    held = SimpleNamespace(**parts)
    assert ml.register_into(held).left == () and models.get("WIoULoss") is ml.WIoULoss
