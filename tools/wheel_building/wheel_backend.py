"""Builds the wheel: setuptools, and the configs, the tools and the model index where MMEngine and mim look for them.

pyproject.toml names it, and all else is there. The files are those of the checkout, so there is nothing to keep in step
and no link that a checkout may lack.
"""

import shutil
from pathlib import Path

from setuptools.build_meta import *  # noqa: F403  what pip and build call
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("configs", "tools")
INDEX = "model-index.yml"
LEFT_OUT = ("__pycache__", "*.py[cod]", "run", "gpu_check.sh", "mutation.py", "mutation_testing", "wheel_building")
"""Beside what Python writes, the tools that serve a checkout alone."""
STARTED = ("train.py", "test.py")
"""The tools that mim starts by path."""
STARTER = """import runpy
import sys
from pathlib import Path

import mmdet_losses

tools = Path(mmdet_losses.__file__).parent / ".mim" / "tools"
sys.path[0] = str(tools)
runpy.run_path(str(tools / Path(__file__).name), run_name="__main__")
"""


def copy_configs(target: Path) -> None:
    """Copy configs and model index into a folder ``.mim``."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(ROOT / "configs", target / "configs", ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy(ROOT / INDEX, target / INDEX)


class BuildWithConfigs(build_py):
    """Python's files, and beside them what MMDetection's own wheel has in ``.mim``."""

    def run(self) -> None:
        missing = [f"the folder {name}" for name in FOLDERS if not (ROOT / name).is_dir()]
        missing += [f"the file {INDEX}"] * (not (ROOT / INDEX).is_file())
        if missing:
            raise SystemExit(
                f"mmdet_losses cannot be built: {ROOT} must hold {' and '.join(missing)}, which go into the wheel; "
                "build in a whole checkout, or from the sdist."
            )
        super().run()
        if self.editable_mode:  # there the package finds them beside itself
            return
        target = Path(self.build_lib, "mmdet_losses", ".mim")
        copy_configs(target)
        shutil.copytree(ROOT / "tools", target / "tools", ignore=shutil.ignore_patterns(*LEFT_OUT))


class WheelForEveryMim(bdist_wheel):
    """A wheel whose metadata has configs, and what starts the two tools, once more.

    onedl-mim 0.5 takes the folder of the first installed file for the package, and pip sorts the metadata before it.
    """

    def write_wheelfile(self, wheelfile_base: str, *args: str, **options: str) -> None:
        super().write_wheelfile(wheelfile_base, *args, **options)
        target = Path(wheelfile_base, ".mim")
        copy_configs(target)
        (target / "tools").mkdir()
        for name in STARTED:
            (target / "tools" / name).write_text(STARTER)
