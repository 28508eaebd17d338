"""The steps that make the environment."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from . import interpreter, mmcv_wheel, torch_build
from .cli import PINS, ROOT, Environment
from .failures import AGAIN, Failure
from .locks import Lock
from .progress import Steps

BUILD_TOOLS = ("pip", "setuptools", "wheel", "ninja")
CHECK = "import cv2, torch, mmcv._ext, mmdet.models"
LEAST_FREE = 4 * 2**30


def pins() -> dict[str, str]:
    """Distribution name to requirement, in the order of the constraints file."""
    lines = (line.partition("#")[0].strip() for line in PINS.read_text().splitlines())
    return {line.partition("==")[0]: line for line in lines if line}


def version_of(requirement: str) -> str:
    return requirement.partition(";")[0].partition("==")[2].strip()


def cache_folder() -> Path:
    """Where built wheels are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("MMDET_LOSSES_CACHE") or Path(base) / "mmdet_losses").resolve() / "wheels"


def make(environment: Environment, lock: Lock) -> None:
    """Make the environment from nothing; what a failure or an interrupt leaves is never used.

    Args:
        environment: The environment to make, or to replace where it is out of date.
        lock: The exclusive lock on it, which the commands inherit so that none outlives it unseen.
    """
    facts, reason = interpreter.find()
    if not facts:
        raise Failure(reason)
    pinned = pins()
    torch, mmcv = version_of(pinned["torch"]), version_of(pinned["mmcv"])
    version = "{}.{}".format(*facts["version"])
    cache = cache_folder()
    if not mmcv_wheel.cached(cache, mmcv, version, torch):
        torch_build.check_compiler(facts["include"])
    _check_disk(environment.folder)

    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    steps = Steps(total=6, log=environment.folder.with_name(environment.folder.name + ".log"))
    steps.inherit = (lock.fd,) if lock.fd >= 0 else ()
    print(
        f"tools/run: making {environment.folder} with Python {version}, once (full log: {steps.log})",
        file=sys.stderr,
        flush=True,
    )
    if not environment.finished() and environment.folder.exists():
        print("tools/run: removing what an interrupted run left", file=sys.stderr, flush=True)
    environ = _clean_environ(environment)
    python = environment.python
    install = [python, "-m", "pip", "install", "--constraint", PINS]
    rest = [line for name, line in pinned.items() if name not in ("torch", "mmcv", *BUILD_TOOLS)]
    with environment.replacing():
        with steps.step("environment and build tools"):
            steps.run([facts["executable"], "-m", "venv", environment.folder], environ)
            steps.run([*install, *(pinned[name] for name in BUILD_TOOLS)], environ)
        with steps.step(f"torch {torch}"):
            steps.run([*install, pinned["torch"]], environ)
        with steps.step("mmengine, mmdet and what they need"):
            steps.run([*install, "--no-deps", *rest], environ)
        mmcv_wheel.install(steps, python, version, mmcv, facts["include"], cache, environ)
        with steps.step("mmdet_losses, from this checkout"):
            steps.run([*install, "--no-deps", "--no-build-isolation", "--editable", ROOT], environ)
        with steps.step("check"):
            steps.run([python, "-c", CHECK], environ)


def _clean_environ(environment: Environment) -> dict[str, str]:
    """The user's variables, less those that would send pip's or Python's work elsewhere."""
    dropped = re.compile("PYTHON|PIP_(TARGET|PREFIX|ROOT|CONSTRAINT|BUILD_CONSTRAINT|REQUIRE_HASHES)$")
    environ = {key: value for key, value in os.environ.items() if not dropped.match(key)}
    environ.update(
        PATH=f"{environment.folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        VIRTUAL_ENV=str(environment.folder),
        PIP_USER="0",
        PIP_NO_INPUT="1",
        PIP_PROGRESS_BAR="off",
        PIP_ROOT_USER_ACTION="ignore",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    return environ


def _check_disk(folder: Path) -> None:
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise Failure(
            f"{folder} has {free / 2**30:.1f} GB free, and the environment needs 4 GB (15 GB with the CUDA "
            f"build of torch): free some, or choose another disk with MMDET_LOSSES_VENV=FOLDER, {AGAIN}."
        )
