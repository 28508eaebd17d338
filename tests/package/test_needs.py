"""Every third-party module that is imported is declared, and what is declared is what `tools/run` installs."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
DISTRIBUTIONS = {"cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Distributions of modules with another name."""
STAND_INS = {"opencv-python": "opencv-python-headless"}
"""What `tools/run` installs in place of a distribution."""
WITH_OTHERS = {
    "PIL": "matplotlib",
    "jinja2": "torch",
    "typing_extensions": "torch",
    "pycocotools": "mmdet",
    "numpy": "mmengine",
    "docutils": "sphinx",
    "werkzeug": "dash",
}
"""Modules that come with what is declared."""
WITH_PYTHON = {"pip"}
"""Modules that every environment has."""
ABSENT = {"a_module_that_is_missing"}
"""Modules whose import has to fail."""
LEFT_OUT = {"mutation", "cluster"}
"""Extras that `tools/run` does not install."""
ROOMS = {
    "mmdet_losses": {"openmmlab"},
    "mmdet_losses/data": {"openmmlab", "tools"},
    "tools": {"openmmlab", "tools"},
    "tools/loss_pages": {"openmmlab", "tools", "docs"},
    "tools/bundling": {"openmmlab", "tools", "test"},
    "tools/comparison": {"openmmlab", "tools", "compare", "lab", "cluster"},
    "tools/loss_explorer": {"openmmlab", "tools", "lab"},
    "tools/mutation_testing": {"mutation", "test"},
    "tools/torch_versions": {"test"},
    "tests": {"openmmlab", "tools", "test", "compare", "lab", "cluster"},
}
"""Folders with the extras that they may count on, beside torch."""


def imported(path: Path) -> set[str]:
    """Top-level modules that a file imports, in functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def declared(extras: set[str]) -> set[str]:
    lines = [Requirement(line) for line in PROJECT["dependencies"]] + [line for name in extras for line in EXTRAS[name]]
    return {canonicalize_name(line.name) for line in lines}


def own_modules() -> set[str]:
    """What lies in the checkout, on the path of tools or tests."""
    paths = [path for folder in ("tools", "tests") for path in (ROOT / folder).rglob("*.py")]
    folders = {path.parent.name for path in paths if path.name == "__init__.py"}
    return {"mmdet_losses"} | folders | {path.stem for path in paths}


def pins() -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "tools/environment/constraints.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_imported_is_declared(room: str) -> None:
    inner = [ROOT / other for other in ROOMS if other.startswith(f"{room}/")]
    files = [path for path in (ROOT / room).rglob("*.py") if not any(path.is_relative_to(folder) for folder in inner)]
    found = {name: path for path in files for name in imported(path) - own_modules() - ABSENT - WITH_PYTHON}
    assert found
    known = declared(ROOMS[room])
    missing = {
        name: str(path.relative_to(ROOT))
        for name, path in found.items()
        if canonicalize_name(DISTRIBUTIONS.get(name, WITH_OTHERS.get(name, name))) not in known
    }
    assert not missing


def test_torch_is_the_only_hard_dependency() -> None:
    assert declared(set()) == {"torch"}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - LEFT_OUT))
def test_what_an_extra_asks_for_is_pinned(extra: str) -> None:
    pinned = pins()
    for line in EXTRAS[extra]:
        name = canonicalize_name(line.name)
        if name != PROJECT["name"]:
            assert line.specifier.contains(pinned[STAND_INS.get(name, name)]), line


def test_the_extra_that_is_installed_by_hand_is_pinned_where_it_stands() -> None:
    assert all(str(line.specifier).startswith("==") for line in EXTRAS["mutation"])


def test_imports_are_seen() -> None:
    assert {"cv2", "numpy", "filelock"} <= imported(ROOT / "mmdet_losses/data/drawings.py")
    assert "matplotlib" in imported(ROOT / "tools/loss_benchmark/plots.py")
