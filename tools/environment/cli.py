"""The command line of `tools/run`, and the life of the environment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from .failures import AGAIN, Failure
from .locks import Lock

USAGE = """usage: tools/run COMMAND [ARGUMENT ...]

Runs COMMAND in the project's own environment and returns its exit code.
The environment (.venv in the checkout) is made first where it is missing or out of date.

  tools/run python tools/train.py configs/retinanet/...
  tools/run pytest

  MMDET_LOSSES_VENV     the environment's folder                  (default: .venv in the checkout)
  MMDET_LOSSES_CACHE    where the built mmcv is kept              (default: ~/.cache/mmdet_losses)
  MMDET_LOSSES_PYTHON   the Python to make the environment from   (default: this one, else one on PATH)
  MAX_JOBS              compilers at a time                       (default: one per core)

Exit code 125: the environment could not be made; 126, 127: COMMAND cannot be run, or was not found."""

RECIPE = "1"  # raise it when the environment must be made again though no pin changed
ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).with_name("constraints.txt")
MARKER = ".made-by-mmdet-losses.json"


class Environment:
    """The folder of the environment, and what is known about it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.old = folder.with_name(folder.name + ".old")

    def foreign(self) -> bool:
        """Whether something is there that this tool did not make."""
        if not os.path.lexists(self.folder) or (self.folder / MARKER).is_file():
            return False
        return not self.folder.is_dir() or any(self.folder.iterdir())

    def stamp(self) -> dict[str, str]:
        """What a finished environment's marker says while nothing has changed."""
        return {
            "recipe": hashlib.sha256(RECIPE.encode() + PINS.read_bytes()).hexdigest(),
            "checkout": str(ROOT),
            "folder": str(self.folder),
            "python": os.path.realpath(self.python),
        }

    def finished(self) -> bool:
        return bool(self._marker().get("stamp"))

    def ready(self) -> bool:
        return self._marker().get("stamp") == self.stamp() and self.python.exists()

    def mark(self, finished: bool) -> None:
        """Say whose folder this is and, once it is finished, what it was made from."""
        text = {"note": "Made by tools/run; safe to delete.", "stamp": self.stamp() if finished else None}
        temporary = self.folder / (MARKER + ".new")
        temporary.write_text(json.dumps(text, indent=1))
        os.replace(temporary, self.folder / MARKER)

    def remove(self, folder: Path) -> None:
        """Delete a folder, if it is this tool's; the marker goes last."""
        if not (folder / MARKER).is_file():
            return
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != MARKER:
                entry.unlink()
        shutil.rmtree(folder)

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """Make the environment inside this; on any failure the one before it comes back."""
        if self.finished():
            self.remove(self.old)
            self.folder.rename(self.old)
        else:
            self.remove(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.mark(finished=False)
            yield
            self.mark(finished=True)
        except BaseException:
            self.remove(self.folder)
            if (self.old / MARKER).is_file() and not self.folder.exists():
                self.old.rename(self.folder)
            raise
        self.remove(self.old)

    def _marker(self) -> dict[str, object]:
        try:
            return json.loads((self.folder / MARKER).read_text())
        except (OSError, ValueError):
            return {}


def ensure(environment: Environment) -> Lock:
    """Make the environment where it is missing or stale; return the lock that keeps it in place."""
    if environment.foreign():
        raise Failure(
            f"{environment.folder} was not made by this tool, so it is left alone: move it away, or choose "
            f"another folder with MMDET_LOSSES_VENV=FOLDER, {AGAIN}."
        )
    lock = Lock(environment.folder.with_name(environment.folder.name + ".lock"), str(environment.folder))
    lock.shared()
    while not environment.ready():
        lock.exclusive()
        if not environment.ready():
            from .make import make

            make(environment, lock)
        lock.shared()
    return lock


def execute(environment: Environment, command: list[str]) -> NoReturn:
    """Become the command."""
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    environ["VIRTUAL_ENV"] = str(environment.folder)
    environ["PATH"] = f"{environment.folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and exec would hand that on
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environ)
    except FileNotFoundError:
        _stop(f"the command `{command[0]}` was not found.", 127)
    except OSError as error:
        _stop(f"the command `{command[0]}` cannot be run: {error.strerror}.", 126)


def main(command: list[str]) -> NoReturn:
    """Run a command in the environment; never returns."""
    if not command or command[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if command else sys.stderr)
        sys.exit(0 if command else 2)
    folder = os.path.realpath(os.environ.get("MMDET_LOSSES_VENV") or ROOT / ".venv")
    environment = Environment(Path(folder))
    handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        lock = ensure(environment)
    except Failure as failure:
        _stop(str(failure), 125)
    except KeyboardInterrupt:
        _stop(f"interrupted; nothing is lost: run the same command again to make {folder}.", 130)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free 4 GB (15 GB for the CUDA build of torch)" if full else "make it writable"
        _stop(f"{error.filename or folder}: {error.strerror}; {remedy}, {AGAIN}.", 125)
    signal.signal(signal.SIGTERM, handler)
    lock.inherit()
    execute(environment, command)


def _stop(message: str, code: int) -> NoReturn:
    print(f"tools/run: {message}", file=sys.stderr)
    sys.exit(code)
