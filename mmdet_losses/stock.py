"""MMDetection's own losses under a path of their own, for a config line: ``type="mmdet_losses.stock.CIoULoss"``.

Each is a function that builds MMDetection's class, which :func:`mmdet_losses.registry.stock` returns: the class itself,
as ``type=``, is exchanged for this package's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .registry import stock


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked of every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return partial(stock(name))
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
