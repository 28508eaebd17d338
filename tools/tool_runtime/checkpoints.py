"""Checkpoints that survive an interrupt, and errors of loading them that say what to do."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner.checkpoint import CheckpointLoader

from mmdet_losses.checkpoints import allow_checkpoint_classes

from .errors import ToolError

LAST_CHECKPOINT = "last_checkpoint"


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Load a checkpoint file for MMEngine, with errors that say what to do.

    Args:
        filename: Path of the file.
        map_location: As for ``torch.load``.

    Raises:
        ToolError: Where the file is missing or damaged, or holds a class that is not allowed.
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
                f"({first_global(str(error))}); if you trust its origin, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1"
            ) from error
        raise damaged(filename, error) from error
    except (RuntimeError, EOFError, OSError, BadZipFile, KeyError, ValueError) as error:
        raise damaged(filename, error) from error
    if not isinstance(checkpoint, dict):
        raise ToolError(f"{filename} is not a checkpoint: expected a dict, got {type(checkpoint).__name__}")
    return checkpoint


def first_global(message: str) -> str:
    """Return the class that torch names as not allowed."""
    return message.split("GLOBAL ", 1)[-1].split(" ", 1)[0]


def damaged(filename: str, error: Exception) -> ToolError:
    """Return the error for a file that cannot be read."""
    reason = str(error).split(". ")[0].split("\n")[0]
    return ToolError(
        f"checkpoint {filename} cannot be read ({type(error).__name__}: {reason}): it is damaged, or no checkpoint; "
        "use another one"
    )


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files with an atomic ``put``: a process that is killed leaves the old file unchanged."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a temporary file beside ``filepath``, then rename it."""
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
    """Register loader, backend and allowed classes with MMEngine, for this process."""
    allow_checkpoint_classes()
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    register_backend("local", AtomicLocalBackend, force=True, prefixes="")


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the checkpoint to resume from in ``work_dir``, or None where there is none yet.

    MMEngine's ``last_checkpoint`` has an absolute path; a work directory that was moved since works, too.

    Raises:
        ToolError: Where the named checkpoint does not exist.
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
