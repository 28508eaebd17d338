"""What the package says: of its registration, of heads, of names that mean something else than in MMDetection.

Python's logger ``mmdet_losses``. Where it, or the root logger, has a handler, that decides. Where there is none, lines
of INFO and above, or of the level that the logger is set to, go to standard error; standard output is left to the
program. A training of MMEngine's also finds them in its log file.
"""

from __future__ import annotations

import logging
import os
import sys

from torch import distributed

LOGGER = logging.getLogger("mmdet_losses")
FORMAT = logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s", "%m/%d %H:%M:%S")


def log(message: str, level: int = logging.INFO) -> None:
    """Write one line."""
    if LOGGER.manager.disable >= level:
        return
    record = LOGGER.makeRecord(LOGGER.name, level, __file__, 0, message, (), None)
    if LOGGER.hasHandlers():
        if LOGGER.isEnabledFor(level):
            LOGGER.handle(record)
    elif level >= (LOGGER.level or logging.INFO) and is_first_process() and sys.stderr:
        print(FORMAT.format(record), file=sys.stderr, flush=True)
    handle_in_files(record)


def write_to_files(message: str) -> None:
    """Write what is shown by another way, such as an error, to the log files of MMEngine alone."""
    handle_in_files(LOGGER.makeRecord(LOGGER.name, logging.ERROR, __file__, 0, message, (), None))


def handle_in_files(record: logging.LogRecord) -> None:
    """Write a record to the files of MMEngine's current logger, of which a run has one."""
    for file in log_files():
        if record.levelno >= file.level:
            file.handle(record)


def warn(message: str) -> None:
    """Write one line, as a warning."""
    log(message, logging.WARNING)


def is_first_process() -> bool:
    """Whether this is the process of a distributed run that speaks for all."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def log_files() -> list[logging.Handler]:
    """The files of MMEngine's current logger, of which a run has one."""
    logger = getattr(sys.modules.get("mmengine.logging"), "MMLogger", None)
    handlers = logger.get_current_instance().handlers if logger else []
    return [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
