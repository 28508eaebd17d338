"""Fetch what goes into a bundle."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from environment.failures import AGAIN, Failure
from environment.make import cache_folder
from environment.permissions import others_can_write
from environment.progress import Steps
from environment.state import ROOT

from .pip_packaging import parse_wheel_filename
from .target import GLIBC, Target

PIP = (sys.executable, "-m", "pip")


def wheels(steps: Steps, target: Target, pinned: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Download the wheel of each pin.

    Args:
        steps: Where progress is shown; runs pip.
        target: For which machine.
        pinned: Name to version.
        folder: Where the wheels are put.

    Returns:
        Canonical name to wheel.
    """
    requirements = [f"{name}=={version}" for name, version in pinned.items()]
    command = [*PIP, "download", "--no-deps", *target.pip_options(), "--dest", folder, *requirements]
    try:
        steps.run(command, os.environ)
    except Failure as failure:
        missing = re.search(r"No matching distribution found for (\S+)", str(failure))
        if not missing:
            raise
        raise Failure(
            f"the package index has no wheel of {missing[1]} for Python {target.python} on {target.machine} with glibc "
            f"2.{GLIBC}, or it cannot be reached: check the network and `python3 -m pip config list`, {AGAIN}.\n"
            f"  Log: {steps.log}"
        ) from None
    return {str(parse_wheel_filename(path.name)[0]): path for path in folder.glob("*.whl")}


def builder(steps: Steps, tools: list[Path], scratch: Path) -> dict[str, str]:
    """Unpack setuptools and what else a build needs; return the environment variables to build with."""
    folder = scratch / "tools"
    steps.run([*PIP, "install", "--quiet", "--no-deps", "--no-index", "--target", folder, *tools], os.environ)
    config = scratch / "setup.cfg"  # nothing is written into the checkout
    config.write_text(f"[egg_info]\negg_base = {scratch}\n[build]\nbuild_base = {scratch / 'build'}\n")
    return {**os.environ, "PYTHONPATH": str(folder), "DIST_EXTRA_CONFIG": str(config)}


def check_checkout() -> None:
    """Raise Failure where there is nothing to build the package from, as in an installed wheel."""
    if not (ROOT / "pyproject.toml").is_file():
        raise Failure(f"{ROOT} has no pyproject.toml, from which the package is built: run the tool in a clone.")


def package(steps: Steps, environ: Mapping[str, str], folder: Path) -> Path:
    """Build the wheel of this checkout."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    steps.run([*PIP, "wheel", *options, ROOT], environ)
    (wheel,) = folder.glob("mmdet_losses-*.whl")
    return wheel


def sources(steps: Steps, mmcv: str, environ: Mapping[str, str], folder: Path) -> Path:
    """Download mmcv's sdist."""
    options = ["--no-deps", "--no-build-isolation", "--no-binary", "mmcv", "--dest", folder]
    environ = {key: value for key, value in environ.items() if key != "DIST_EXTRA_CONFIG"}
    steps.run([*PIP, "download", *options, f"mmcv=={mmcv}"], environ)
    (sdist,) = folder.glob("mmcv-*")
    return sdist


def check_wheel(wheel: Path, target: Target) -> None:
    """Raise Failure where a wheel of mmcv that the user gives is none, or by its name does not fit."""
    wanted = f"mmcv-{target.pinned()['mmcv']}-cp{target.python.replace('.', '')}-*_{target.machine}.whl"
    if not wheel.is_file() or not wheel.match(wanted):
        raise Failure(f"--mmcv-wheel must be a file {wanted} that was built for torch {target.torch}, got {wheel}.")


def cached_wheel(steps: Steps, mmcv: str, target: Target) -> Path | None:
    """A wheel of mmcv that was built here for the same Python, torch, CUDA and machine."""
    kind = f"cu{target.cuda}-*" if target.cuda else "cpu"
    cache = cache_folder()
    names = [f"mmcv{mmcv}-py{target.python}-torch{target.torch}{build}-{kind}-{target.machine}" for build in ("", "+*")]
    for wheel in sorted(path for name in names for path in cache.glob(f"{name}/mmcv-*.whl")):
        reason = others_can_write(wheel.parent) or others_can_write(wheel)
        if not reason:
            return wheel
        steps.note(f"{wheel} is not taken, since {reason}: let nobody else write there (chmod go-w)")
    return None


def copy_tools(out: Path) -> None:
    """Copy what setup.sh works with, in the places where it lies in the checkout."""
    for name in ("tools/bundling", "tools/environment"):
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__", "*.sh"))
    kernels = out / "mmdet_losses" / "kernels"
    kernels.mkdir(parents=True)
    shutil.copy(ROOT / "mmdet_losses" / "kernels" / "permissions.py", kernels)
