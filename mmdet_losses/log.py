"""Lines in MMEngine's current log, or in the package's where MMEngine is not in the process."""

from __future__ import annotations

import logging
import sys


def log(message: str, level: int = logging.INFO) -> None:
    """Write one line."""
    if "mmengine.logging" in sys.modules:
        sys.modules["mmengine.logging"].print_log(message, logger="current", level=level)
    else:
        logging.getLogger("mmdet_losses").log(level, message)


def warn(message: str) -> None:
    """Write one line, as a warning."""
    log(message, logging.WARNING)
