"""File locks between concurrent `tools/run`s."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path


class Lock:
    """A lock file that can be held shared (using) or exclusive (making).

    Where the file system has no locks or cannot be written, it does nothing.
    """

    def __init__(self, path: Path, what: str):
        self.what = what
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            self.fd = -1

    def shared(self) -> None:
        self.acquire(fcntl.LOCK_SH, f"waiting: {self.what} is being made by another process")

    def exclusive(self) -> None:
        self.acquire(fcntl.LOCK_EX, f"waiting: {self.what} is in use by another process (Ctrl-C gives up)")

    def attempt(self) -> bool:
        """Make it exclusive where that is possible at once; otherwise it may be lost."""
        try:
            if self.fd >= 0:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            self.release()
        return True

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def inherit(self) -> None:
        """Keep the lock through `exec`, until the command ends."""
        if self.fd >= 0:
            os.set_inheritable(self.fd, True)

    def acquire(self, kind: int, message: str) -> None:
        if self.fd < 0:
            return
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"tools/run: {message}", file=sys.stderr, flush=True)
            fcntl.flock(self.fd, kind)
        except OSError:
            self.release()
