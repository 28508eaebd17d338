"""The command line of `tools/run`."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from .checkout import mend
from .failures import AGAIN, NEEDS, WRITABLE, Failure
from .locks import Lock
from .state import ROOT, Environment

USAGE = """usage: tools/run COMMAND [ARGUMENT ...]

Runs COMMAND in the project's own environment and returns its exit code.
The environment (.venv in the checkout) is made first where it is missing or out of date.

  tools/run python tools/train.py configs/retinanet/...
  tools/run pytest

  MMDET_LOSSES_VENV     the environment's folder                  (default: .venv in the checkout)
  MMDET_LOSSES_CACHE    where the built mmcv is kept              (default: ~/.cache/mmdet_losses)
  MMDET_LOSSES_PYTHON   the Python to make the environment from   (default: this one, else one on PATH)
  MAX_JOBS              compilers at a time                       (default: one per core and 3 GB of memory)

Exit code 125: the environment could not be made; 126, 127: COMMAND cannot be run, or was not found."""


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
        if environment.stale() == {"project"} and environment.mendable() and not lock.attempt():
            print(
                f"tools/run: pyproject.toml has changed, but another process uses {environment.folder}: the package "
                "is installed again by a later call",
                file=sys.stderr,
                flush=True,
            )
            lock.shared()
            break
        lock.exclusive()
        if not environment.ready():
            from .make import make

            (mend if environment.mendable() else make)(environment, lock)
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
        stop(f"the command `{command[0]}` was not found.", 127)
    except OSError as error:
        stop(f"the command `{command[0]}` cannot be run: {error.strerror}.", 126)


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
        stop(str(failure), 125)
    except KeyboardInterrupt:
        stop(f"interrupted. {after_interrupt(environment)}", 130)
    except OSError as error:
        remedy = f"free {NEEDS}" if error.errno in (errno.ENOSPC, errno.EDQUOT) else WRITABLE
        stop(f"{error.filename or folder}: {error.strerror}; {remedy}, {AGAIN}.", 125)
    signal.signal(signal.SIGTERM, handler)
    lock.inherit()
    execute(environment, command)


def after_interrupt(environment: Environment) -> str:
    """What is lost and what is kept."""
    if environment.finished():
        return f"{environment.folder} is still the one from before: the same command brings it up to date."
    if environment.resumable():
        return f"Nothing is lost: the same command goes on with building mmcv for {environment.folder}."
    return (
        f"The same command makes {environment.folder} again from its start, and finds what pip has downloaded and a "
        "finished mmcv in their caches."
    )


def stop(message: str, code: int) -> NoReturn:
    print(f"tools/run: {message}", file=sys.stderr)
    sys.exit(code)
