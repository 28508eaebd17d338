"""What a killed run leaves behind: its compilers go on, since ninja gives each a process group of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def end_processes(variable: str, value: str) -> None:
    """End this user's processes that have `variable=value` in their environment, and wait until they are gone."""
    wanted = f"{variable}={value}".encode()
    deadline = time.monotonic() + 10
    while (pids := processes_with(wanted)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.05)


def processes_with(wanted: bytes) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found
