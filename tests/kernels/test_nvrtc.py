"""How the kernels for GPUs are compiled and kept, with a compiler that only counts; test_cuda_emulated.py runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdet_losses.kernels import build, nvrtc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")

CALL = ("pairs", "Pairs<3, float, float, 0, 4>", 512, (9, 0))


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], bool]]:
    """What was compiled, into folders of the test."""
    said: list[tuple[str, list[str], bool]] = []

    def translate(text: str, flags: list[str], binary: bool) -> bytes:
        said.append((text, flags, binary))
        return f"code {len(said)}".encode()

    monkeypatch.setattr(nvrtc, "translate", translate)
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 0))
    monkeypatch.setattr(nvrtc, "target", lambda capability: ("sm_90", True))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("MMDET_LOSSES_CACHE", str(tmp_path / "chosen"))
    build.tell_shared.cache_clear()
    return said


def test_what_is_compiled_is_kept(compiled: list[Any], tmp_path: Path) -> None:
    assert [nvrtc.compiled(*CALL) for _ in range(2)] == [b"code 1"] * 2
    (kept,) = (tmp_path / "chosen" / "kernels").iterdir()
    assert kept.name.startswith("pairs-sm_90-") and not kept.stat().st_mode & 0o022
    (text, flags, binary) = compiled[0]
    assert "gradient<Pairs<3, float, float, 0, 4>>(call)" in text and binary
    assert "--fmad=false" in flags and "--gpu-architecture=sm_90" in flags
    assert not any("fast" in flag for flag in flags)


def test_other_kernels_and_compilers_are_others(compiled: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc.compiled(*CALL)
    assert nvrtc.compiled("pairs", "Pairs<4, float, float, 0, 4>", 512, (9, 0)) == b"code 2"
    monkeypatch.setattr(nvrtc, "version", lambda: (12, 1))
    assert nvrtc.compiled(*CALL) == b"code 3"
    monkeypatch.setattr(nvrtc, "headers", lambda: b"changed")
    assert nvrtc.compiled(*CALL) == b"code 4"


def test_what_is_damaged_or_open_to_others_is_compiled_again(compiled: list[Any], tmp_path: Path) -> None:
    nvrtc.compiled(*CALL)
    folder = tmp_path / "chosen" / "kernels"
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert nvrtc.compiled(*CALL) == b"code 2"
    kept.chmod(0o666)
    with pytest.warns(UserWarning, match="others can write"):
        assert nvrtc.compiled(*CALL) == b"code 3"
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="others can write"):
        assert nvrtc.compiled(*CALL) == b"code 4"
    assert list((tmp_path / "home" / ".cache" / "mmdet_losses" / "kernels").iterdir())
    assert nvrtc.compiled(*CALL) == b"code 4"


def test_where_nothing_can_be_kept(compiled: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for name in ("MMDET_LOSSES_CACHE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    assert [nvrtc.compiled(*CALL) for _ in range(2)] == [b"code 1", b"code 2"]


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), ("sm_90", True)), ((8, 9), ("compute_80", False)), ((6, 1), None)]
)
def test_architectures(
    capability: tuple[int, int], expected: tuple[str, bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machine code where NVRTC knows the device, PTX of the newest that it knows before, and else a reason."""

    def count(number: Any) -> int:
        number._obj.value = 3
        return 0

    def architectures(known: Any) -> int:
        known[:] = [75, 80, 90]
        return 0

    fake = SimpleNamespace(nvrtcGetNumSupportedArchs=count, nvrtcGetSupportedArchs=architectures)
    monkeypatch.setattr(nvrtc, "libraries", lambda: fake)
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 0))
    nvrtc.target.cache_clear()
    if expected:
        assert nvrtc.target(capability) == expected
    else:
        with pytest.raises(build.BuildError, match=r"6\.1"):
            nvrtc.target(capability)
    nvrtc.target.cache_clear()


def test_a_torch_without_a_compiler_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc.torch, "__file__", str(tmp_path / "__init__.py"))
    nvrtc.libraries.cache_clear()
    with pytest.raises(build.BuildError, match=r"NVRTC: .*libcaffe2_nvrtc"):
        nvrtc.libraries()


def test_errors_name_their_line() -> None:
    with pytest.raises(build.BuildError, match=r'NVRTC: compiling: loss\.cu\(3\): error: no "x"$'):
        nvrtc.check(6, "compiling", 'loss.cu(1): warning: y\nloss.cu(3): error: no "x"\n')
    assert nvrtc.check(0, "compiling") is None
