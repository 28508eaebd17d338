"""Which names of torch the package uses, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parents[2] / "mmdet_losses"
LISTED = Path(__file__).with_suffix(".txt")
NEWER = {
    "torch.compiler.is_compiling": "functional/compiling.py",
    "torch.get_autocast_dtype": "monitor/watch.py",
    "torch.library.custom_op": "functional/ranking.py",
    "torch.serialization.add_safe_globals": "checkpoints.py",
}
"""Names that the oldest torch lacks, each with the one file that may use it, since it asks first."""
NOT_OF_TENSORS = {("functional/harmonized.py", "torch.Tensor.index"), ("inherit.py", "torch.Tensor.index")}
"""Names of newer tensors that something else has, too: the index of a histogram, that of a tuple."""


def files() -> list[Path]:
    """All but the data sets, which NumPy and OpenCV draw."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "data" not in path.relative_to(PACKAGE).parts]


def dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of an attribute of an attribute of a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return head and f"{head}.{node.attr}"
    return None


def used(source: str) -> Iterator[str]:
    """Names of torch in a file, in full; of what may be a tensor, every method that tensors have."""
    tree = ast.parse(source)
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias.update({name.asname or name.name: name.name for name in node.names if name.name.startswith("torch")})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            alias.update({name.asname or name.name: f"{node.module}.{name.name}" for name in node.names})
    yield from alias.values()
    for node in ast.walk(tree):
        name = dotted(node) if isinstance(node, ast.Attribute) else None
        head, _, rest = (name or "").partition(".")
        if head in alias:
            yield f"{alias[head]}.{rest}"
        elif isinstance(node, ast.Attribute) and hasattr(torch.Tensor, node.attr) and not node.attr.startswith("_"):
            yield f"torch.Tensor.{node.attr}"


def find(name: str) -> object:
    """The object of a name, its modules imported where they have to be."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        return reduce(getattr, parts[length:], module)
    raise AttributeError(name)


def found() -> dict[str, set[str]]:
    """Every name in use, with the files that use it."""
    names: dict[str, set[str]] = {}
    for path in files():
        file = path.relative_to(PACKAGE).as_posix()
        for name in used(path.read_text()):
            if (file, name) not in NOT_OF_TENSORS:
                names.setdefault(name, set()).add(file)
    return names
