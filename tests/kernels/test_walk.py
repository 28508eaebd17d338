"""The way of a call through the package: in, once down to what computes the loss, and out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor

import mmdet_losses
from mmdet_losses import CIoULoss
from mmdet_losses.kernels import generated, written
from mmdet_losses.modules.look import CALLS

PACKAGE = Path(mmdet_losses.__file__).parent

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")
ROADS = [
    pytest.param("written", 8, "kernels/written.py", marks=ON_LINUX),
    pytest.param("generated", 12, "kernels/generated.py", marks=pytest.mark.compiler),
    pytest.param("eager", 20, "functional/reduce.py"),
]


@pytest.fixture(autouse=True)
def cheap_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiled kernels that are traced and then run as they are."""
    monkeypatch.setattr(generated, "BACKEND", lambda graph, inputs: graph.forward)
    monkeypatch.setattr(generated, "uncompiled", set())
    generated.compiled.cache_clear()
    yield
    generated.compiled.cache_clear()
    torch._dynamo.reset()


def files_visited(action: Callable[[], Any]) -> list[str]:
    """Files of the package whose functions are entered, in order, consecutive ones of the same file counted once."""
    entered: list[Path] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            entered.append(path.relative_to(PACKAGE))

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return [path.as_posix() for path, _ in groupby(entered)]


def step_of(road: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Tensor]:
    """Forward and backward of CIoU with a weight of each row, after what only the first calls do."""
    monkeypatch.setattr(written, "ENABLED", road == "written")
    draw = torch.Generator().manual_seed(0)
    low, size = torch.rand(2, 50, 2, generator=draw) * 100
    target, weight = torch.cat([low, low + size], 1), torch.rand(50, generator=draw)
    pred = (target + torch.randn(50, 4, generator=draw)).requires_grad_()
    loss = CIoULoss(fused=road != "eager")

    def step() -> Tensor:
        pred.grad = None
        loss(pred, target, weight, avg_factor=9.0).backward()
        return pred.grad

    for _ in range(CALLS + 1):
        step()
    return step


@pytest.mark.parametrize(("road", "most", "through"), ROADS)
def test_walk(road: str, most: int, through: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few changes of file, and none back to the modules once they have handed the call down."""
    files = files_visited(step_of(road, monkeypatch))
    assert through in files
    assert len(files) - 1 <= most, " -> ".join(files)
    rooms = [room for room, _ in groupby(file.split("/")[0] for file in files)]
    assert rooms[:2] == ["modules", "kernels"]
    assert "modules" not in rooms[1:]


def test_visits_are_counted() -> None:
    """Of functions that call nothing of other files."""
    from mmdet_losses.functional.dtype import upcast
    from mmdet_losses.functional.reduce import reduce_loss

    def action() -> None:
        upcast(torch.ones(1))
        reduce_loss(torch.ones(2), "sum")
        reduce_loss(torch.ones(2), "none")
        upcast(torch.ones(1))

    assert files_visited(action) == ["functional/dtype.py", "functional/reduce.py", "functional/dtype.py"]
