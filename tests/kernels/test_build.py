"""How the hand-written kernels are compiled, cached and loaded, and what other processes see of it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mmdet_losses.kernels import build, library

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small kernel, and an empty cache."""
    (tmp_path / "vec.h").write_text("")
    (tmp_path / "boxes.cpp").write_text('extern "C" int seven() { return 7; }')
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setenv("MMDET_LOSSES_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_damaged_files_are_compiled_again(sources: Path) -> None:
    path = build.library_path("boxes")
    assert path.parent == sources / "cache" / "kernels"
    for damage in (b"", b"junk" * 100, None):
        path.unlink(missing_ok=True)  # not written over: it is loaded
        if damage is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(damage)
        assert build.load("boxes").seven() == 7
        assert build.is_whole(path)
    written = path.stat().st_mtime_ns
    assert build.load("boxes").seven() == 7
    assert path.stat().st_mtime_ns == written
    (sources / "boxes.cpp").write_text('extern "C" int seven() { return 8; }')
    assert build.load("boxes").seven() == 8


def test_headers_count(sources: Path) -> None:
    """A change of any header compiles anew."""
    before = build.library_path("boxes")
    (sources / "loss.h").write_text("// new")
    assert build.library_path("boxes") != before


def test_compiled_twice_at_once(sources: Path) -> None:
    path = build.library_path("boxes")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: build.compile_into("boxes", path), range(4)))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert build.is_whole(path)


def test_why_it_cannot_be_compiled(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sources / "boxes.cpp").write_text("this is no C++")
    with pytest.raises(build.BuildError, match="error"):
        build.load("boxes")
    (sources / "boxes.cpp").write_text('extern "C" int seven() { return 7; }')
    monkeypatch.setenv("MMDET_LOSSES_CACHE", str(sources / "vec.h"))
    with pytest.raises(build.BuildError, match=r"vec\.h"):
        build.load("boxes")


def test_flags_that_a_compiler_does_not_know(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "TUNING", (("-march=of-the-future",), ()))
    assert build.load("boxes").seven() == 7


BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "mmengine":
            raise ModuleNotFoundError(name="mmengine")

sys.meta_path.insert(0, Blocked())
"""


def run_script(script: str, **environment: str) -> str:
    """What a fresh process says, without MMDetection, whose import takes seconds."""
    script = BLOCK + script
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


SCRIPT = """
import os, torch
from mmdet_losses import CIoULoss, FocalLoss
from mmdet_losses.kernels import written
torch.set_num_threads(2)
target = torch.rand(9000, 4).cumsum(1)
pred = target + 0.1

def step():
    leaf, other = (pred.clone().requires_grad_() for _ in range(2))
    value, expected = CIoULoss(fused=True)(leaf, target), CIoULoss()(other, target)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-3, atol=1e-7)
"""


@pytest.mark.compiler
def test_failing_compiler(tmp_path: Path) -> None:
    script = SCRIPT + "step()\nstep()\nassert written.unavailable"
    said = run_script(
        script, CXX="/bin/false", MMDET_LOSSES_CACHE=str(tmp_path), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "inductor")
    )
    assert said.count("fused=True") == 1
    assert "without fused=True" in said


def test_forks_and_one_openmp() -> None:
    """After threads have been used, which a forked process does not have."""
    script = SCRIPT + (
        "step()\n"
        "assert written.unavailable is None\n"
        "maps = open('/proc/self/maps').read().splitlines()\n"
        "assert len({line.split()[-1] for line in maps if 'gomp' in line}) <= 1\n"
        "from mmdet_losses.kernels.library import runner\n"
        "assert runner()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    torch.set_num_threads(1)\n"
        "    CIoULoss(fused=True)(pred, target)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    assert "fused" not in run_script(script)


def test_forked_process_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.threads_for(library.LARGE) == torch.get_num_threads()
    assert library.threads_for(library.LARGE - 1) == 1
    monkeypatch.setattr(library, "forked", True)
    assert library.threads_for(library.LARGE) == 1


def test_can_be_switched_off() -> None:
    run_script(SCRIPT + "assert not written.ENABLED", MMDET_LOSSES_NATIVE="0")
