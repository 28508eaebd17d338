"""Names: what is registered when, what is one class, and what remains where parts of MMDetection are missing."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
from cases import REQUIRED
from mmdet.models.losses import CIoULoss as MMDetCIoULoss
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import MODELS as ROOT
from processes import BLOCK, run_and_hear, run_bare, run_forks, run_python

import mmdet_losses
from mmdet_losses import registry


@pytest.mark.parametrize("name", registry.LOSSES)
def test_bare_and_scoped_names_build_this_package_s_class(name):
    expected = registry.LOSSES[name]
    for models, key in [
        (MMDET_MODELS, name),
        (MMDET_MODELS, f"mmdet_losses.{name}"),
        (MMDET_MODELS, f"mmdet.{name}"),
        (ROOT, f"mmdet_losses.{name}"),
        (ROOT, f"mmdet.{name}"),
        (registry.MODELS, name),
    ]:
        assert type(models.build(dict(type=key, **REQUIRED.get(name, {})))) is expected, (models, key)


def test_public_names_are_the_registered_ones():
    assert set(registry.LOSSES) <= set(mmdet_losses.__all__)
    for name, loss in registry.LOSSES.items():
        assert getattr(mmdet_losses, name) is loss
    assert sorted(registry.MODELS.module_dict) == sorted(registry.LOSSES)


def test_stock_class_is_reachable():
    assert registry.stock("CIoULoss") is MMDetCIoULoss
    with pytest.raises(ValueError, match="name must be a loss that mmdet has too, got 'FocalEIoULoss'"):
        registry.stock("FocalEIoULoss")


def test_stock_losses_swap_the_names_and_back():
    with registry.stock_losses():
        assert type(MMDET_MODELS.build(dict(type="CIoULoss"))) is MMDetCIoULoss
        with pytest.raises(KeyError, match="FocalEIoULoss"):
            MMDET_MODELS.build(dict(type="FocalEIoULoss"))
    assert type(MMDET_MODELS.build(dict(type="CIoULoss"))) is mmdet_losses.CIoULoss
    assert type(MMDET_MODELS.build(dict(type="FocalEIoULoss"))) is mmdet_losses.FocalEIoULoss


def test_importing_loads_torch_alone():
    run_python(
        """
        import sys
        import torch, typing_extensions
        before = set(sys.modules)
        import mmdet_losses
        from mmdet_losses.functional import giou_loss
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
        assert loaded == {"mmdet_losses"}, loaded
        """
    )


def test_a_loss_inside_an_objective_is_of_the_class_too():
    box = mmdet_losses.GridObjectnessLoss(loss_box="SmoothL1Loss").loss_box
    assert type(box) is mmdet_losses.SmoothL1Loss


def test_objects_and_classes_from_before_mmdetection_came():
    run_bare(
        f"REQUIRED = {REQUIRED!r}"
        + textwrap.dedent(
            """
            import copy, pickle, sys, torch
            import mmdet_losses as ml
            from mmdet_losses.modules.options import options_of

            class Mine(ml.SmoothL1Loss):
                def __init__(self, scale=2.0, **shared):
                    super().__init__(**shared)
                    self.scale = scale

            pred, target = torch.tensor([[0.0, 0.0, 2.0, 2.0]], requires_grad=True), torch.ones(1, 4)
            losses = [ml.SmoothL1Loss(beta=0.5), Mine(beta=0.5), ml.QualityFocalLoss(beta=1.0)]
            losses += [loss(**REQUIRED.get(name, {})) for name, loss in ml.CATALOGUE.items()]
            dumped, held = pickle.dumps(losses), [dict(loss.__dict__) for loss in losses]
            compiled = torch.compile(losses[0], backend="eager", fullgraph=True)
            values = compiled(pred, target), losses[1](pred, target)
            options = [type(loss).options() for loss in losses]
            assert not {"mmdet", "mmcv", "mmengine"} & set(sys.modules)

            import mmdet.models.losses

            options_of.cache_clear()
            assert options == [type(loss).options() for loss in losses]
            assert values == (compiled(pred, target), losses[1](pred, target))
            own = mmdet.models.losses
            theirs = [own.SmoothL1Loss, own.SmoothL1Loss, own.QualityFocalLoss]
            theirs += [getattr(own, name, torch.nn.Module) for name in ml.CATALOGUE]
            assert sum(cls is not torch.nn.Module for cls in theirs) == 3 + 30
            fresh = [ml.SmoothL1Loss(beta=0.5), Mine(beta=0.5), ml.QualityFocalLoss(beta=1.0)]
            fresh += [loss(**REQUIRED.get(name, {})) for name, loss in ml.CATALOGUE.items()]
            copies = pickle.loads(dumped), copy.deepcopy(losses), pickle.loads(pickle.dumps(losses))
            for group in (losses, fresh, *copies):
                for loss, old, stock, state in zip(group, losses, theirs, held):
                    assert type(loss) is type(old) and isinstance(loss, stock)
                    assert all(getattr(loss, name) == state[name] for name in loss.option_names() if name in state)
            """
        )
    )


SHORT = (
    f" - mmdet_losses - INFO - {len(registry.STOCK)} losses in place of MMDetection's, "
    f"{len(registry.LOSSES) - len(registry.STOCK)} new names."
)


def test_a_bare_name_in_a_process_that_begins_with_nothing():
    """Every order: test_import_orders.py."""
    code = "from mmdet.registry import MODELS\nprint(type(MODELS.build(dict(type='CIoULoss'))))"
    out, (said, *built) = run_and_hear(f"import mmdet_losses\n{code}")
    assert out == "<class 'mmdet_losses.modules.boxes.members.CIoULoss'>\n"
    assert said.endswith(SHORT) and len(said) < 120
    assert "in place of MMDetection's" not in "".join(built)


HEAR = """
import contextlib, io
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    {imports}
lines = err.getvalue().splitlines()
"""


def test_one_short_line_on_standard_error_says_that_names_are_replaced():
    """Once, however they come to be; standard output is the program's; the names are for whoever asks."""
    level = "import logging; logging.getLogger('mmdet_losses').setLevel(logging.{}); import mmdet_losses, mmdet.models"
    build = "from mmdet.registry import MODELS; assert MODELS.get('CIoULoss') is mmdet_losses.CIoULoss\n"
    said = f"assert [line[14:] for line in lines] == [{SHORT!r}], lines\n"
    names = f"""
    short, names = lines
    assert short.endswith({SHORT!r})
    replaced, new = names.split("new:")
    assert all(name in replaced for name in {list(registry.STOCK)!r})
    assert "FocalEIoULoss" in new and "FocalEIoULoss" not in replaced
    """
    ways = (
        ("import mmdet_losses, mmdet.models", said),
        ("import mmdet_losses; from mmdet.utils import register_all_modules; register_all_modules()", said),
        ("import mmdet_losses, importlib, mmdet.models; importlib.reload(mmdet_losses)", said),
        (level.format("DEBUG"), textwrap.dedent(names)),
        (level.format("WARNING"), "assert not lines, lines\n"),
    )
    run_forks(*(HEAR.format(imports=imports) + build + check + "assert not out.getvalue()" for imports, check in ways))


def test_scoped_name_needs_no_import_and_makes_later_bare_names_ours():
    run_forks(
        """
        from mmdet.registry import MODELS
        names = ("GIoULoss", "mmdet_losses.CIoULoss", "GIoULoss")
        before, scoped, after = [type(MODELS.build(dict(type=name))).__module__ for name in names]
        assert before == "mmdet.models.losses.iou_loss"
        assert scoped == after == "mmdet_losses.modules.boxes.members"
        """
    )


def registered_by_decorator():
    """Name of MMEngine's registry and class, of all that the package's files register that way."""
    for file in Path(mmdet_losses.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                for registry in re.findall(
                    r"(\w+)\.register_module\(", " ".join(map(ast.unparse, node.decorator_list))
                ):
                    yield registry, node.name


def test_all_that_is_registered_has_a_scoped_name_that_needs_no_import():
    named = set(registered_by_decorator())
    assert named >= {("HOOKS", "LossStateHook"), ("DATASETS", "ShapesDataset"), ("MODELS", "GridCellHead")}
    run_forks(
        *(
            f"""
            import sys
            assert "mmdet_losses" not in sys.modules
            import {origin}
            found = {origin}.{registry}.get("mmdet_losses.{name}")
            assert found.__name__ == "{name}" and found.__module__.startswith("mmdet_losses."), found
            assert {origin}.{registry}.get("mmdet_losses.{name}") is found
            for unknown in ("mmdet_losses.Unknown", "mmdet_losses.ResNet", "mmdet_losses.CocoDataset"):
                try:
                    {origin}.{registry}.build(dict(type=unknown))
                except (KeyError, RuntimeError):
                    pass
                else:
                    raise AssertionError(unknown)
            """
            for registry, name in sorted(named)
            for origin in ("mmengine.registry", "mmdet.registry")
        )
    )


def test_a_scoped_hook_in_a_runner_s_config_needs_no_import():
    run_forks(
        """
        import tempfile, torch
        from mmengine.registry import DefaultScope
        from mmengine.runner import Runner
        from mmengine.model import BaseModel
        class Model(BaseModel):
            def forward(self, *args, **kwargs): pass
        hooks = [dict(type="mmdet_losses.LossStateHook"), dict(type="mmdet_losses.FusedLossHook")]
        runner = Runner(Model(), tempfile.mkdtemp(), custom_hooks=hooks, default_scope="mmdet", log_level="ERROR")
        names = [type(hook).__module__ for hook in runner.hooks]
        assert names.count("mmdet_losses.hooks") == 2, names
        """
    )


def test_what_needs_mmdetection_brings_it_in():
    asks = (
        'assert registry.stock("CIoULoss").__module__ == "mmdet.models.losses.iou_loss"',
        "with registry.stock_losses(): pass",
        'assert registry.STOCK["CIoULoss"].__module__ == "mmdet.models.losses.iou_loss"',
        'assert registry.MISSING == ""',
    )
    run_forks(
        *(
            f"""
            import sys
            from mmdet_losses import registry
            assert registry.MODELS.module_dict == registry.LOSSES
            assert "mmdet.models" not in sys.modules
            {ask}
            assert "mmdet.models" in sys.modules
            """
            for ask in asks
        )
    )
    run_bare("from mmdet_losses.registry import LOSSES, MODELS; assert MODELS.module_dict == LOSSES")


OWN_LOSS = """
    from mmdet_losses import GIoULoss, register_loss

    @register_loss("OwnAlias"{more})
    class {name}(GIoULoss):
        pass
"""


def test_a_loss_of_one_s_own_is_registered_with_the_others():
    orders = [("import mmdet_losses", "import mmdet.models"), ("import mmdet.models", "")]
    losses = [("OwnLoss", ""), ("FPN", ", force=True"), ("CIoULoss", ", force=True")]
    run_forks(
        *(
            before
            + textwrap.dedent(OWN_LOSS).format(name=name, more=more)
            + textwrap.dedent(
                f"""
                {after}
                from mmdet.registry import MODELS
                from mmdet_losses import registry
                for key in ("{name}", "OwnAlias", "mmdet_losses.{name}"):
                    assert MODELS.get(key) is {name}, key
                with registry.stock_losses():
                    own = MODELS.get("{name}")
                    assert own is registry.STOCK.get("{name}")
                    assert own is None or own.__module__.startswith("mmdet.models")
                    assert (own is None) == ("{name}" == "OwnLoss")
                assert MODELS.get("{name}") is {name}
                """
            )
            for before, after in orders
            for name, more in losses
        )
    )


def test_a_taken_name_is_an_error_as_soon_as_it_is_known():
    said = "the name 'FPN' is taken by a registered loss: choose another, or register_loss(force=True)."
    run_forks(
        textwrap.dedent(OWN_LOSS).format(name="FPN", more="")
        + textwrap.dedent(
            f"""
            for _ in range(2):
                try:
                    import mmdet.models
                except ValueError as error:
                    assert str(error) == {said!r}, error
                else:
                    raise AssertionError
            register_loss(force=True)(FPN)
            import mmdet.models
            from mmdet.registry import MODELS
            assert MODELS.get("FPN") is FPN
            """
        )
    )


def test_unknown_names_slots_and_hooks_need_mmengine_alone():
    run_bare(
        """
        import sys
        import mmdet_losses
        from mmengine.registry import HOOKS, MODELS, Registry
        from torch import nn
        child = Registry("model", parent=MODELS, scope="a_toolbox")

        @child.register_module()
        class Head(nn.Module):
            def __init__(self, loss_bbox=dict(type="IoULoss", return_iou=True)):
                super().__init__()
                self.loss_bbox = child.build(loss_bbox)

        try:
            child.build(dict(type="Head", loss_bbox=dict(type="mmdet_losses.CIoULoss")))
        except ValueError as error:
            assert "this head unpacks (loss, iou)" in str(error), error
        else:
            raise AssertionError
        try:
            child.build(dict(type="CIoULoss"))
        except KeyError as error:
            assert 'type="mmdet_losses.CIoULoss"' in str(error), error
        else:
            raise AssertionError
        import mmengine.runner
        assert HOOKS.get("LossStateHook").__module__ == HOOKS.get("FusedLossHook").__module__ == "mmdet_losses.hooks"
        assert "mmdet" not in sys.modules
        """
    )


def test_functional_needs_torch_alone():
    run_python(
        "BLOCKED = {'mmdet', 'mmcv', 'mmengine', 'numpy'}"
        + textwrap.dedent(BLOCK)
        + textwrap.dedent(
            """
            import torch
            from mmdet_losses.functional import ciou_loss
            assert ciou_loss(torch.zeros(2, 4), torch.ones(2, 4)).shape == (2,)
            assert not {"mmdet", "mmcv", "mmengine"} & set(sys.modules)
            """
        )
    )


@pytest.mark.parametrize(
    ("blocked", "reason"),
    [
        ("mmengine", "MMEngine is not installed"),
        ("mmdet", "MMDetection is not installed"),
        ("mmcv", "MMCV is not installed"),
        ("mmcv._ext", "MMCV has no compiled operators (mmcv-lite?)"),
    ],
)
def test_plain_torch_modules_where_a_part_is_missing(blocked, reason):
    out = run_bare(
        f"BLOCKED, REQUIRED = {{{blocked!r}}}, {REQUIRED!r}"
        + textwrap.dedent(BLOCK)
        + textwrap.dedent(
            """
            import logging
            logging.basicConfig(level=logging.INFO, stream=sys.stdout)
            import copy, pickle, torch, mmdet_losses
            from mmdet_losses import registry
            box = torch.tensor([[0.0, 0, 10, 10]])
            for name, loss in registry.LOSSES.items():
                pickle.loads(pickle.dumps(loss(**REQUIRED.get(name, {}))))
            print(mmdet_losses.CIoULoss()(box, box + 5), mmdet_losses.SmoothL1Loss()(box, box + 5))
            for _ in range(2):
                try:
                    registry.stock("CIoULoss")
                except ValueError as error:
                    print(error)
            try:
                with registry.stock_losses():
                    raise AssertionError
            except ValueError as error:
                print(error)
            assert registry.MISSING and not registry.STOCK
            """
        )
    )
    assert out.count(f"{reason}; the losses are plain torch modules, and none is registered.") == 1
    assert out.count(f"got 'CIoULoss': {reason}") == 2
    assert f"stock losses cannot be used: {reason}" in out
    assert "tensor(0.9683)" in out
    assert "tensor(4.5000)" in out


@pytest.mark.parametrize(("blocked", "known"), [("mmcv._ext", True), ("terminaltables", False)])
def test_whoever_imports_mmdetection_sees_why_it_cannot_be(blocked, known):
    """This package leaves the error as it is, and takes it for a reason only where a package is left out on purpose."""
    run_bare(
        f"BLOCKED = {{{blocked!r}}}"
        + textwrap.dedent(BLOCK)
        + textwrap.dedent(
            f"""
            import mmdet_losses
            for _ in range(2):
                try:
                    import mmdet.models
                except ModuleNotFoundError as error:
                    assert error.name == {blocked!r} and error.__cause__ is error.__context__ is None, error
                else:
                    raise AssertionError
            waiting = {{hook.name for hook in sys.meta_path if type(hook).__name__ == "ImportHook"}}
            assert waiting == {{"mmdet.models", "mmrotate.models"}}
            try:
                print(mmdet_losses.registry.STOCK)
            except ModuleNotFoundError as error:
                assert error.name == {blocked!r} and not {known}, error
            else:
                assert {known}
            """
        )
    )


def test_config_dump_and_reload_keeps_the_loss(tmp_path):
    from mmengine.config import Config

    cfg = Config(dict(loss=dict(type="EIoULoss", loss_weight=2.0, focus=dict(type="IoUFocus", gamma=0.25))))
    cfg.dump(tmp_path / "c.py")
    loss = MMDET_MODELS.build(Config.fromfile(tmp_path / "c.py").loss)
    assert type(loss) is mmdet_losses.EIoULoss
    assert loss.focus.gamma == 0.25
