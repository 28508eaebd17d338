"""The package's own imports: arrows point down, and there is no circle."""

from __future__ import annotations

import ast
import pickle
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import mmdet_losses as ml

PACKAGE = Path(__file__).resolve().parents[2] / "mmdet_losses"
TOOLS = PACKAGE.parent / "tools"
LAYERS = ("functional", "kernels", "modules", "rotated", "yolo")
"""From the lowest up; what is in none of them stands above all."""
SIDE_ROOMS = {"data": {"data"}, "lab": {"data", "lab"}}
"""Rooms that no loss needs, each with the rooms that it imports."""


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


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def layer_of(module: str) -> int:
    room = room_of(module)
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


def test_side_rooms_stand_apart() -> None:
    for room, allowed in SIDE_ROOMS.items():
        modules = [module for module in MODULES if room_of(module) == room]
        assert len(modules) == 4
        assert {room_of(found) for module in modules for found in IMPORTS[module]} <= allowed
        users = {room_of(module) for module, found in IMPORTS.items() if found & set(modules)}
        assert users <= {name for name, below in SIDE_ROOMS.items() if room in below}


def test_the_package_needs_no_tool() -> None:
    """Neither at import nor in a function; what stands in tools/ is on no user's path."""
    beside = {path.stem for path in TOOLS.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {"loss_benchmark", "tool_runtime", "train"} <= beside
    for path in MODULES.values():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
        assert not {name.split(".")[0] for name in names} & beside, path


def test_each_file_of_tools_is_a_command() -> None:
    """What tools share lies in folders, so that whatever lists the commands need not know their names."""
    for path in TOOLS.glob("*.py"):
        text = path.read_text()
        assert "def main(" in text or "import main" in text, path
        assert '\nif __name__ == "__main__":\n' in text, path
        assert ast.get_docstring(ast.parse(text)), path


def test_imports_are_seen() -> None:
    """The two tests above look at what they should."""
    assert "mmdet_losses.kernels.call" in IMPORTS["mmdet_losses.kernels.written"]
    assert "mmdet_losses.functional.reduce" in IMPORTS["mmdet_losses.kernels.call"]
    assert "mmdet_losses.kernels" in IMPORTS["mmdet_losses.modules.base"]
    assert "mmdet_losses.functional" in IMPORTS["mmdet_losses.modules.boxes.members"]


@pytest.mark.parametrize("module", ["data_root", "datasets", "shapes"])
def test_paths_of_the_first_version_hold_the_same_objects(module: str) -> None:
    """Saved configs import them, by whatever name the module has now."""
    pytest.importorskip("mmdet")
    old = import_module(f"mmdet_losses.lab.{module}")
    new = import_module(f"mmdet_losses.data.{'drawings' if module == 'shapes' else module}")
    public = [name for name, value in vars(new).items() if getattr(value, "__module__", "") == new.__name__]
    assert {name for name in public if name in old.__all__} == set(old.__all__) - {"CLASSES"} != set()
    assert all(getattr(old, name) is getattr(new, name) for name in old.__all__)


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


def test_no_file_of_the_package_is_long() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".cpp", ".h")]
    assert len(files) > 50
    assert not [path for path in files if len(path.read_text().splitlines()) > 400]
