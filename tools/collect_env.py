#!/usr/bin/env python
"""Print what a report of a defect needs: system, Python, torch, MMDetection and what it stands on, this package.

Each part that is missing or cannot be imported is said so; torch is enough to run it.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

import torch

import mmdet_losses

MODULES = ("mmengine", "mmcv", "mmcv._ext", "mmdet", "mmyolo", "mmrotate", "pkg_resources")
BESIDE = ("numpy", "opencv-python", "opencv-python-headless", "pycocotools", "setuptools", "pip")


def installed(name: str) -> str:
    """Version of a distribution, or that it is not installed."""
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed"


def imported(name: str) -> str:
    """Which distribution a module is of, and whether it can be imported."""
    package = name.partition(".")[0]
    if find_spec(package) is None:
        return "not installed"
    of = ", ".join(f"{found} {version(found)}" for found in dict.fromkeys(packages_distributions().get(package, ())))
    try:
        import_module(name)
    except Exception as error:
        return f"{of}: cannot be imported: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return of or "imported"


def compiler() -> str:
    """The first line of what the C++ compiler says of its version."""
    found = shutil.which("c++") or shutil.which("g++")
    if found is None:
        return "none on PATH"
    return subprocess.run([found, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def gpu() -> str:
    if not torch.cuda.is_available():
        return "none visible"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(names)


def facts() -> dict[str, str]:
    """What is said, in order."""
    found = {
        "system": platform.platform(),
        "Python": f"{platform.python_version()}, {sys.executable}",
        "C++ compiler": compiler(),
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}, {torch.get_num_threads()} CPU threads",
        "GPU": gpu(),
        "mmdet_losses": f"{mmdet_losses.__version__}, {mmdet_losses.__path__[0]}",
    }
    found |= {name: imported(name) for name in MODULES}
    return found | {name: installed(name) for name in BESIDE}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = facts()
    width = max(map(len, found)) + 2
    for name, text in found.items():
        print(f"{name + ':':{width}}{text}")


if __name__ == "__main__":
    main()
