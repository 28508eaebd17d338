"""``type="mmdet_losses.NAME"`` for all that the package registers: losses, heads, data sets and hooks.

MMEngine imports ``mmdet_losses.registry`` when it meets the scope, and looks the name up in the scope's own registry.
Losses are in it. The others are registered with MMEngine or MMDetection by modules that need these, which are imported
when such a name is looked up. A longer name, such as ``stock.CIoULoss``, is what a module of this package has: MMEngine
would look for it in a package named ``stock``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from mmengine.registry import DATASETS, HOOKS, MODELS, Registry


class OwnRegistry(Registry):
    """The scope's registry below one of MMEngine's.

    Args:
        parent: MMEngine's.
        bring: Imports what is registered elsewhere in its tree.
    """

    def __init__(self, parent: Registry, bring: Callable[[], Any]) -> None:
        # With a location, since MMEngine would look for mmdet_losses.utils in a package of its table.
        super().__init__(parent.name, parent=parent, scope="mmdet_losses", locations=["mmdet_losses.registry"])
        self.bring = bring

    def get(self, key: str) -> Any:
        path = key.removeprefix("mmdet_losses.")
        if "." in path:
            try:
                return resolve_name(f"mmdet_losses.{path}")
            except (ImportError, AttributeError, ValueError):
                return super().get(key)
        return super().get(key) or self.find_elsewhere(path)

    def find_elsewhere(self, name: str) -> Any:
        """A class of this package in another registry of the tree; None where there is none of the name."""
        self.bring()
        for registry in (self.parent, *self.parent.children.values()):
            found = registry.module_dict.get(name)
            if getattr(found, "__module__", "").partition(".")[0] == "mmdet_losses":
                return found
        return None


def bring_hooks() -> None:
    """Import the modules of hooks."""
    import_module("mmdet_losses.hooks")
    import_module("mmdet_losses.monitor.hook")


def make_scope(bring_heads: Callable[[], Any]) -> OwnRegistry:
    """Make the scope's registries; returns that of losses.

    Args:
        bring_heads: Imports MMDetection's models, with which the heads are registered, where they can be had.
    """
    OwnRegistry(HOOKS, bring_hooks)
    OwnRegistry(DATASETS, lambda: import_module("mmdet_losses.data.datasets"))
    return OwnRegistry(MODELS, bring_heads)
