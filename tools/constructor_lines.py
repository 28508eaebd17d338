"""Count the lines of a package that are bookkeeping of constructors: every ``__init__``, and every declared option.

Docstrings are not counted.

    python tools/constructor_lines.py [mmdet_losses/modules]
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

from tool_runtime.checkout import need_checkout

ROOT = Path(__file__).resolve().parents[1]


def lines(node: ast.AST) -> int:
    """How many lines a node takes."""
    return node.end_lineno - node.lineno + 1


def constructor_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    documented = ast.get_docstring(function, clean=False) is not None
    return lines(function) - (lines(function.body[0]) if documented else 0)


def option_lines(cls: ast.ClassDef) -> Iterator[int]:
    """Lines of each option that a published class declares."""
    names = {getattr(call.func if isinstance(call, ast.Call) else call, "id", "") for call in cls.decorator_list}
    if names & {"published", "declared"}:
        for node in cls.body:
            if isinstance(node, ast.AnnAssign) and node.value and "ClassVar" not in ast.unparse(node.annotation):
                yield lines(node)


def count(folder: Path) -> dict[str, int]:
    """Lines of constructors, of declared options, and of all."""
    total = {"constructors": 0, "options": 0, "lines": 0}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text()
        total["lines"] += len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                total["constructors"] += constructor_lines(node)
            elif isinstance(node, ast.ClassDef):
                total["options"] += sum(option_lines(node))
    return total


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "mmdet_losses" / "modules")
    return parser


def main() -> None:
    folder = build_parser().parse_args().folder
    if not folder.is_dir():
        need_checkout("constructor_lines", "mmdet_losses")
    found = count(folder)
    print(", ".join(f"{number} {name}" for name, number in found.items()))


if __name__ == "__main__":
    main()
