"""The losses in the registries of other toolboxes: bare names, names that somebody has, heads, and what is said."""

import doctest
import importlib
import textwrap
from pathlib import Path

import mmengine.registry
import pytest
from cases import REQUIRED
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import HOOKS, DefaultScope, Registry
from mmengine.registry import MODELS as ROOT
from processes import run_bare
from torch import nn

import mmdet_losses
from mmdet_losses import building, register_into, toolboxes
from mmdet_losses.hooks import LossStateHook
from mmdet_losses.registry import LOSSES, stock_losses

SCOPE = "a_toolbox"
HEAD_ON_DELTAS = dict(type="RetinaHead", num_classes=3, in_channels=8, stacked_convs=0)


class TheirLoss(nn.Module):
    """What a toolbox has under a name of ours."""


class Interface:
    """The interface that is asked for, and nothing else: no scope, no parent, no build function."""

    def __init__(self):
        self.module_dict = {}

    def register_module(self, name=None, force=False, module=None):
        assert force or name not in self.module_dict
        self.module_dict[name] = module

    def get(self, name):
        return self.module_dict.get(name)

    def build(self, cfg):
        cfg = dict(cfg)
        return self.get(cfg.pop("type"))(**cfg)


@pytest.fixture(scope="module")
def copied_class(tmp_path_factory):
    """MMEngine's ``Registry`` as a fork has it: the same code, another class, and a root of its own."""
    folder = tmp_path_factory.mktemp("fork")
    package = folder / "copied_registry"
    package.mkdir()
    for name in ("registry", "build_functions", "default_scope"):
        code = (Path(mmengine.registry.__file__).parent / f"{name}.py").read_text()
        (package / f"{name}.py").write_text(code.replace("from ..", "from mmengine."))
    (package / "__init__.py").write_text("from .registry import Registry\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("copied_registry").Registry


@pytest.fixture
def child():
    """The registry of a toolbox below MMEngine's root, as MMYOLO and MMRotate have it."""
    yield Registry("model", parent=ROOT, scope=SCOPE)
    del ROOT.children[SCOPE]


@pytest.fixture(params=["child", "root of its own", "copied class", "interface alone"])
def models(request):
    if request.param == "child":
        return request.getfixturevalue("child")
    if request.param == "root of its own":
        return Registry("model", scope="another_root")
    if request.param == "copied class":
        made = request.getfixturevalue("copied_class")("model", scope="a_fork")
        assert not isinstance(made, Registry)
        return made
    return Interface()


@pytest.fixture(autouse=True)
def no_scope_and_no_targets(monkeypatch):
    """Other tests leave a default scope, in which names would be looked up; what is registered here is forgotten."""
    monkeypatch.setattr(DefaultScope, "get_current_instance", classmethod(lambda cls: None))
    monkeypatch.setattr(toolboxes, "TARGETS", [])


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(toolboxes, "log", said.append)
    return said


def test_every_bare_name_builds_this_package_s_loss(models):
    assert register_into(models) == (tuple(LOSSES), ())
    for name, loss in LOSSES.items():
        assert type(models.build(dict(type=name, **REQUIRED.get(name, {})))) is loss


def test_names_of_others_are_left_to_them_and_said(models, lines):
    models.register_module(name="CIoULoss", module=TheirLoss)
    models.register_module(name="TheirLoss", module=TheirLoss)
    registered, left = register_into(models)
    assert left == ("CIoULoss",)
    assert set(registered) == set(LOSSES) - {"CIoULoss"}
    assert type(models.build(dict(type="CIoULoss"))) is TheirLoss
    assert type(models.build(dict(type="TheirLoss"))) is TheirLoss
    assert type(models.build(dict(type="GIoULoss"))) is mmdet_losses.GIoULoss
    (line,) = lines
    assert f"left to {TheirLoss.__module__}: CIoULoss;" in line
    # What it says to write is true: MMEngine's kind of registry also finds a class by its dotted path.
    assert ('type="mmdet_losses.NAME"' in line) is not isinstance(models, Interface)
    assert ("force=True" in line) is isinstance(models, Interface)
    if not isinstance(models, Interface):
        assert type(models.build(dict(type="mmdet_losses.CIoULoss"))) is mmdet_losses.CIoULoss


def test_force_takes_them(models, lines):
    models.register_module(name="CIoULoss", module=TheirLoss)
    register_into(models)
    assert register_into(models, force=True) == (tuple(LOSSES), ())
    assert type(models.build(dict(type="CIoULoss"))) is mmdet_losses.CIoULoss
    assert len(lines) == 2


def test_once_is_enough(models, lines):
    models.register_module(name="CIoULoss", module=TheirLoss)
    first = register_into(models)
    held, build = dict(models.module_dict), getattr(models, "build_func", None)
    assert register_into(models) == first
    assert models.module_dict == held
    assert getattr(models, "build_func", None) is build
    assert len(lines) == 1


def test_a_subclass_of_ours_that_somebody_registered_is_theirs(child):
    class Mine(mmdet_losses.CIoULoss):
        pass

    child.register_module(name="CIoULoss", module=Mine)
    assert register_into(child).left == ("CIoULoss",)
    assert child.get("CIoULoss") is Mine


def test_a_name_of_a_parent_is_not_covered(lines):
    above = Registry("model", scope="above")
    above.register_module(name="GIoULoss", module=TheirLoss)
    below = Registry("model", parent=above, scope="below")
    assert register_into(below).left == ("GIoULoss",)
    assert below.get("GIoULoss") is TheirLoss


def test_mmdetection_s_own_registry_has_them_already(lines):
    held = dict(MMDET_MODELS.module_dict)
    assert register_into(MMDET_MODELS) == (tuple(LOSSES), ())
    assert MMDET_MODELS.module_dict == held
    assert lines == []


def test_modules_that_the_toolbox_loads_late_find_their_names_free(tmp_path, monkeypatch, lines):
    code = """
        import mmengine.registry
        MODELS = mmengine.registry.Registry("model", scope="late_toolbox", locations=["late_toolbox_losses"])
    """
    losses = """
        from late_toolbox_registry import MODELS

        @MODELS.register_module()
        class CIoULoss:
            pass
    """
    (tmp_path / "late_toolbox_registry.py").write_text(textwrap.dedent(code))
    (tmp_path / "late_toolbox_losses.py").write_text(textwrap.dedent(losses))
    monkeypatch.syspath_prepend(tmp_path)
    late = importlib.import_module("late_toolbox_registry").MODELS
    assert register_into(late).left == ("CIoULoss",)
    assert type(late.build(dict(type="CIoULoss"))).__module__ == "late_toolbox_losses"


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "NoneType"),
        ("mmyolo", "str"),
        (mmengine.registry, "module"),
        ({}, "dict"),
        (nn.ReLU(), "ReLU"),
        (Registry, "Registry"),
    ],
)
def test_what_is_no_registry(wrong, got):
    with pytest.raises(ValueError, match=rf"registry must be a registry of MMEngine's kind.*got .*{got}.*MODELS of"):
        register_into(wrong)


def test_heads_that_it_builds_are_looked_at(models):
    models.register_module(name="RetinaHead", module=RetinaHead)
    wrong = dict(HEAD_ON_DELTAS, loss_bbox=dict(type="CIoULoss"))
    if not isinstance(models, Interface) and getattr(models, "parent", None) is None:
        models.build(wrong)
    register_into(models)
    if isinstance(models, Interface):  # nothing to hook into
        models.build(wrong)
        return
    with pytest.raises(ValueError, match="loss_bbox=CIoULoss of RetinaHead needs decoded boxes"):
        models.build(wrong)
    models.build(dict(wrong, reg_decoded_bbox=True))


def test_a_head_is_looked_at_once(child, monkeypatch):
    """Though a registry below MMEngine's root is watched from the start, and given to ``register_into`` as well."""
    build = child.build_func
    register_into(child)
    assert child.build_func is build
    seen = []
    monkeypatch.setattr(building, "check_head", seen.append)
    watched = Registry("model", scope="watched")
    watched.register_module(name="Theirs", module=TheirLoss)
    for _ in range(2):
        building.watch(watched)
    built = watched.build(dict(type="Theirs"))
    assert len(seen) == 1
    assert seen[0] is built


def test_a_bare_name_in_another_scope_says_what_to_write(child):
    with pytest.raises(KeyError) as error:
        child.build(dict(type="WIoULoss"))
    (said,) = error.value.args
    assert said.startswith(f"WIoULoss is not in the {SCOPE}::model registry")
    assert said.count("mmdet_losses.WIoULoss") == 1
    assert 'type="mmdet_losses.WIoULoss"' in said
    assert "mmdet_losses.register_into(" in said
    # and both are true
    assert type(child.build(dict(type="mmdet_losses.WIoULoss"))) is mmdet_losses.WIoULoss
    register_into(child)
    assert type(child.build(dict(type="WIoULoss"))) is mmdet_losses.WIoULoss


def test_it_says_so_where_a_head_is_built_in_that_scope(child, monkeypatch):
    """The default scope decides where the names of a head's losses are looked up, whoever builds the head."""
    scope = type("Scope", (), {"scope_name": SCOPE})
    monkeypatch.setattr(DefaultScope, "get_current_instance", classmethod(lambda cls: scope))
    head = dict(HEAD_ON_DELTAS, loss_cls=dict(type="mmdet.FocalLoss"), bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder"))
    with pytest.raises(KeyError, match=rf"L1Loss is not in the {SCOPE}::model.*mmdet_losses\.L1Loss") as error:
        MMDET_MODELS.build(dict(head, type="mmdet.RetinaHead", loss_bbox=dict(type="L1Loss")))
    assert error.value.args[0].count("It is a loss of mmdet_losses") == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CIOULoss", "CIoULoss"),
        ("focalloss", "FocalLoss"),
        ("FocalLos", "FocalLoss"),
        ("FocaLoss", "FocalLoss"),
        ("mmdet_losses.CIOULoss", "mmdet_losses.CIoULoss"),
        ("DiceLos", "DiceLoss"),
    ],
)
def test_a_mistyped_name_says_what_is_near(name, meant):
    for config in (
        dict(type=name),
        dict(HEAD_ON_DELTAS, type="RetinaHead", loss_bbox=dict(type=name), loss_cls=dict(type="FocalLoss")),
    ):
        with pytest.raises(KeyError, match=rf"{name} is not in the mmdet::.*Did you mean {meant}( or \w+)*\?") as error:
            MMDET_MODELS.build(config)
        assert error.value.args[0].count("Did you mean") == 1


def test_a_name_that_is_near_to_none_says_nothing():
    with pytest.raises(KeyError, match="ZLoss is not in the mmdet::model registry") as error:
        MMDET_MODELS.build(dict(type="ZLoss"))
    assert "Did you mean" not in error.value.args[0]


def test_a_mistyped_name_in_another_scope(child):
    with pytest.raises(KeyError, match=r"CIOULoss is not in .*Did you mean mmdet_losses\.CIoULoss\?"):
        child.build(dict(type="CIOULoss"))
    with stock_losses():
        with pytest.raises(KeyError, match=r"Did you mean CIoULoss\?"):
            MMDET_MODELS.build(dict(type="CIOULoss"))
        with pytest.raises(KeyError) as error:
            MMDET_MODELS.build(dict(type="PowerfulIOULoss"))
        assert "PowerfulIoULoss" not in error.value.args[0]


def test_other_unknown_names_are_mmengine_s_matter(child):
    for models, name in [(child, "NoSuchLoss"), (child, "RetinaHead"), (ROOT, "NoSuchLoss")]:
        with pytest.raises(KeyError) as error:
            models.build(dict(type=name))
        assert "mmdet_losses" not in error.value.args[0]
    with stock_losses(), pytest.raises(KeyError) as error:
        MMDET_MODELS.build(dict(type="WIoULoss"))
    assert "mmdet_losses" not in error.value.args[0]
    with pytest.raises(KeyError) as error:
        child.build(dict(no_type=1))
    assert "mmdet_losses" not in error.value.args[0]


def test_the_hook_of_statistics_is_known_in_every_scope_below_mmengine():
    hooks = Registry("hook", parent=HOOKS, scope=SCOPE)
    try:
        assert type(hooks.build(dict(type="LossStateHook"))) is LossStateHook
    finally:
        del HOOKS.children[SCOPE]


def test_an_objective_is_known_where_its_head_is_built_in_that_scope(child, monkeypatch):
    scope = type("Scope", (), {"scope_name": SCOPE})
    monkeypatch.setattr(DefaultScope, "get_current_instance", classmethod(lambda cls: scope))
    register_into(child)
    objective = dict(type="GridObjectnessLoss", stride=32)
    head = child.build(dict(type="mmdet.GridCellHead", num_classes=3, in_channels=8, objective=objective))
    assert type(head.objective) is mmdet_losses.GridObjectnessLoss


def test_example_of_the_docstring_runs():
    (test,) = doctest.DocTestFinder(recurse=False).find(register_into, "register_into")
    try:
        assert doctest.DocTestRunner().run(test).failed == 0
    finally:
        del ROOT.children["my_toolbox"]


def test_registries_made_before_and_after_the_import():
    """In a process of its own; in scopes below MMEngine's root nothing has to be called."""
    run_bare(
        """
        from mmengine.registry import MODELS, Registry
        early = Registry("model", parent=MODELS, scope="early")
        grandchild = Registry("model", parent=early, scope="grandchild")
        import mmdet_losses
        late = Registry("model", parent=MODELS, scope="late")
        head = dict(type="mmdet.RetinaHead", num_classes=3, in_channels=8, loss_bbox=dict(type="mmdet_losses.CIoULoss"))
        for models in (early, grandchild, late):
            try:
                models.build(dict(type="CIoULoss"))
            except KeyError as error:
                assert 'type="mmdet_losses.CIoULoss"' in str(error), error
            else:
                raise AssertionError(models.scope)
            try:
                models.build(dict(head))
            except ValueError as error:
                assert "needs decoded boxes" in str(error), error
            else:
                raise AssertionError(models.scope)
        """
    )


def test_losses_registered_later_and_mmengine_s_root():
    """In a process of its own, since registered names stay."""
    run_bare(
        """
        from mmengine.registry import MODELS, Registry
        from mmdet_losses import CIoULoss, GIoULoss, register_into, register_loss

        class Theirs:
            pass

        one, two = Registry("model", scope="one"), Registry("model", scope="two")
        two.register_module(name="LaterLoss", module=Theirs)
        register_into(one)
        register_into(two)

        @register_loss("LaterAlias")
        class LaterLoss(GIoULoss):
            pass

        assert one.get("LaterLoss") is one.get("LaterAlias") is LaterLoss
        assert two.get("LaterLoss") is Theirs and two.get("LaterAlias") is LaterLoss
        assert register_into(two).left == ("LaterLoss",)

        @register_loss()
        class ReplacedLoss(GIoULoss):
            pass

        replaced = ReplacedLoss
        assert one.get("ReplacedLoss") is replaced

        @register_loss(force=True)
        class ReplacedLoss(CIoULoss):
            pass

        assert one.get("ReplacedLoss") is two.get("ReplacedLoss") is ReplacedLoss is not replaced

        child = Registry("model", parent=MODELS, scope="any_scope")
        child.register_module(name="GIoULoss", module=Theirs)
        assert "CIoULoss" in register_into(MODELS).registered
        assert type(child.build(dict(type="CIoULoss"))) is CIoULoss
        assert type(child.build(dict(type="GIoULoss"))) is Theirs
        """
    )


@pytest.mark.parametrize("blocked", ["mmengine", "mmdet"])
def test_it_works_where_mmdetection_is_not(blocked):
    """visdet's users have neither MMEngine nor MMDetection."""
    run_bare(
        f"""
        import importlib.abc, sys

        class Block(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == {blocked!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Block())
        import mmdet_losses

        class Models:
            module_dict = {{}}
            get = module_dict.get

            def register_module(self, name, module, force):
                self.module_dict[name] = module

            def build(self, cfg):
                pass

        assert "CIoULoss" in mmdet_losses.register_into(Models()).registered
        assert Models.module_dict["CIoULoss"] is mmdet_losses.CIoULoss
        """
    )
