"""Freed memory that stays with the process."""

from __future__ import annotations

import ctypes
import platform

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Let glibc keep freed memory, and return whether it does.

    By default it returns large blocks to the system, or not, depending on what was freed before; page faults would then
    make the time of a provider depend on the one before it.
    """
    if not GLIBC:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
