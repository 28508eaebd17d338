"""What a tool says that works on the files of a clone, where an installed package runs it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def need_checkout(tool: str, *parts: str) -> None:
    """End the process with one message and exit code 2 where files that are part of a clone alone are missing.

    Args:
        tool: Name that the message begins with.
        *parts: Paths below the root of a clone.
    """
    missing = [part for part in parts if not (ROOT / part).exists()]
    if missing:
        print(
            f"{tool}: error: it works on {' and '.join(missing)} of a clone of the repository, which an installed "
            "package does not have: run it in a clone",
            file=sys.stderr,
        )
        raise SystemExit(2)
