"""Names: what importing the package registers, in either order, twice, and where parts of MMDetection are missing."""

import subprocess
import sys
import textwrap

import pytest
from cases import REQUIRED
from mmdet.models.losses import CIoULoss as MMDetCIoULoss
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import MODELS as ROOT

import mmdet_losses
from mmdet_losses import registry


def run_python(code, *flags):
    """Standard output of a fresh interpreter; fails with its standard error."""
    result = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


BLOCK = """
    import importlib.abc, sys

    class Block(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name in BLOCKED:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Block())
"""


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


def test_classes_that_heads_test_for():
    assert issubclass(mmdet_losses.QualityFocalLoss, registry.stock("QualityFocalLoss"))
    assert issubclass(mmdet_losses.SmoothL1Loss, registry.stock("SmoothL1Loss"))


@pytest.mark.parametrize(
    "imports",
    [
        "import mmdet_losses",
        "import mmdet_losses, mmdet.models",
        "import mmdet.models, mmdet_losses",
        "import mmdet.registry, mmdet_losses",
        "import mmengine, mmdet_losses; from mmdet.utils import register_all_modules; register_all_modules()",
        "import mmdet_losses, importlib, mmdet_losses.registry; importlib.import_module('mmdet_losses')",
        "from mmengine.config import Config\n"
        "Config(dict(custom_imports=dict(imports=['mmdet_losses'], allow_failed_imports=False)))\n"
        "from mmengine.utils import import_modules_from_strings\n"
        "import_modules_from_strings(['mmdet_losses'])",
    ],
)
def test_any_order_of_imports(imports):
    code = f"{imports}\nfrom mmdet.registry import MODELS\nprint(type(MODELS.build(dict(type='CIoULoss'))))"
    out = run_python(code)
    assert "mmdet_losses.modules.boxes.members.CIoULoss" in out
    assert out.count("in place of MMDetection's") == 1


def test_one_line_says_what_is_replaced():
    line = next(line for line in run_python("import mmdet_losses").splitlines() if "in place of" in line)
    for name in registry.STOCK:
        assert name in line.split("new:")[0]
    assert "FocalEIoULoss" in line.split("new:")[1]


def test_scoped_name_needs_no_import_and_makes_later_bare_names_ours():
    out = run_python(
        """
        from mmdet.registry import MODELS
        before = type(MODELS.build(dict(type="GIoULoss"))).__module__
        scoped = type(MODELS.build(dict(type="mmdet_losses.CIoULoss"))).__module__
        after = type(MODELS.build(dict(type="GIoULoss"))).__module__
        print("RESULT", before, scoped, after)
        """
    )
    result = next(line for line in out.splitlines() if line.startswith("RESULT"))
    ours = "mmdet_losses.modules.boxes.members"
    assert result.split()[1:] == ["mmdet.models.losses.iou_loss", ours, ours]


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
        ("mmcv._ext", "no compiled operators"),
    ],
)
def test_plain_torch_modules_where_a_part_is_missing(blocked, reason):
    out = run_python(
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
            try:
                registry.stock("CIoULoss")
            except ValueError as error:
                print(error)
            """
        )
    )
    assert reason in out
    assert "tensor(0.9683)" in out
    assert "tensor(4.5000)" in out


def test_any_other_import_error_propagates():
    code = "BLOCKED = {'terminaltables'}" + textwrap.dedent(BLOCK) + "\nimport mmdet_losses"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert "terminaltables" in result.stderr


def test_config_dump_and_reload_keeps_the_loss(tmp_path):
    from mmengine.config import Config

    cfg = Config(dict(loss=dict(type="EIoULoss", loss_weight=2.0, focus=dict(type="IoUFocus", gamma=0.25))))
    cfg.dump(tmp_path / "c.py")
    loss = MMDET_MODELS.build(Config.fromfile(tmp_path / "c.py").loss)
    assert type(loss) is mmdet_losses.EIoULoss
    assert loss.focus.gamma == 0.25
