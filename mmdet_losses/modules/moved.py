"""Module paths of version 0.1, which pickled losses name; until 0.3."""

from __future__ import annotations

import sys

OLD = (
    "beyond_iou",
    "box",
    "classification",
    "cross_entropy",
    "custom",
    "focus",
    "iou",
    "iou_modified",
    "iou_recent",
    "longtail",
    "ranking",
)


def keep_paths(package: str) -> None:
    """Let each old module stand for the package, which has every public name of it."""
    for name in OLD:
        sys.modules.setdefault(f"{package}.{name}", sys.modules[package])
