"""A virtual environment with one version of torch, and the tests that run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from . import stand_ins

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = """
import re
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement
for line in map(Requirement, requires("torch")):
    if not re.match("nvidia|cuda|triton", line.name) and (not line.marker or line.marker.evaluate({"extra": ""})):
        print(line)
"""


class Unavailable(Exception):
    """A version that cannot be run here; the message says why in one sentence."""


@dataclass
class Outcome:
    """Outcome of some tests.

    Attributes:
        passed: Tests that passed.
        failed: Names of those that failed.
        skipped: Reasons of those that were skipped, and how often each was given.
        seconds: How long they took.
    """

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Environment:
    """A folder with a version of torch on a version of Python.

    Args:
        folder: Where the environments lie.
        torch: Version of torch.
        python: Version of Python, as in ``'3.11'``.
    """

    def __init__(self, folder: Path, torch: str, python: str):
        self.folder = folder / f"torch{torch}-py{python}"
        self.torch = torch
        self.version = python
        self.python = self.folder / "bin" / "python"
        self.log = folder / f"{self.folder.name}.log"

    def make(self, interpreter: Path, index: str | None) -> None:
        """Install torch and what the tests need, where that is not done."""
        done = self.folder / "done"
        if done.exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.run(interpreter, "-m", "venv", self.folder)
        source = ["--index-url", index] if index else []
        self.pip("--no-deps", f"torch=={self.torch}", *source)
        numpy = "numpy<2" if tuple(map(int, self.torch.split(".")[:2])) < (2, 3) else "numpy"
        asked = self.run(self.python, "-c", REQUIREMENTS).split("\n")
        self.pip(*filter(None, asked), numpy, "pytest>=8", "pytest-xdist>=3.6")
        (libraries,) = self.folder.glob("lib/python*/site-packages/torch/lib")
        stand_ins.write(libraries)
        self.run(self.python, "-c", "import torch; torch.ones(1) + 1")
        done.touch()

    def test(self, tests: Sequence[str], every_case: bool = False) -> Outcome:
        """Run some tests of this checkout; of each loss only the first case, unless every one is asked for."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        start = time.monotonic()
        options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        options += [] if every_case else ["-p", "torch_versions.first_of_class"]
        environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tools'}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [self.python, "-m", "pytest", *options, *tests]
        with self.log.open("a") as log:
            subprocess.run(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
        if not report.exists():
            raise Unavailable(f"pytest did not end; see {self.log}")
        outcome = Outcome(seconds=round(time.monotonic() - start, 1))
        for case in ElementTree.parse(report).iter("testcase"):
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                outcome.failed.append(f"{case.get('classname')}::{case.get('name')}")
            elif skip is not None:
                reason = skip.get("message") or ""
                outcome.skipped[reason] = outcome.skipped.get(reason, 0) + 1
            else:
                outcome.passed += 1
        return outcome

    def pip(self, *arguments: str) -> None:
        self.run(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)

    def run(self, *command: str | Path) -> str:
        answer = subprocess.run(command, capture_output=True, text=True, cwd=self.log.parent)
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(map(str, command))}\n{answer.stdout}{answer.stderr}\n")
        if answer.returncode:
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"{last} (see {self.log})")
        return answer.stdout
