"""MMDetection's models, named by a path that imports this package too, for pure-Python configs.

MMEngine runs no ``custom_imports`` in them, and imports what they name when it is built. The type of the detector is
built first: ``from mmdet_losses.detectors import RetinaNet`` in place of ``from mmdet.models import RetinaNet`` has the
package there before any loss.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked of every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("mmdet.models"), name)
