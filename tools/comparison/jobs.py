"""A run of a comparison: one variant trained with one seed, in a folder that says how far it is."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mmdet_losses

from .files import read_json, write_json
from .results import Run

JOB, RESULT, FAILURE, PROGRESS, CURVE, LOG, LOCK = (
    "job.json",
    "result.json",
    "failure.json",
    "progress.json",
    "curve.json",
    "log.txt",
    ".lock",
)
PARENT = "MMDET_LOSSES_COMPARE_PARENT"
"""Environment variable: the process with which a worker ends."""
TOOLS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """What a worker is to do; its result depends on nothing else.

    Attributes:
        variant: Name of the variant.
        seed: ``randomness.seed``.
        config: The complete config of the variant, as a file.
        digest: Of that config.
        metric: What has to be among the metrics.
        folder: Where the run keeps its files.
        directory: Where relative paths of the config begin.
        keep_checkpoints: Whether the last checkpoint stays when the run is done.
    """

    variant: str
    seed: int
    config: str
    digest: str
    metric: str
    folder: str
    directory: str
    keep_checkpoints: bool = False

    def file(self, name: str) -> Path:
        """Return a file of the run."""
        return Path(self.folder, name)

    def save(self) -> None:
        """Write the file that a worker is given."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        if read_json(self.file(JOB)) != asdict(self):
            write_json(self.file(JOB), asdict(self))

    @classmethod
    def load(cls, file: str | Path) -> Job:
        """Read the file that :meth:`save` wrote."""
        return cls(**read_json(Path(file)))

    @property
    def label(self) -> str:
        """What the run is called in messages."""
        return f"{self.variant}, seed {self.seed}"

    def result(self) -> Run | None:
        """Return what a complete run measured, None where it is not complete or was of another config."""
        found = read_json(self.file(RESULT))
        return Run(**found) if found and found["config_sha256"] == self.digest else None

    def failure(self) -> dict[str, Any] | None:
        """Return how the run failed last: ``error``, and whether trying ``again`` may help."""
        found = read_json(self.file(FAILURE))
        return found if found and found.get("config_sha256") == self.digest else None

    def fail(self, error: str, *, again: bool) -> None:
        """Note that the run failed."""
        write_json(self.file(FAILURE), {"error": error, "again": again, "config_sha256": self.digest})

    def run(self) -> Run:
        """Return the run as it is now."""
        result = self.result()
        if result is not None:
            return result
        failure = self.failure()
        status, error = ("missing", "") if failure is None else ("failed", failure["error"])
        return Run(self.variant, self.seed, status, error, config_sha256=self.digest)

    def progress(self) -> float:
        """Return which part of the training is behind it, 0 to 1."""
        found = read_json(self.file(PROGRESS)) or {}
        return min(1.0, found.get("iter", 0) / max(1, found.get("max_iters", 1)))

    def command(self) -> list[str]:
        """Return the words that start a worker."""
        return [sys.executable, "-m", "comparison.worker", str(self.file(JOB))]

    def shell_line(self) -> str:
        """Return a line for a shell that does the run, on a machine that sees the same folders."""
        return f"PYTHONPATH={shlex.quote(python_path())} {shlex.join(self.command())}"


def python_path() -> str:
    """Return the ``PYTHONPATH`` of a worker: the tools, the package, and what this process was given."""
    roots = [str(TOOLS), str(Path(mmdet_losses.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]
    return os.pathsep.join(dict.fromkeys(part for root in roots if root for part in root.split(os.pathsep)))


def folder_name(name: str) -> str:
    """Return the name of a variant's folder: its own, where a file system takes it."""
    plain = re.sub(r"[^\w.=+-]+", "_", name)
    same = plain == name and not name.startswith(".") and len(name) < 100
    return name if same else f"{plain.lstrip('.')[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
