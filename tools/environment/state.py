"""The environment's folder, and what its marker says of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

RECIPE = "1"  # raise it when the environment must be made again though no pin changed
ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).with_name("constraints.txt")
PROJECT = ROOT / "pyproject.toml"
MARKER = ".made-by-mmdet-losses.json"
# What needs no new environment where it changed: the package is installed again, which needs no network.
MENDABLE = {"project", "checkout", "folder"}


class Environment:
    """The folder of the environment, and what is known about it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.old = folder.with_name(folder.name + ".old")
        self.log = folder.with_name(folder.name + ".log")

    def foreign(self) -> bool:
        """Whether something is there that this tool did not make."""
        if not os.path.lexists(self.folder) or (self.folder / MARKER).is_file():
            return False
        return not self.folder.is_dir() or any(self.folder.iterdir())

    def stamp(self) -> dict[str, str]:
        """What a finished environment's marker says while nothing has changed."""
        return {
            "recipe": hashlib.sha256(RECIPE.encode() + PINS.read_bytes()).hexdigest(),
            "project": hashlib.sha256(PROJECT.read_bytes()).hexdigest(),
            "checkout": str(ROOT),
            "folder": str(self.folder),
            "python": os.path.realpath(self.python),
        }

    def finished(self) -> bool:
        return bool(self.recorded())

    def ready(self) -> bool:
        return self.recorded() == self.stamp() and self.python.exists()

    def recorded(self) -> dict[str, str]:
        """The stamp of the finished environment; empty where it is unfinished."""
        return self.marker().get("stamp") or {}

    def stale(self) -> set[str]:
        """What has changed since the environment was finished."""
        recorded, stamp = self.recorded(), self.stamp()
        return {key for key in stamp if recorded.get(key) != stamp[key]}

    def mendable(self) -> bool:
        """Whether it is enough to install the package again."""
        # The first line of a script takes no space, and not more than 127 bytes, as the interpreter's path.
        plain = not any(map(str.isspace, str(self.python))) and len(os.fsencode(self.python)) < 126
        return self.finished() and self.python.exists() and self.stale() <= MENDABLE and plain

    def resumable(self) -> bool:
        """Whether an interrupted run left all packages but mmcv installed, and nothing half installed."""
        packages = self.marker().get("packages")
        stamp = {key: value for key, value in self.stamp().items() if key not in ("project", "checkout")}
        return packages == stamp and self.python.exists() and not any(self.folder.glob("lib/*/site-packages/*mcv*"))

    def mark(self, finished: bool = False, packages: bool = False) -> None:
        """Say whose folder this is, and what it was made from once it is finished or has all packages but mmcv."""
        stamp = self.stamp()
        text = {
            "note": "Made by tools/run; safe to delete.",
            "stamp": stamp if finished else None,
            "packages": {key: stamp[key] for key in ("recipe", "folder", "python")} if packages else None,
        }
        temporary = self.folder / (MARKER + ".new")
        temporary.write_text(json.dumps(text, indent=1))
        os.replace(temporary, self.folder / MARKER)

    def remove(self, folder: Path) -> None:
        """Delete a folder, if it is this tool's; the marker goes last."""
        if not (folder / MARKER).is_file():
            return
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != MARKER:
                entry.unlink()
        shutil.rmtree(folder)

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """Make the environment inside this; on any failure the one before it comes back."""
        if self.finished():
            self.remove(self.old)
            self.folder.rename(self.old)
        elif not self.resumable():
            self.remove(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.resumable():
                self.mark()
            yield
            self.mark(finished=True)
        except BaseException as error:
            before = (self.old / MARKER).is_file()
            if before or isinstance(error, Exception) or not self.resumable():
                self.remove(self.folder)
            if before and not self.folder.exists():
                self.old.rename(self.folder)
            raise
        self.remove(self.old)

    def marker(self) -> dict[str, dict[str, str] | None]:
        try:
            return json.loads((self.folder / MARKER).read_text())
        except (OSError, ValueError):
            return {}
