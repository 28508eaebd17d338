"""Which functions are mutated, and what they are, so that a verdict is kept while its function is the same."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tool_runtime.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mmdet_losses"
FOLDERS = ("functional", "kernels")
DISPATCH = ("__init__", "call", "plans", "written")
"""Of kernels, the choice between them and the preparation of their calls. torch.compile does not trace what mutmut puts
around functions, and how kernels are built is tested in new processes, which take too long."""


def mutated_files() -> list[Path]:
    """The files that are mutated, relative to the root."""
    functional = sorted((ROOT / PACKAGE / "functional").glob("*.py"))
    kernels = [ROOT / PACKAGE / f"kernels/{name}.py" for name in DISPATCH]
    return [
        path.relative_to(ROOT) for path in [*functional, *kernels] if path.parts[-2:] != ("functional", "__init__.py")
    ]


def module_of(file: Path) -> str:
    """Name of the module that a file is; the path is relative to the root."""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def digests(code: str) -> dict[str, str]:
    """Functions and methods of a module, ``function`` or ``Class.method``, with a digest of what they do.

    Neither layout and comments nor the docstring count.
    """
    found = {}
    for node in ast.parse(code).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        for part in inner:
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if ast.get_docstring(part, clean=False) is not None:
                part.body = part.body[1:]
            name = part.name if part is node else f"{node.name}.{part.name}"
            found[name] = hashlib.sha256(ast.dump(part).encode()).hexdigest()[:12]
    return found


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def commit() -> str:
    """The commit that is checked out, with a plus where the package or its tests differ from it."""
    changed = git("status", "--porcelain", "--", PACKAGE, "tests").strip()
    return git("rev-parse", "--short=7", "HEAD").strip() + ("+" if changed else "")


def digests_at(revision: str) -> set[tuple[str, str]]:
    """The functions of the package at a commit with their digests, whatever their file: what has moved is the same."""
    names = git("ls-tree", "-r", "--name-only", revision, PACKAGE).split()
    codes = (
        git("show", f"{revision}:{name}")
        for name in names
        if Path(name).parent.name in FOLDERS and name.endswith(".py")
    )
    return {pair for code in codes for pair in digests(code).items()}


def changed_since(revision: str, present: Mapping[str, Mapping[str, str]]) -> set[tuple[str, str]]:
    """Of the functions of modules those that a commit does not have as they are, ``(module, function)``."""
    before = digests_at(revision)
    return {
        (module, name)
        for module, found in present.items()
        for name, digest in found.items()
        if (name, digest) not in before
    }
