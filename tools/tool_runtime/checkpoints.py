"""Checkpoints that survive an interruption, and that load with torch's ``weights_only`` safety left on."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from .errors import ToolError

LAST_CHECKPOINT = "last_checkpoint"


def history_method(owner: type, name: str) -> Callable:
    """The one use that mmengine's checkpoints make of ``getattr``: a statistics method of ``HistoryBuffer``.

    Raises:
        pickle.UnpicklingError: for every other object or name, so that no file gets a general ``getattr``.
    """
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f"getattr({owner!r}, {name!r}) is not allowed in a checkpoint")


def allowed_globals() -> list[Any]:
    """What an mmengine checkpoint holds beside tensors and containers: its log history, and plain numpy values.

    The pairs name a global as a file has it: numpy 2 has renamed ``numpy.core`` to ``numpy._core``, and a file written
    under one of them loads under the other.
    """
    reconstruct = np.array(0.0).__reduce__()[0]
    scalar = np.float64(0.0).__reduce__()[0]
    globals_: list[Any] = [HistoryBuffer, np.ndarray, np.dtype, (history_method, "builtins.getattr")]
    for core in ("numpy.core", "numpy._core"):
        globals_ += [
            (reconstruct, f"{core}.multiarray._reconstruct"),
            (scalar, f"{core}.multiarray.scalar"),
        ]
    # numpy >= 1.25 has a class per dtype, which the unpickler looks up when it sets the dtype's state
    kinds = {type(np.dtype(code)) for code in ("?", *np.typecodes["AllInteger"], *np.typecodes["Float"], "U")}
    return globals_ + sorted(kinds - {np.dtype}, key=lambda kind: kind.__name__)


def allow_checkpoint_classes() -> None:
    """Lets mmengine's checkpoints load under torch >= 2.6, where ``torch.load`` refuses every class that it does not
    know. Older torch does not check by default, and nothing is changed there."""
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(allowed_globals())


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Loads a checkpoint file for mmengine, with errors that say what to do.

    Args:
        filename: path of the file.
        map_location: as for ``torch.load``.

    Raises:
        ToolError: the file is missing or damaged, or it holds a class that is not allowed.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise ToolError(f"checkpoint {filename} does not exist")
    try:
        checkpoint = torch.load(path, map_location=map_location)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error):
            raise ToolError(
                f"checkpoint {filename} holds objects that torch does not load from an untrusted file "
                f"({_first_global(str(error))}); if you trust its origin, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1"
            ) from error
        raise _damaged(filename, error) from error
    except (RuntimeError, EOFError, OSError, BadZipFile, KeyError, ValueError) as error:
        raise _damaged(filename, error) from error
    if not isinstance(checkpoint, dict):
        raise ToolError(f"{filename} is not a checkpoint: expected a dict, got {type(checkpoint).__name__}")
    return checkpoint


def _first_global(message: str) -> str:
    return message.split("GLOBAL ", 1)[-1].split(" ", 1)[0]


def _damaged(filename: str, error: Exception) -> ToolError:
    reason = str(error).split(". ")[0].split("\n")[0]
    return ToolError(
        f"checkpoint {filename} cannot be read ({type(error).__name__}: {reason}): it is damaged, or no checkpoint; "
        "use another one"
    )


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with ``put`` all or nothing: a process that is killed leaves the old file as it was."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes ``obj`` beside ``filepath`` and then renames it."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def install() -> None:
    """Gives mmengine the loader, the writer and the allow-list above, for this process."""
    allow_checkpoint_classes()
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    register_backend("local", AtomicLocalBackend, force=True, prefixes="")


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint that a stopped training in ``work_dir`` continues from, or None where there is none yet.

    mmengine notes an absolute path; a work directory that was moved since still works.

    Raises:
        ToolError: the note is there and the checkpoint is not.
    """
    note = Path(work_dir) / LAST_CHECKPOINT
    if not note.is_file():
        return None
    noted = Path(note.read_text().strip())
    for path in (noted, Path(work_dir) / noted.name):
        if path.is_file():
            return path
    have = sorted(Path(work_dir).glob("*.pth"), key=lambda path: path.stat().st_mtime)
    remedy = f"pass --resume {have[-1]}" if have else "train without --resume"
    raise ToolError(f"{note} names the checkpoint {str(noted)!r}, which does not exist; {remedy}")
