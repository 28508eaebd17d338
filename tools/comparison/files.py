"""Small JSON files that a process killed at any moment leaves whole, or does not leave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(file: Path, content: Any) -> None:
    """Write a temporary file beside ``file``, flush it to the disk and rename it."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, default=str)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)


def read_json(file: Path) -> Any:
    """Return the content of a file, None where it is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
