"""Runs an action in a fork of this process: the tests are collected and torch is loaded once, for all mutants."""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

MEMORY = 8 * 2**30
"""Bytes that a fork may take beyond what this process has."""
WAITING = 20
"""Seconds of the clock that a fork has for each of the processor: others use the machine, too."""


@dataclass
class Fork:
    """A child process at work."""

    pid: int
    written: TextIO

    def end(self, status: int) -> tuple[int, Any]:
        """Exit code, negative for a signal, and what the action returned, or the traceback of what it raised."""
        with self.written:
            self.written.seek(0)
            text = self.written.read()
        return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def start(action: Callable[[], Any], seconds: int) -> Fork:
    """Run an action in a child, which is silent and is killed after so many seconds of the processor."""
    written = tempfile.TemporaryFile("w+")  # noqa: SIM115
    pid = os.fork()
    if pid:
        return Fork(pid, written)
    code, found = 1, None
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        limit(resource.RLIMIT_CPU, seconds)
        limit(resource.RLIMIT_AS, memory() + MEMORY)
        signal.alarm(WAITING * seconds)
        found = action()
        code = 0
    except BaseException:
        found = traceback.format_exc()
    try:
        json.dump(found, written)
        written.flush()
    finally:
        os._exit(code)


def limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def memory() -> int:
    """Bytes of this process's address space."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
