"""A plugin of pytest that collects the tests and then runs mutants, each with the tests that reach its function."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pytest

from . import forks
from .measured import Measured
from .switch import Function, Mutant, choose, note_calls, noted

KILLED, SURVIVED, CRASHED, TIMED_OUT = "killed", "survived", "crashed", "timed out"
STARTED = 5.0
"""Seconds within which a test is reported."""


class Mutation:
    """Runs mutants in forks of the process that has collected the tests.

    Args:
        mutants: Those to try, a function's own next to each other.
        done: Called with each function, and the verdict of each of its mutants by number.
        measured: What is known of the tests.
        budget: Seconds of tests, as they take without a mutant, after which a mutant has survived.
        slowest: Seconds that a test may take; longer ones are left out.
        jobs: Number of processes at the same time.
        patience: Seconds of the processor that a mutant has beyond five times those of its tests.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        done: Callable[[str, str, dict[int, str]], None],
        measured: Measured,
        *,
        budget: float = 20.0,
        slowest: float = 4.0,
        jobs: int = 1,
        patience: int = 20,
    ) -> None:
        self.mutants = mutants
        self.done = done
        self.measured = measured
        self.budget = budget
        self.slowest = slowest
        self.jobs = jobs
        self.patience = patience
        self.failed, self.took = False, 0.0
        self.seconds: dict[str, float] = {}
        self.tests_of: dict[Function, list[str]] = defaultdict(list)
        self.reach: Counter[str] = Counter()
        self.kills: dict[Function, Counter[str]] = defaultdict(Counter)
        self.all_kills: Counter[str] = Counter()
        self.screen = os.fdopen(os.dup(sys.stderr.fileno()), "w")

    def say(self, line: str) -> None:
        print(line, file=self.screen, flush=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def passes(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        self.failed = False
        begin = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        self.took = time.process_time() - begin  # of the processor, however many use it
        return not self.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        session.config.pluginmanager.unregister(reporter)
        if session.testsfailed:
            raise pytest.UsageError("The tests could not be collected.")
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()  # so that a fork does not copy what its collector only looks at
        self.measure(items)
        self.try_all(items)
        return True

    def measure(self, items: dict[str, pytest.Item]) -> None:
        """Find how long each test takes without a mutant, and which functions it calls; what is known is kept."""
        missing = [item for test, item in items.items() if self.measured.get(test) is None]

        def record(part: list[pytest.Item]) -> dict[str, Any]:
            note_calls()
            found = {}
            for item, following in zip(part, [*part[1:], None], strict=True):
                noted()
                passed = self.passes(item, following)
                found[item.nodeid] = passed, self.took, noted()
            return found

        begin = time.monotonic()
        each = -(-len(missing) // self.jobs)
        parts = [missing[start : start + each] for start in range(0, len(missing), each or 1)]
        running = [forks.start(partial(record, part), 7200) for part in parts]
        for fork in running:
            code, found = fork.end(os.waitpid(fork.pid, 0)[1])
            if code:
                raise pytest.UsageError(f"The tests without a mutant ended with {code}: {found}")
            self.measured.add(found)
        if missing:
            self.say(f"{len(missing)} tests in {time.monotonic() - begin:.0f} s")
        found = {test: self.measured.get(test) for test in items}
        failed = [test for test, (passed, _, _) in found.items() if not passed]
        slow = [test for test, (_, took, _) in found.items() if took > self.slowest]
        for reason, tests in (("fail without a mutant", failed), (f"take more than {self.slowest} s", slow)):
            if tests:
                self.say(f"{len(tests)} left out that {reason}: {', '.join(tests[:20])}")
        for test in found.keys() - {*failed, *slow}:
            _, self.seconds[test], functions = found[test]
            self.reach[test] = len(functions)
            for function in functions:
                self.tests_of[tuple(function)].append(test)

    def order(self, function: Function) -> list[str]:
        """Tests of a function, those first that killed its mutants, then others that kill, then what says much of it.

        Ends where the budget is spent, after one test at least.
        """
        own = self.kills[function]
        tests = sorted(
            self.tests_of[function],
            key=lambda test: (
                -own[test],
                not self.all_kills[test],
                (0.002 + self.seconds[test]) * self.reach[test] / (1 + self.all_kills[test]),
            ),
        )
        total = 0.0
        for count, test in enumerate(tests):
            total += self.seconds[test]
            if count and total > self.budget:
                return tests[:count]
        return tests

    def attempt(self, mutant: Mutant, items: Sequence[pytest.Item]) -> str | None:
        """The test that notices a mutant."""
        choose(mutant)
        for item, following in zip(items, [*items[1:], None], strict=False):  # without a test there is nothing to run
            if not self.passes(item, following):
                return item.nodeid
        return None

    def try_all(self, items: dict[str, pytest.Item]) -> None:
        remaining = Counter((mutant.module, mutant.function) for mutant in self.mutants)
        verdicts: dict[Function, dict[int, str]] = defaultdict(dict)
        running: dict[int, tuple[Mutant, forks.Fork]] = {}
        begin = last = time.monotonic()
        tried: Counter[str] = Counter()
        queue = iter(self.mutants)
        while True:
            while len(running) < self.jobs and (mutant := next(queue, None)):
                tests = self.order((mutant.module, mutant.function))
                limit = round(self.patience + 5 * sum(self.seconds[test] for test in tests))
                chosen = [items[test] for test in tests]
                fork = forks.start(partial(self.attempt, mutant, chosen), limit)
                running[fork.pid] = mutant, fork
            if not running:
                break
            pid, status = os.wait()
            if pid not in running:
                continue
            mutant, fork = running.pop(pid)
            code, killer = fork.end(status)
            function = mutant.module, mutant.function
            verdict = outcome(code, killer)
            if verdict == KILLED:
                self.kills[function][killer] += 1
                self.all_kills[killer] += 1
            verdicts[function][mutant.number] = verdict
            tried[verdict] += 1
            if verdict != KILLED:
                self.say(f"{mutant.module} {mutant.function} {mutant.number} {verdict}")
            if len(verdicts[function]) == remaining[function]:
                self.done(*function, dict(sorted(verdicts.pop(function).items())))
            now = time.monotonic()
            if now - last > STARTED or len(self.mutants) == tried.total():
                last = now
                counts = ", ".join(f"{count} {name}" for name, count in tried.items())
                place = f"{len(self.mutants)}: {counts}; {mutant.module} {mutant.function}"
                self.say(f"{now - begin:.0f} s: {tried.total()} of {place}")


def outcome(code: int, killer: str | None) -> str:
    """What became of a mutant, by how its fork ended."""
    if code == 0:
        return KILLED if killer else SURVIVED
    return TIMED_OUT if code in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL) else CRASHED


def run(arguments: Iterable[str], mutation: Mutation) -> int:
    """Collect the tests and run the mutants."""
    options = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-q", "--tb=native", *arguments)
    return pytest.main(list(options), plugins=[mutation])
