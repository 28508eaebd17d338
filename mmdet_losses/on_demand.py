"""The package's names without the package's imports, until one is asked for or MMEngine is imported.

Whoever imports ``mmdet_losses.functional`` pays for that alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from typing import Any

ROOT = "mmengine"
"""The package that all others with a registry build on, and that does not import this one."""


class LoadBefore(MetaPathFinder):
    """Waits on ``sys.meta_path`` until MMEngine is about to be imported, and leaves the finding to the others."""

    def __init__(self, load: Callable[[], None]) -> None:
        self.load = load

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == ROOT:
            self.load()


def on_demand(module: dict[str, Any]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of the package, and see to it that it is there before MMEngine is.

    Args:
        module: The package's ``globals()``, which get the names.
    """
    package = module["__name__"]
    state = {"begun": False}

    def load() -> None:
        if state["begun"]:
            return
        state["begun"] = True
        try:
            names = import_module(f"{package}.everything")
        except BaseException:
            state["begun"] = False
            raise
        module.update({name: getattr(names, name) for name in names.__all__}, __all__=names.__all__)
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    def get(name: str) -> Any:
        if name == "__all__" or not name.startswith("__"):
            # By the import system's own question before it imports a submodule, too.
            if name.isidentifier() and find_spec(f"{package}.{name}"):
                return import_module(f"{package}.{name}")
            load()
            if name in module:
                return module[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        load()
        return sorted(module)

    finder = LoadBefore(load)
    if ROOT in sys.modules:
        load()
    else:
        sys.meta_path.insert(0, finder)
    return get, names
