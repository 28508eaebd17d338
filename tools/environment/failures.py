"""What can go wrong, in words for the user."""

from __future__ import annotations

import re

AGAIN = "then run the same command again"
# (what the log says, what it means, what to do), the surest first.
CAUSES = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full",
        "free 4 GB (15 GB for the CUDA build of torch), or put the environment, the cache or temporary files "
        f"on another disk (MMDET_LOSSES_VENV, MMDET_LOSSES_CACHE, TMPDIR), {AGAIN}",
    ),
    (
        r"Killed signal terminated program|signal 9|MemoryError|virtual memory exhausted",
        "the memory ran out",
        "run it with MAX_JOBS=1, which needs 2 GB",
    ),
    (r"Python\.h: No such file", "Python's headers are missing", f"install python3-dev, {AGAIN}"),
    (
        r"ninja: build stopped|Failed building wheel|Failed to build",
        "the build failed",
        f"see the last lines of the log, {AGAIN}",
    ),
    (
        r"Temporary failure in name resolution|Name or service not known|Failed to establish a new connection"
        r"|Network is unreachable|Connect(ion)?Timeout|ReadTimeout|Read timed out|Max retries exceeded"
        r"|ProxyError|Cannot connect to proxy|SSLError"
        r"|Connection(Reset|Refused)?Error|Connection (refused|reset)",
        "the package index cannot be reached",
        f"check the network, the proxy (HTTPS_PROXY) and `python3 -m pip config list`, {AGAIN}",
    ),
    (
        r"No matching distribution found for ([^\s]+)",
        r"the package index has no \1 for this Python and machine",
        f"check `python3 -m pip config list`, or use another Python (MMDET_LOSSES_PYTHON), {AGAIN}",
    ),
)


class Failure(Exception):
    """What went wrong and what to do, as one sentence for the user."""


def diagnose(output: str, code: int) -> str:
    """What a failed command's output means and what to do, as the end of a sentence."""
    if code == -9:
        output += "\nsignal 9"
    for pattern, meaning, remedy in CAUSES:
        match = re.search(pattern, output)
        if match:
            return f"{match.expand(meaning)}; {remedy}."
    return f"a command ended with exit code {code}; see the last lines of the log, {AGAIN}."
