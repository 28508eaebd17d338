"""Run the losses on every torch that the project declares, each on its oldest and its newest Python.

    tools/run python tools/torch_matrix.py                      # all of them
    tools/run python tools/torch_matrix.py --torch 2.1.2 2.6.0  # some

Each version gets an environment of its own, without MMDetection, of 2 GB and less. A CUDA build of torch, the only one
that the package index has of most versions, is imported without CUDA's libraries; see docs/versions.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tool_runtime.checkout import need_checkout
from torch_versions import interpreters
from torch_versions.environment import ROOT, Environment, Outcome, Unavailable

PYTHONS = {
    "2.1.2": ("3.10", "3.11"),
    "2.4.1": ("3.10", "3.12"),
    "2.6.0": ("3.10", "3.13"),
    "2.8.0": ("3.10", "3.13"),
    "2.10.0": ("3.10", "3.13"),
    "2.13.0": ("3.10", "3.13"),
}
"""Each torch with the oldest and the newest of the declared Pythons that have a wheel of it."""

GRAPHS = "one_graph or inductor"
COLUMNS = {
    "functions": [
        "tests/losses/test_functional.py",
        "tests/losses/test_check_values.py",
        "tests/package/test_torch_names.py",
    ],
    "modules": [
        "tests/losses/test_oracle.py",
        "tests/contract/test_module_protocol.py",
        "tests/contract/test_avg_factor.py",
    ],
    "one graph": [
        "tests/contract/test_compile.py",
        "tests/yolo/test_yolo_compile.py",
        "tests/losses/test_ranking.py",
        "-k",
        GRAPHS,
    ],
    "fused": [
        "tests/kernels/test_native.py",
        "tests/kernels/test_fused.py",
        "-k",
        "is_eager or real_kernels or too_old",
    ],
}
"""Tests of each column. 'fused' compiles kernels, hand-written ones and those of torch.compile."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", nargs="+", choices=PYTHONS, default=list(PYTHONS), metavar="VERSION")
    parser.add_argument("--python", nargs="+", metavar="VERSION", help="only these Pythons, for example 3.10")
    parser.add_argument("--folder", type=Path, default=ROOT / "work_dirs/torch_matrix", help="of the environments")
    parser.add_argument("--index-url", help="where torch comes from, for example https://download.pytorch.org/whl/cpu")
    parser.add_argument("--every-case", action="store_true", help="every form of each loss, and not only its first")
    parser.add_argument("--out", type=Path, help="write the outcomes to this JSON file")
    arguments = parser.parse_args()
    need_checkout("torch_matrix", "tests")
    arguments.folder.mkdir(parents=True, exist_ok=True)

    rows: dict[str, dict[str, Outcome] | str] = {}
    for torch in arguments.torch:
        for python in PYTHONS[torch]:
            if not arguments.python or python in arguments.python:
                name = f"torch {torch}, Python {python}"
                environment = Environment(arguments.folder, torch, python)
                rows[name] = run(environment, name, arguments.index_url, arguments.every_case)
    print(table(rows))
    if arguments.out:
        found = {name: {c: asdict(o) for c, o in row.items()} for name, row in rows.items() if not isinstance(row, str)}
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(any(isinstance(row, str) or any(outcome.failed for outcome in row.values()) for row in rows.values()))


def run(environment: Environment, name: str, index: str | None, every_case: bool) -> dict[str, Outcome] | str:
    """Return the outcome of each column, or why there is none."""
    interpreter = interpreters.find(environment.version)
    if not interpreter:
        return f"no Python {environment.version} was found"
    try:
        say(f"{name}: making {environment.folder}")
        environment.make(interpreter, index)
        outcomes = {}
        for column, tests in COLUMNS.items():
            outcomes[column] = outcome = environment.test(tests, every_case)
            say(f"{name}: {column}: {cell(outcome)} in {outcome.seconds:.0f} s")
            for failed in outcome.failed[:5]:
                say(f"    {failed}")
    except Unavailable as reason:
        return str(reason)
    return outcomes


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cell(outcome: Outcome) -> str:
    """Return an outcome as text."""
    parts = [f"{outcome.passed} passed"] if outcome.passed or outcome.failed else []
    parts += [f"**{len(outcome.failed)} failed**"] if outcome.failed else []
    parts += [f"{sum(outcome.skipped.values())} skipped"] if outcome.skipped else []
    return ", ".join(parts) or "none"


def table(rows: dict[str, dict[str, Outcome] | str]) -> str:
    """Return the outcomes as a Markdown table, and below it why tests were skipped."""
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|{' --- |' * (1 + len(COLUMNS))}"]
    reasons = dict[str, None]()
    for name, row in rows.items():
        cells = [row] + [""] * (len(COLUMNS) - 1) if isinstance(row, str) else [cell(row[column]) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if not isinstance(row, str):
            reasons.update(dict.fromkeys(reason for outcome in row.values() for reason in outcome.skipped))
    return "\n".join([*lines, "", *(f"Skipped: {reason}" for reason in reasons)])


if __name__ == "__main__":
    main()
