"""The tool that runs the losses on old and new torch: its versions, its table, and libraries that stand in."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch_matrix
import yaml
from torch_versions import first_of_class, interpreters, stand_ins
from torch_versions.environment import ROOT, Outcome, Unavailable


def test_public_ci_runs_the_versions_of_the_tool() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/torch-versions.yml").read_text())
    jobs = [(entry["torch"], entry["python"]) for entry in workflow["jobs"]["losses"]["strategy"]["matrix"]["include"]]
    assert jobs == [(torch, python) for torch, pythons in torch_matrix.PYTHONS.items() for python in pythons]


def test_newest_version_is_the_pinned_one() -> None:
    pins = (ROOT / "tools/environment/constraints.txt").read_text()
    assert re.search(r"^torch==(\S+)$", pins, re.MULTILINE)[1] == list(torch_matrix.PYTHONS)[-1]


def test_columns_name_tests_that_are_there() -> None:
    files = [part for column in torch_matrix.COLUMNS.values() for part in column if part.endswith(".py")]
    assert len(files) >= 8
    assert all((ROOT / file).is_file() for file in files)


def test_table() -> None:
    good, bad = Outcome(3), Outcome(1, ["a::b", "c::d"], {"old": 4})
    rows = {
        "torch 1": dict.fromkeys(torch_matrix.COLUMNS, good) | {"fused": bad},
        "torch 2": "no Python 3.10 was found",
    }
    text = torch_matrix.table(rows).splitlines()
    assert text[2] == "| torch 1 | 3 passed | 3 passed | 3 passed | 1 passed, **2 failed**, 4 skipped |"
    assert text[3] == "| torch 2 | no Python 3.10 was found |  |  |  |"
    assert text[-1] == "Skipped: old"


def test_version_that_cannot_be_made_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Environment:
        version, folder = "3.10", Path("x")

        def make(self, interpreter: Path, index: str | None) -> None:
            raise Unavailable("no matching distribution")

    monkeypatch.setattr(interpreters, "find", lambda version: Path(sys.executable))
    assert torch_matrix.run(Environment(), "torch 1", None, False) == "no matching distribution"
    monkeypatch.setattr(interpreters, "find", lambda version: None)
    assert torch_matrix.run(Environment(), "torch 1", None, False) == "no Python 3.10 was found"


def test_finds_only_a_python_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = tmp_path / "a", tmp_path / "b"
    for folder, body in ((broken, "exit 127"), (good, f'exec {sys.executable} "$@"')):
        folder.mkdir()
        shim = folder / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        shim.write_text(f"#!/bin/sh\n{body}\n")
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken}:{good}")
    assert interpreters.find(shim.name.removeprefix("python")) == shim
    monkeypatch.setenv("PATH", str(broken))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path))
    assert interpreters.find(shim.name.removeprefix("python")) is None


def test_one_case_of_each_loss_is_kept() -> None:
    def item(name: str, function: str) -> SimpleNamespace:
        case = SimpleNamespace(params={"case": SimpleNamespace(name=name)})
        return SimpleNamespace(path="file", function=function, callspec=case)

    plain = SimpleNamespace(path="file", function="plain")
    items = [item("A", "f"), item("A", "f"), item("B", "f"), item("A", "g"), plain]
    first, second, third, fourth, last = items
    left = []
    config = SimpleNamespace(hook=SimpleNamespace(pytest_deselected=lambda items: left.extend(items)))
    first_of_class.pytest_collection_modifyitems(config, items)
    assert items == [first, third, fourth, last]
    assert left == [second]


@pytest.mark.skipif(not shutil.which("cc") or not shutil.which("readelf"), reason="needs cc and binutils")
def test_stand_ins_let_a_library_be_loaded(tmp_path: Path) -> None:
    """Of a library that is gone, with a symbol under a version and one without."""

    def compile(name: str, source: str, *options: str) -> None:
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o", tmp_path / name, *options]
        subprocess.run(command, input=source, text=True, check=True)

    for name, symbol, version in (("libgone.so.3", "gone", "gone_3"), ("libaway.so.1", "away", "")):
        script = tmp_path / "map"
        script.write_text(f"{version} {{ global: {symbol}; }};")
        options = [f"-Wl,--version-script={script}"] if version else []
        compile(name, f"int {symbol}(void) {{ return 1; }}", f"-Wl,-soname,{name}", *options)
        script.unlink()
    user = "int gone(void); int away(void); int use(void) { return gone() + away(); }"
    gone, away = tmp_path / "libgone.so.3", tmp_path / "libaway.so.1"
    compile("libuser.so", user, str(gone), str(away), "-Wl,-z,now", "-Wl,-rpath,$ORIGIN")
    gone.unlink()
    away.unlink()
    with pytest.raises(OSError, match=r"lib(gone|away)\.so"):
        ctypes.CDLL(str(tmp_path / "libuser.so"))
    assert stand_ins.write(tmp_path) == ["libaway.so.1", "libgone.so.3"]
    assert ctypes.CDLL(str(tmp_path / "libuser.so")).use() == 200
    assert stand_ins.write(tmp_path) == []
