"""The registry behind ``type="mmdet_losses.CIoULoss"``."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from mmengine.registry import Registry


class Scope(Registry):
    """Also finds what a module of this package has, such as ``stock.CIoULoss``.

    MMEngine hands a path on without its first part, and would look for the rest in a package named ``stock``.
    """

    def get(self, key: str) -> Any:
        path = key.removeprefix("mmdet_losses.")
        try:
            return resolve_name(f"mmdet_losses.{path}") if "." in path else super().get(key)
        except (ImportError, AttributeError, ValueError):
            return super().get(key)
