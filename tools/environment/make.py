"""The steps that make the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import checkout, interpreter, mmcv_wheel, torch_build, torch_install
from .failures import Failure
from .locks import Lock
from .progress import Steps
from .state import PINS, Environment

BUILD_TOOLS = ("pip", "setuptools", "wheel", "ninja")
CHECK = "import cv2, torch, mmcv._ext, mmdet.models"


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
    """Make the environment; what a failure or an interrupt leaves half done is never used.

    Args:
        environment: The environment to make, or to replace where it is out of date.
        lock: The exclusive lock on it, which the commands inherit so that none outlives it unseen.
    """
    facts, reason = interpreter.find()
    if not facts:
        raise Failure(reason)
    pinned = pins()
    mmcv = version_of(pinned["mmcv"])
    version = "{}.{}".format(*facts["version"])
    cache = cache_folder()
    if not mmcv_wheel.cached(cache, mmcv, version, version_of(pinned["torch"])):
        torch_build.check_compiler(facts["include"])
    torch_install.check_disk(environment.folder, "CPU")

    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    steps = Steps(total=6, log=environment.log)
    steps.inherit = (lock.fd,) if lock.fd >= 0 else ()
    print(
        f"tools/run: making {environment.folder} with Python {version}, once (full log: {steps.log})",
        file=sys.stderr,
        flush=True,
    )
    environ = checkout.clean_environ(environment)
    python = environment.python
    resumed = environment.resumable() and os.path.realpath(python) == os.path.realpath(facts["executable"])
    if resumed:
        print("tools/run: going on after what an interrupted run finished", file=sys.stderr, flush=True)
    elif not environment.finished() and environment.folder.exists():
        environment.mark()
        print("tools/run: removing what an interrupted run left", file=sys.stderr, flush=True)
    with environment.replacing():
        if resumed:
            steps.number = 3
        else:
            install_packages(steps, facts["executable"], environment, pinned, environ)
            environment.mark(packages=True)
        mmcv_wheel.install(steps, python, version, mmcv, facts["include"], cache, environ)
        with steps.step(checkout.TITLE):
            checkout.install(steps, environment)
        with steps.step("check"):
            steps.run([python, "-c", CHECK], environ)


def install_packages(
    steps: Steps, executable: str, environment: Environment, pinned: dict[str, str], environ: dict[str, str]
) -> None:
    """All packages but mmcv, which is built against them."""
    install = [environment.python, "-m", "pip", "install", "--constraint", PINS]
    with steps.step("environment and build tools"):
        steps.run([executable, "-m", "venv", environment.folder], environ)
        steps.run([*install, *(pinned[name] for name in BUILD_TOOLS)], environ)
    with steps.step(f"torch {version_of(pinned['torch'])}"):
        torch_install.install(steps, install, pinned["torch"], environment.folder, environ)
    rest = [line for name, line in pinned.items() if name not in ("torch", "mmcv", *BUILD_TOOLS)]
    with steps.step("mmengine, mmdet and what they need"):
        steps.run([*install, "--no-deps", *rest], environ)
