"""Calls a function when a module has been imported: at once where it is there, else at the end of its import.

The function runs as the last part of the module's own import, under its import lock, so that no other thread sees the
module without what the function does. Where the import fails, or the function does, the hook waits for the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from threading import get_ident
from types import ModuleType
from typing import Any


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Call ``then`` once, as soon as a submodule of a package has been imported, whoever imports it.

    Args:
        name: Full name of the module.
        then: Called without arguments; what it raises goes to whoever imports the module.
    """
    hook = ImportHook(name, then)
    sys.meta_path.insert(0, hook)
    module = sys.modules.get(name)
    if module is not None and not is_initializing(module):
        hook.done()
    hook.catch_up()


def is_initializing(module: ModuleType) -> bool:
    """Whether the import of a module is still under way, in this thread or another."""
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


class ImportHook(MetaPathFinder):
    """Waits on ``sys.meta_path`` until a module is imported, and leaves the finding to the other finders."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name = name
        self.then = then
        self.found = False
        self.searching: set[int] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            self.catch_up()
            return None
        thread = get_ident()
        if thread in self.searching:  # asked by one of the finders that it asks
            return None
        self.searching.add(thread)
        try:
            finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
            specs = (finder.find_spec(name, path, target) for finder in finders)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            self.searching.discard(thread)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = TellingLoader(spec.loader, self.done)
            self.found = True
        return spec

    def catch_up(self) -> None:
        """Where the import began without this hook, let the package tell its end."""
        module = sys.modules.get(self.name)
        if module is not None and not self.found and is_initializing(module):
            package = sys.modules[self.name.rpartition(".")[0]]
            if type(package) is ModuleType:
                package.__class__ = TellingPackage

    def done(self) -> None:
        try:
            sys.meta_path.remove(self)
        except ValueError:
            return
        try:
            self.then()
        except BaseException:
            sys.meta_path.insert(0, self)
            raise


class TellingLoader:
    """Stands for a module's loader until the module has been executed."""

    def __init__(self, loader: Any, done: Callable[[], None]) -> None:
        self.loader = loader
        self.done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.done()


class TellingPackage(ModuleType):
    """Class of a package while a submodule is imported, which Python sets as its attribute when it is done."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        hooks = [hook for hook in sys.meta_path if isinstance(hook, ImportHook)]
        for hook in hooks:
            if hook.name == f"{self.__name__}.{name}":
                self.__class__ = ModuleType
                hook.done()
