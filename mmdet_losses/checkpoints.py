"""Lets MMEngine's checkpoints load with torch's ``weights_only`` on, the default from torch 2.6 on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


def history_method(owner: type, name: str) -> Callable:
    """Return a statistics method of ``HistoryBuffer``, which is all that MMEngine's checkpoints call ``getattr`` for.

    Raises:
        pickle.UnpicklingError: For every other object or name, so that no file gets a general ``getattr``.
    """
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f"getattr({owner!r}, {name!r}) is not allowed in a checkpoint")


def allowed_globals() -> list[Any]:
    """Return what MMEngine's checkpoints hold beside tensors and containers: log history and plain NumPy values.

    A pair has the global's name in the file: NumPy 2 renamed ``numpy.core`` to ``numpy._core``, and a file written
    under either loads under the other.
    """
    reconstruct = np.array(0.0).__reduce__()[0]
    scalar = np.float64(0.0).__reduce__()[0]
    globals_: list[Any] = [HistoryBuffer, np.ndarray, np.dtype, (history_method, "builtins.getattr")]
    for core in ("numpy.core", "numpy._core"):
        globals_ += [
            (reconstruct, f"{core}.multiarray._reconstruct"),
            (scalar, f"{core}.multiarray.scalar"),
        ]
    # NumPy 1.25 and newer has a class per dtype, which the unpickler looks up to set the dtype's state
    kinds = {type(np.dtype(code)) for code in ("?", *np.typecodes["AllInteger"], *np.typecodes["Float"], "U")}
    return globals_ + sorted(kinds - {np.dtype}, key=lambda kind: kind.__name__)


def allow_checkpoint_classes() -> None:
    """Let MMEngine's checkpoints load on torch 2.6 and newer, where ``torch.load`` refuses unknown classes."""
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(allowed_globals())
