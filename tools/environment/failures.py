"""What can go wrong, in words for the user."""

from __future__ import annotations

import re

AGAIN = "then run the same command again"
NEEDS = "2 GB (with torch's CUDA build 6 GB, and 3.4 GB for pip's downloads)"
WRITABLE = "make its folder writable, or choose another folder for the environment with MMDET_LOSSES_VENV=FOLDER"
BUILD_FAILED = "the build failed"
# (what the log says, what it means, what to do), the surest first.
CAUSES = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full",
        f"free {NEEDS}, or put the environment, the cache or temporary files "
        f"on another disk (MMDET_LOSSES_VENV, MMDET_LOSSES_CACHE, TMPDIR), {AGAIN}",
    ),
    (
        r"Killed signal terminated program|signal 9|MemoryError|virtual memory exhausted",
        "the memory ran out",
        "run it with MAX_JOBS=1, which needs 3 GB",
    ),
    (r"Python\.h: No such file", "Python's headers are missing", f"install python3-dev, {AGAIN}"),
    (
        r"ninja: build stopped|Failed building wheel|Failed to build",
        BUILD_FAILED,
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
        # Every requirement is a constraint too, and for one that it does not find pip tells of a conflict of the two.
        r"The conflict is caused by:\n(?: +The user requested [^\n]*\n)*"
        r" +The user requested (?:\(constraint\) )?(\S+)\n\s*\n"
        r"|No matching distribution found for (\S+)",
        r"the package index has no \1\2 for this Python and machine, or it cannot be reached",
        "check the network, `python3 -m pip config list`, or use another Python (MMDET_LOSSES_PYTHON), " + AGAIN,
    ),
)


class Failure(Exception):
    """What went wrong and what to do, as one sentence for the user.

    Attributes:
        of_the_build: Whether another way of building may succeed: it is neither the machine's nor the network's fault.
        detail: The first error in the output of the command that failed.
    """

    def __init__(self, message: str, of_the_build: bool = False, detail: str = ""):
        super().__init__(message)
        self.of_the_build = of_the_build
        self.detail = detail


def diagnose(output: str, code: int) -> tuple[str, bool]:
    """What a failed command's output means and what to do, as the end of a sentence; and `Failure.of_the_build`."""
    if code == -9:
        output += "\nsignal 9"
    for pattern, meaning, remedy in CAUSES:
        match = re.search(pattern, output)
        if match:
            return f"{match.expand(meaning)}; {remedy}.", meaning == BUILD_FAILED
    return f"a command ended with exit code {code}; see the last lines of the log, {AGAIN}.", True


def first_error(output: str, code: int) -> str:
    """The first line that says what is wrong."""
    lines = [line.strip() for line in output.splitlines()]
    errors = [line for line in lines if re.search(r"\berror\b|Error: ", line, re.IGNORECASE)]
    return (errors or [f"exit code {code}"])[0][:200]
