"""What docs/fused.md says of the hand-written kernels."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cases import CASES, Case

from mmdet_losses.kernels import generated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")


def written(case: Case, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a hand-written kernel computes it, so that torch.compile is not asked."""
    asked: list[str] = []
    monkeypatch.setattr(generated, "compute", lambda *call: asked.append(case.id))
    loss = case.build(fused=True)
    loss(*case.batch(), avg_factor=2.0)
    return loss.fusible and not asked


def test_the_table_names_the_losses_that_have_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fused.md").read_text()
    named = re.findall(r"\w+", " ".join(re.findall(r"^\| ([\w, ]+Loss) \|", page, re.M)))
    assert len(named) == len(set(named)) > 10
    assert set(named) == {case.name for case in CASES if written(case, monkeypatch)}
