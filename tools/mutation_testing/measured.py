"""What the tests take without a mutant, and what they call, kept for the next run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

Test = tuple[bool, float, list[tuple[str, str]]]
"""Whether it passes, its seconds, and the functions that it calls."""


@cache
def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


class Measured:
    """Tests by name, as long as their file and the package are the same.

    Args:
        path: The file that keeps them.
        root: Where the names of tests begin.
        package: The folder that the tests test.
    """

    def __init__(self, path: Path, root: Path, package: Path) -> None:
        self.path, self.root = path, root
        sources = "".join(digest(file) for file in sorted(package.rglob("*.py")))
        self.package = hashlib.sha256(sources.encode()).hexdigest()[:12]
        known = json.loads(path.read_text()) if path.exists() else {}
        self.tests: dict[str, Any] = known.get("tests", {}) if known.get("package") == self.package else {}

    def get(self, test: str) -> Test | None:
        known = self.tests.get(test)
        return known[1] if known and known[0] == self.file_of(test) else None

    def add(self, found: Mapping[str, Test]) -> None:
        self.tests.update({test: [self.file_of(test), facts] for test, facts in found.items()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"package": self.package, "tests": self.tests}))

    def file_of(self, test: str) -> str:
        return digest(self.root / test.partition("::")[0])
