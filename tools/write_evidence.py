#!/usr/bin/env python
"""Make anew the tables and pictures of docs/evidence.md and docs/comparison.md from the results in tools/evidence.

Each of these is the --results of a command of tools/compare.py, which stands beside its table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import evidence, results
from tool_runtime.checkout import need_checkout
from tool_runtime.errors import report_errors

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "tools" / "evidence"
PAGES = (ROOT / "docs" / "evidence.md", ROOT / "docs" / "comparison.md")


def comparisons() -> dict[str, results.Results]:
    """Return the comparisons that are kept, by the names of their files."""
    return {file.stem: results.read(file) for file in sorted(RESULTS.glob("*.json"))}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    need_checkout("write_evidence", "docs", "tools/evidence")
    with report_errors("write_evidence"):
        for file in evidence.write(comparisons(), PAGES, ROOT / "docs"):
            print(file)


if __name__ == "__main__":
    main()
