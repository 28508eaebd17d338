"""The package's own imports: arrows point down, and there is no circle."""

from __future__ import annotations

import ast
import pickle
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mmdet_losses as ml

PACKAGE = Path(__file__).resolve().parents[2] / "mmdet_losses"
LAYERS = ("functional", "kernels", "modules", "yolo")
"""From the lowest up; what is in none of them stands above all."""


def own_imports(path: Path) -> set[str]:
    """Modules of this package that a module imports when it is imported itself."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.ImportFrom):
                found.update(targets(child, package))
            elif isinstance(child, ast.Import):
                found.update(name.name for name in child.names if name.name.startswith(PACKAGE.name))
            visit(child)

    visit(ast.parse(path.read_text()))
    return (found & set(MODULES)) - {module}


def targets(node: ast.ImportFrom, package: str) -> set[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
    inside = {f"{base}.{name.name}" for name in node.names}
    submodules = inside & set(MODULES)
    # of `from package import submodule` it is the submodule that is needed
    return submodules | ({base} if len(submodules) < len(inside) else set())


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}
IMPORTS = {module: own_imports(path) for module, path in MODULES.items()}


def layer_of(module: str) -> int:
    room = module.split(".")[1] if "." in module else ""
    return LAYERS.index(room) if room in LAYERS else len(LAYERS)


def test_there_is_no_circle() -> None:
    try:
        order = list(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) == len(MODULES) > 60


def test_arrows_point_down() -> None:
    up = [(a, b) for a, found in IMPORTS.items() for b in found if layer_of(a) < layer_of(b)]
    assert not up


def test_imports_are_seen() -> None:
    """The two tests above look at what they should."""
    assert "mmdet_losses.kernels.call" in IMPORTS["mmdet_losses.kernels.written"]
    assert "mmdet_losses.functional.reduce" in IMPORTS["mmdet_losses.kernels.call"]
    assert "mmdet_losses.kernels" in IMPORTS["mmdet_losses.modules.base"]
    assert "mmdet_losses.functional" in IMPORTS["mmdet_losses.modules.boxes.members"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("iou", "CIoULoss"),
        ("iou_modified", "WIoULoss"),
        ("iou_recent", "ShapeIoULoss"),
        ("beyond_iou", "NWDLoss"),
        ("box", "BoxLoss"),
        ("classification", "FocalLoss"),
        ("cross_entropy", "CrossEntropyLoss"),
        ("custom", "FocalCustomLoss"),
        ("focus", "WiseFocus"),
        ("longtail", "EQLV2Loss"),
        ("ranking", "APLoss"),
    ],
)
def test_pickles_of_the_first_version_load(path: str, name: str) -> None:
    """By the module path that they name."""
    assert pickle.loads(f"cmmdet_losses.modules.{path}\n{name}\n.".encode()) is getattr(ml, name)
