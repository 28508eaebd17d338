"""Loading with torch's safety on, and writing that an interruption does not spoil."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("mmengine")

import numpy as np
import torch
from command_line import TOOLS
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import load_checkpoint
from tool_runtime import checkpoints
from tool_runtime.errors import ToolError

NEEDS_ALLOW_LIST = pytest.mark.skipif(torch.__version__ < (2, 6), reason="torch.load does not check before 2.6")


def checkpoint() -> dict:
    """A dict of everything that mmengine stores."""
    history = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 1])
    return {
        "state_dict": {"weight": torch.arange(6.0).reshape(2, 3)},
        "meta": {"epoch": 3, "iter": 30, "seed": 0, "dataset_meta": {"classes": ("a", "b"), "palette": [(0, 0, 0)]}},
        "message_hub": {
            "log_scalars": {"train/loss": history},
            "runtime_info": {"best_score": np.float64(0.5), "step": np.int64(7), "flag": np.bool_(True)},
        },
        "numpy": {"float32": np.float32([1.5, -2.0]), "int64": np.arange(4), "word": np.array("word")},
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoints.install()
    torch.save(checkpoint(), tmp_path / "epoch_3.pth")
    return tmp_path / "epoch_3.pth"


def rename_core(file: Path, old: bytes, new: bytes) -> Path:
    """The same checkpoint as numpy of the other generation names its functions."""
    renamed = file.with_name("renamed.pth")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(renamed, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            target.writestr(entry.filename, content)
    return renamed


def check(loaded: dict) -> None:
    history = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert history.mean() == pytest.approx(7 / 3) and history.statistics("max") == 4.0
    assert loaded["message_hub"]["runtime_info"] == {"best_score": 0.5, "step": 7, "flag": True}
    np.testing.assert_array_equal(loaded["numpy"]["float32"], np.float32([1.5, -2.0]))
    np.testing.assert_array_equal(loaded["numpy"]["int64"], [0, 1, 2, 3])
    assert str(loaded["numpy"]["word"]) == "word"
    assert torch.equal(loaded["state_dict"]["weight"], torch.arange(6.0).reshape(2, 3))


@NEEDS_ALLOW_LIST
def test_checkpoint_loads_with_weights_only(saved: Path) -> None:
    check(torch.load(saved, weights_only=True))


@NEEDS_ALLOW_LIST
@pytest.mark.parametrize("name", ["numpy.core", "numpy._core"])
def test_names_of_both_numpy_generations_load(saved: Path, name: str) -> None:
    here = np.array(0.0).__reduce__()[0].__module__.removesuffix(".multiarray").encode()
    check(torch.load(rename_core(saved, here + b".multiarray", name.encode() + b".multiarray"), weights_only=True))


class Attack:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@NEEDS_ALLOW_LIST
@pytest.mark.parametrize(
    "attack",
    [
        Attack(os.mkdir, "made_by_a_checkpoint"),
        Attack(getattr, HistoryBuffer, "register_statistics"),
        Attack(getattr, np.ndarray, "tofile"),
        Attack(getattr, HistoryBuffer, "__init__"),
    ],
    ids=["mkdir", "other method", "numpy method", "constructor"],
)
def test_other_code_in_a_checkpoint_is_refused(attack: Attack, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent)
    torch.save({**checkpoint(), "attack": attack}, saved)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved, weights_only=True)
    with pytest.raises(ToolError, match=r"epoch_3\.pth"):
        checkpoints.load_from_local(str(saved))
    assert not (saved.parent / "made_by_a_checkpoint").exists()


def test_mmengine_loads_through_the_package(saved: Path) -> None:
    model = torch.nn.Linear(3, 2, bias=False)
    load_checkpoint(model, str(saved))
    assert torch.equal(model.weight, torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None], ids=["empty", "text", "cut off"])
def test_damaged_checkpoint_is_named(content: bytes | None, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:900] if content is None else content)
    with pytest.raises(ToolError, match=r"epoch_3\.pth cannot be read .*damaged"):
        checkpoints.load_from_local(str(saved))


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"none\.pth does not exist"):
        checkpoints.load_from_local(str(tmp_path / "none.pth"))


def test_list_is_no_checkpoint(saved: Path) -> None:
    torch.save([1, 2], saved)
    with pytest.raises(ToolError, match="expected a dict, got list"):
        checkpoints.load_from_local(str(saved))


KILLED_WHILE_WRITING = """
import os, signal, sys
import torch
from mmengine.runner.checkpoint import save_checkpoint
from tool_runtime import checkpoints
checkpoints.install()
save_checkpoint({"version": 1}, sys.argv[1])
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save_checkpoint({"version": 2}, sys.argv[1])
"""


def test_process_killed_while_it_writes_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "epoch_1.pth"
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(file)]
    done = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert torch.load(file, weights_only=True) == {"version": 1}


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = checkpoints.AtomicLocalBackend()
    backend.put(b"old", tmp_path / "deep" / "file")

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        backend.put(b"new", tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_bytes() == b"old"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_last_checkpoint(tmp_path: Path) -> None:
    assert checkpoints.last_checkpoint(tmp_path) is None
    (tmp_path / "epoch_2.pth").touch()
    (tmp_path / "last_checkpoint").write_text("/where/it/was/before/it/moved/epoch_2.pth")
    assert checkpoints.last_checkpoint(tmp_path) == tmp_path / "epoch_2.pth"
    (tmp_path / "last_checkpoint").write_text("")
    with pytest.raises(ToolError, match=r"pass --resume .*epoch_2\.pth"):
        checkpoints.last_checkpoint(tmp_path)
