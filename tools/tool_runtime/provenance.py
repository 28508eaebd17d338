"""Versions and commit that a figure comes from."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mmdet_losses

VERSIONS = ("torch", "numpy", "mmengine", "mmcv", "mmdet", "mmdet_losses")


def provenance() -> dict[str, Any]:
    """Return the versions of what is installed, and the commit."""
    versions = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "commit": commit()}


def commit() -> str | None:
    """Return the commit of the package's checkout, with '+' where files differ from it; None without git."""
    here = Path(mmdet_losses.__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
