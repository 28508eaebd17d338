"""Runs the suite and gathers its figures."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import multiprocessing
import platform
import re
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import Case

from mmdet_losses.registry import LOSSES

from .core import ALL_CASES, PROPERTIES, Elsewhere, NotShown, Property
from .exceptions import rare, reason
from .report import wrong

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "mmdet", "mmcv", "mmengine", "numpy")

Say = Callable[[str], None]


def measure(job: tuple[int, int, int]) -> tuple[int, int, dict[str, Any], float]:
    """One property on one case; what it found, and the seconds that it took."""
    number, index, scale = job
    start = time.perf_counter()
    tally = PROPERTIES[number].measure(ALL_CASES[index], scale)
    worst = tally.worst if tally.worst is None or math.isfinite(tally.worst) else None
    found = {"checks": tally.checks, "failed": tally.failed, "failures": tally.failures, "worst": worst}
    return number, index, found | ({"shares": tally.shares} if tally.shares else {}), time.perf_counter() - start


def measure_all(jobs: list[tuple[int, int, int]], processes: int) -> Iterator[tuple[int, int, dict[str, Any], float]]:
    """Results in the order of the jobs."""
    torch.set_num_threads(1)
    if processes == 1:
        yield from map(measure, jobs)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap(measure, jobs)


class Collector:
    """Pytest plugin that counts the tests of each loss by file, passed and failed."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        self.losses: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.losses[item.nodeid] = losses_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            for name in self.losses[report.nodeid]:
                self.counts[report.nodeid.partition("::")[0]][name][report.failed] += 1


def losses_of(item: pytest.Item) -> set[str]:
    """The losses that a test is about: of its parameters, or those that its text names."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    cases = {value.name for value in parameters.values() if isinstance(value, Case)}
    named = {value for value in parameters.values() if isinstance(value, str) and value in LOSSES}
    text = set(re.findall(r"\b[A-Z]\w+\b", inspect.getsource(item.function))) & set(LOSSES)
    return {LOSSES[name].__name__ for name in cases or named or text if name in LOSSES}


def run_tests(files: list[str], only: Collection[str] = ()) -> Collector:
    """Tests of the files, or those of some losses."""
    collector = Collector()
    # Not the options of pyproject.toml: what is collected has to be run in this process.
    arguments = ["-o", "addopts=", "-q", "-p", "no:cacheprovider", "--disable-warnings", "--rootdir", str(ROOT)]
    if only:
        arguments += ["-k", " or ".join(only)]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = pytest.main([*arguments, *(str(ROOT / file) for file in files)], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest could not run {', '.join(files)}:\n{output.getvalue()}")
    return collector


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def commit() -> str | None:
    """The commit of the checkout, with a plus where files differ from it; None without git."""
    try:
        head, changed = (
            subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for command in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", "mmdet_losses", "tests"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + "+" * bool(changed)


def aliases() -> dict[str, list[str]]:
    """Every loss under the name of its class, with all of its names; objectives have a suite of their own."""
    names: dict[str, list[str]] = {}
    for name, cls in LOSSES.items():
        if cls.slot == "composite":
            continue
        names.setdefault(cls.__name__, []).append(name)
    return {own: sorted(found, key=lambda name: name != own) for own, found in sorted(names.items())}


def run_suite(scale: int, processes: int, say: Say, only: Collection[str] = ()) -> dict[str, Any]:
    """All figures of the table, as they are written to JSON; or those of some losses."""
    start = time.perf_counter()
    losses = {name: names for name, names in aliases().items() if not only or name in only}
    cells: dict[str, dict[str, Any]] = {name: {} for name in losses}
    jobs = [
        (number, index, scale)
        for number, entry in sorted(PROPERTIES.items())
        if isinstance(entry, Property)
        for index, case in enumerate(ALL_CASES)
        if case.name in losses and entry.applies(case)
    ]
    done: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    forms = Counter(number for number, _, _ in jobs)
    left = Counter(forms)
    for number, index, found, seconds in measure_all(jobs, processes):
        case = ALL_CASES[index]
        cell = cells[case.name].setdefault(str(number), {})
        cell[case.id] = found | {"exception": reason(number, case.id), "rare": rare(number, case.id)}
        total = done[number]
        total[0] += found["checks"]
        total[1] += wrong(cell[case.id])
        total[2] += seconds
        left[number] -= 1
        if not left[number]:
            failing = f", FAILING: {total[1]}" if total[1] else ""
            title = PROPERTIES[number].title
            say(f"{number:3} {title:18} {forms[number]:4} forms {int(total[0]):12,} checks {total[2]:8.1f} s{failing}")

    tests: dict[str, dict[str, Any]] = {}
    for number, entry in sorted(PROPERTIES.items()):
        if isinstance(entry, Elsewhere) and entry.run:
            collector = run_tests(list(entry.tests), only)
            tests[str(number)] = {
                name: {
                    "passed": sum(count[name][0] for count in collector.counts.values() if name in count),
                    "failed": sum(count[name][1] for count in collector.counts.values() if name in count),
                }
                for name in cells
            }
            total = sum(count["passed"] for count in tests[str(number)].values())
            failed = sum(count["failed"] for count in tests[str(number)].values())
            say(f"{number:3} {entry.title:18} {total:6,} tests{f', FAILING: {failed}' if failed else ''}")

    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit(),
        "versions": versions(),
        "scale": scale,
        "seconds": round(time.perf_counter() - start),
        "properties": {str(number): describe(entry) for number, entry in sorted(PROPERTIES.items())},
        "losses": {
            name: {
                "names": names,
                "slot": LOSSES[name].slot,
                "cases": [case.id for case in ALL_CASES if case.name == name],
                "cells": cells[name],
                "tests": {number: counts[name] for number, counts in tests.items()},
            }
            for name, names in losses.items()
        },
    }


def describe(entry: Property | Elsewhere | NotShown) -> dict[str, Any]:
    common = {"title": entry.title, "line": entry.line}
    if isinstance(entry, Property):
        return common | {"kind": "measured", "on": entry.applies.__doc__, "unit": entry.unit}
    if isinstance(entry, Elsewhere):
        return common | {"kind": "tests" if entry.run else "named", "tests": list(entry.tests)}
    return common | {"kind": "not shown", "why": entry.why}
