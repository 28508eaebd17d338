"""Type checkers find every public name of the package, though no file lists them, and read the options of losses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_losses

NAMES = f"""from mmdet_losses import {", ".join(sorted(mmdet_losses.__all__))}
from mmdet_losses.registry import LOSSES, MISSING, MODELS, STOCK
from mmdet_losses import NoSuchLoss
"""
TYPED = """
from mmdet_losses import AlphaIoULoss, CIoULoss, FocalLoss, SmoothL1Loss
CIoULoss(1e-6, "mean", 2.0, alpha_gate=0.5, power=3.0, focus=dict(type="IoUFocus"), debug=True, fused=True)
AlphaIoULoss(3.0, "mean", 1.0, base="giou", eps=1e-7, inner_ratio=0.8)
FocalLoss(True, 2.0, [0.5, 0.25], "mean", 1.0, False)
CIoULoss(alpha_gat=0.5)
SmoothL1Loss(betta=0.1)
FocalLoss(gamma="2")
SmoothL1Loss(1.0, "mean", 1.0, 1.0)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What mypy says of both, by one run, most of which is that it reads torch."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("typed")
    (folder / "names.py").write_text(NAMES)
    (folder / "typed.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports"]
    environment = os.environ | {"MYPYPATH": str(Path(mmdet_losses.__file__).parents[1])}
    done = subprocess.run(
        [*command, "names.py", "typed.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    *found, summary = done.stdout.splitlines()
    assert "checked 2 source files" in summary, done.stdout + done.stderr
    return found


def test_mypy_finds_every_public_name(shown):
    assert [line for line in shown if not line.startswith("typed.py")] == [
        'names.py:3: error: Module "mmdet_losses" has no attribute "NoSuchLoss"  [attr-defined]'
    ]


def test_type_checker_reads_the_options(shown):
    """Correct calls pass, and each of the last four is an error."""
    lines = {int(line.split(":")[1]) for line in shown if line.startswith("typed.py") and ": error:" in line}
    assert lines == {6, 7, 8, 9}, shown
