"""Memory that stays with the process."""

from __future__ import annotations

import ctypes
import platform

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Have glibc keep what is freed for the next call; returns whether it does.

    It hands large pieces back to the system or keeps them depending on what was freed before. Whoever gets new pages
    pays for each, so providers that take turns would be measured by who came before them.
    """
    if not GLIBC:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
