"""Install torch: see which build of it the index has, and what that asks of the disk, before it is downloaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .failures import AGAIN, Failure
from .progress import Steps

GIB = 2**30
# Gigabytes that an environment takes with each build of torch, and pip's downloads while it installs them.
NEEDED = {"CPU": (2.0, 0.0), "CUDA": (5.6, 3.4)}
CPU_INDEX = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"


def install(
    steps: Steps, command: Sequence[str | Path], requirement: str, folder: Path, environ: Mapping[str, str]
) -> None:
    """Install torch, and say so where it is the CUDA build and no GPU is seen.

    Args:
        steps: Where progress is shown.
        command: pip's command, to which the requirement is added.
        requirement: The pinned torch.
        folder: The environment.
        environ: Environment variables of the command.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        steps.run([*command, "--dry-run", "--no-deps", "--report", report, requirement], environ)
        (torch,) = json.loads(report.read_text())["install"]
    needed = torch["metadata"].get("requires_dist", [])
    if any(re.match(r"(nvidia|cuda)-", name) for name in needed):
        hint = "" if gpu_is_seen(environ) else f"; no GPU is seen, and {CPU_INDEX} takes the CPU build (1.6 GB)"
        check_disk(folder, "CUDA", hint)
        if hint:
            steps.note(f"this is torch's CUDA build, whose environment takes 5.3 GB{hint}")
    steps.run([*command, requirement], environ)


def check_disk(folder: Path, build: str, hint: str = "") -> None:
    """Raise Failure where the disk has no room for an environment with this build of torch."""
    while not folder.is_dir():
        folder = folder.parent
    needed, downloads = NEEDED[build]
    if folder.stat().st_dev == os.stat(tempfile.gettempdir()).st_dev:
        needed += downloads
    free = shutil.disk_usage(folder).free / GIB
    if free < needed:
        raise Failure(
            f"{folder} has {free:.1f} GB free, and an environment with torch's {build} build needs {needed:.0f} GB: "
            f"free some, or choose another disk with MMDET_LOSSES_VENV=FOLDER, {AGAIN}{hint}."
        )


def gpu_is_seen(environ: Mapping[str, str]) -> bool:
    """Whether there is an NVIDIA GPU with its driver, or will be, asked before torch is there."""
    devices = ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")
    return environ.get("FORCE_CUDA") == "1" or any(Path(device).exists() for device in devices)
