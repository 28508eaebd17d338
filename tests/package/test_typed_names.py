"""Type checkers find every public name of the package, though no file lists them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_losses


def test_mypy_finds_every_public_name(tmp_path):
    pytest.importorskip("mypy")
    names = sorted(mmdet_losses.__all__)
    (tmp_path / "names.py").write_text(
        f"from mmdet_losses import {', '.join(names)}\n"
        "from mmdet_losses.registry import LOSSES, MISSING, MODELS, STOCK\n"
        "from mmdet_losses import NoSuchLoss\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "names.py"]
    environment = os.environ | {"MYPYPATH": str(Path(mmdet_losses.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    *found, _ = done.stdout.splitlines()
    assert found == ['names.py:3: error: Module "mmdet_losses" has no attribute "NoSuchLoss"  [attr-defined]']
