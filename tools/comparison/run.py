"""Doing what is missing of a comparison, and showing how far it is."""

from __future__ import annotations

import concurrent.futures
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout
from tool_runtime.errors import ToolError
from tool_runtime.provenance import provenance
from tqdm import tqdm

from . import results
from .engines import Engine
from .jobs import Job
from .plan import COMMANDS, LOCK, Plan
from .results import Results
from .words import counted

LOOK_EVERY = 1.0
"""Seconds between two looks at the progress."""
BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.1f} of {total_fmt} runs, {elapsed} so far, {remaining} left"


@contextmanager
def held(plan: Plan) -> Iterator[None]:
    """Hold the directory of a comparison and its file of results, so that one process alone does its runs.

    Raises:
        ToolError: Where another one holds one of them.
    """
    locks = {f"--work-dir {plan.folder}": plan.folder / LOCK}
    if plan.kept is not None:
        locks[f"--results {plan.kept}"] = plan.kept.with_name(f".{plan.kept.name}{LOCK}")
    with ExitStack() as stack:
        for what, file in locks.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(file, timeout=0))
            except Timeout:
                raise ToolError(f"{what}: another process runs this comparison; wait for it, or stop it") from None
        yield


def open_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Return the runs that are not done, without those that would fail again."""
    found = []
    for job in jobs:
        if job.result() is not None:
            continue
        failure = job.failure()
        if failure is None or failure["again"]:
            found.append(job)
    return found


def start_afresh(jobs: Sequence[Job]) -> None:
    """Throw away what earlier calls did of these runs."""
    for job in jobs:
        shutil.rmtree(job.folder, ignore_errors=True)


def describe(plan: Plan, jobs: Sequence[Job], waiting: Sequence[Job]) -> list[str]:
    """Return in lines what is there and what is to do."""
    done = [job for job in jobs if job.result() is not None]
    failed = [job for job in jobs if job not in waiting and job not in done]
    runs = f"{counted(len(plan.variants), 'variant')} with {counted(len(plan.seeds), 'seed')}"
    lines = [f"{runs}: {counted(len(jobs), 'run')}, {len(done)} done, {len(waiting)} to do, in {plan.folder}"]
    now = provenance()["commit"] or ""
    commits = {result.commit for job in done if (result := job.result()) and result.commit != now}
    if commits:
        lines.append(
            f"note: runs of the commit {', '.join(sorted(commits))} are used; the code is at {now or 'none'} now"
        )
    for job in failed:
        lines.append(f"{job.label} failed before: {job.run().error}; remove {job.folder} to train it again")
    return lines


def dry_run(plan: Plan) -> list[str]:
    """Write the plan, and return the command of each run that is to do, which stand in a file of the directory, too."""
    lines = [job.shell_line() for job in open_jobs(plan.jobs())]
    part = plan.folder / f".{COMMANDS}.part"
    part.write_text("".join(f"{line}\n" for line in lines))
    part.replace(plan.folder / COMMANDS)
    return lines


def run_all(plan: Plan, engine: Engine) -> Results:
    """Do all runs that are missing, and return the results, which are written after each run.

    Args:
        plan: Saved, and its directory held.
        engine: Where the runs take place.
    """
    jobs = plan.jobs()
    waiting = open_jobs(jobs)
    for line in describe(plan, jobs, waiting):
        print(line, flush=True)
    if waiting:
        with engine:
            print(engine.about(), flush=True)
            follow(plan, engine, jobs, waiting)
    found = plan.results()
    results.write(found, plan.results_file)
    return found


def follow(plan: Plan, engine: Engine, jobs: Sequence[Job], waiting: Sequence[Job]) -> None:
    """Submit runs, and show how far they are until all have ended."""
    futures = {engine.submit(job): job for job in waiting}
    pending = set(futures)
    shown = 60.0 if not sys.stderr.isatty() else 0.1
    with tqdm(total=len(jobs), initial=len(jobs) - len(waiting), bar_format=BAR, mininterval=shown) as bar:
        while pending:
            ended, pending = concurrent.futures.wait(
                pending, timeout=LOOK_EVERY, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                bar.write(conclude(futures[future], future))
            if ended:
                results.write(plan.results(), plan.results_file)
            behind = len(waiting) - len(pending) + sum(futures[future].progress() for future in pending)
            bar.update(max(0.0, bar.initial + behind - bar.n))


def conclude(job: Job, future: concurrent.futures.Future[None]) -> str:
    """Return a line on a run that has ended; an error of the engine becomes the run's."""
    result = job.result()
    if result is None:
        error = None if future.cancelled() else future.exception()
        if error is not None and job.failure() is None:
            job.fail(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", again=True)
        return f"{job.label}: failed: {job.run().error or 'it did not end'}"
    value = result.metrics[job.metric]
    figure = "none" if value is None else f"{value:.4f}"
    return f"{job.label}: {job.metric} {figure}, {result.seconds:.0f} s"
