"""Editors and type checkers see every public name and every option of every loss, and underline a wrong one."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cases import one_per_class

import mmdet_losses

ROOT = Path(__file__).parents[2]
RIGHT = (
    'CIoULoss(1e-6, "mean", 2.0, alpha_gate=0.5, power=3.0, focus=dict(type="IoUFocus"), debug=True, fused=True)',
    'AlphaIoULoss(3.0, "mean", 1.0, base="giou", eps=1e-7, inner_ratio=0.8)',
    'FocalLoss(True, 2.0, [0.5, 0.25], "mean", 1.0, False)',
    'value: torch.Tensor = L1Loss()(torch.zeros(1, 4), torch.zeros(1, 4), avg_factor=2.0, reduction_override="sum")',
    "giou_loss(torch.zeros(1, 4), torch.zeros(1, 4), inner_ratio=0.8).sum()",
    'path: str = mmdet_losses.config_path("retinanet/retinanet_r50_fpn_ciou_8xb2-1x_coco.py")',
)
WRONG = (
    "from mmdet_losses import NoSuchLoss",
    "CIoULoss(alpha_gat=0.5)",
    "SmoothL1Loss(betta=0.1)",
    'FocalLoss(gamma="2")',
    'SmoothL1Loss(1.0, "mean", 1.0, 1.0)',
    "WIoULoss(version=None)",
    "giou_loss(torch.zeros(1, 4))",
    "giou_loss(torch.zeros(1, 4), torch.zeros(1, 4), inner_ration=0.8)",
)


def calls(cls: type, given: dict[str, object]) -> tuple[str, str]:
    """A call with every option, each as a case gives it or else by its default, and one with an option it lacks."""
    values = {name: parameter.default for name, parameter in cls.options().items()} | given
    required = {name: value for name, value in given.items() if cls.options()[name].default is inspect.Parameter.empty}
    return written(cls, values), written(cls, required | {"no_such_option": 1})


def written(cls: type, values: dict[str, object]) -> str:
    return f"{cls.__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"


@pytest.fixture(scope="module")
def source() -> tuple[str, set[int]]:
    """A file of right and wrong lines, and the numbers of the wrong ones."""
    names = ", ".join(sorted(mmdet_losses.__all__))
    right = [
        "import torch",
        "import mmdet_losses",
        f"from mmdet_losses import {names}",
        "from mmdet_losses.functional import giou_loss",
        "from mmdet_losses.registry import LOSSES, MISSING, MODELS, STOCK",
        *RIGHT,
    ]
    wrong = list(WRONG)
    for case in one_per_class():
        good, bad = calls(case.loss_class, case.options)
        right.append(good)
        wrong.append(bad)
    assert len(wrong) > 60
    first = len(right) + 1
    return "\n".join([*right, *wrong]) + "\n", set(range(first, first + len(wrong)))


def mypy(folder: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "use.py"]
    shown = run(command, folder, MYPYPATH=str(ROOT))
    return {int(found[1]): found[0] for found in re.finditer(r"^use\.py:(\d+): error: .*$", shown, re.MULTILINE)}


def pyright(folder: Path) -> dict[int, str]:
    settings = {"typeCheckingMode": "basic", "extraPaths": [str(ROOT)], "include": ["use.py"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [*PYRIGHT, "--outputjson", "--pythonpath", sys.executable]
    found = json.loads(run(command, folder))["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in errors}


def run(command: list[str], folder: Path, **variables: str) -> str:
    environment = os.environ | variables
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    ).stdout


PYRIGHT = [path] if (path := shutil.which("pyright")) else [sys.executable, "-m", "basedpyright"]
CHECKERS = {mypy: find_spec("mypy"), pyright: shutil.which("pyright") or find_spec("basedpyright")}


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_right_calls_pass_and_wrong_ones_are_underlined(checker, source, tmp_path) -> None:
    if not CHECKERS[checker]:
        pytest.skip(f"{checker.__name__} is not installed")
    text, wrong = source
    (tmp_path / "use.py").write_text(text)
    found = checker(tmp_path)
    lines = ["", *text.splitlines()]
    assert {number: (lines[number], found[number]) for number in found.keys() - wrong} == {}
    assert {lines[number] for number in wrong - found.keys()} == set()
