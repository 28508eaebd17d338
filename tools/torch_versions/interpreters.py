"""Find the Pythons that the matrix asks for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


def candidates(version: str) -> Iterator[Path]:
    """Return where a Python 3.x may be: on PATH, or among the versions of pyenv and uv."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    for pattern in (pyenv / "versions", f"{version}.*"), (uv, f"cpython-{version}.*"):
        yield from (path / "bin" / "python3" for path in sorted(pattern[0].glob(pattern[1]), reverse=True))


def find(version: str) -> Path | None:
    """Return a Python of this version that runs, as a shim of pyenv may not; None where there is none."""
    for path in candidates(version):
        if not path.exists():
            continue
        probe = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([path, "-c", probe], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return path
    return None
