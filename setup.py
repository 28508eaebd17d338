"""Puts the configs, the tools and the model index into the wheel, where MMEngine and mim look for them.

All else is in pyproject.toml. The files are those of the checkout, so there is nothing to keep in step and no link that
a checkout may lack.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("configs", "tools")
INDEX = "model-index.yml"
LEFT_OUT = ("__pycache__", "*.py[cod]", "run", "mutation.sh")
"""Beside what Python writes, the tools that serve a checkout alone."""


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
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copy(ROOT / INDEX, target / INDEX)


setup(cmdclass={"build_py": BuildWithConfigs})
