"""A worker in a process of its own, since MMEngine keeps state per process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping

from ..files import write_json
from ..jobs import FAILURE, LOG, PARENT, PROGRESS, Job, python_path


def start(job: Job, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the worker of a run; what it says goes to the run's log.

    Args:
        job: The run.
        variables: Changes of the environment.
    """
    job.save()
    job.file(FAILURE).unlink(missing_ok=True)
    # what is behind it is known when the worker has found its checkpoint
    write_json(job.file(PROGRESS), {})
    environment = {**os.environ, **variables, "PYTHONPATH": python_path(), PARENT: str(os.getpid())}
    with open(job.file(LOG), "ab") as log:
        return subprocess.Popen(
            job.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the process that started it, which then ends it
        )


def judge(job: Job, code: int) -> bool:
    """Note a failure that the worker could not note itself, and return whether trying again may help.

    Args:
        job: The run.
        code: Exit code of its worker, below 0 for a signal.
    """
    if job.result() is not None:
        return False
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
        job.fail(f"its worker was ended by {name}{hint}; {last_words(job)}", again=True)
    elif job.failure() is None:
        job.fail(f"its worker ended with exit code {code}; {last_words(job)}", again=code == 3)
    failure = job.failure()
    return bool(failure and failure["again"])


def last_words(job: Job) -> str:
    """Return where the log is and how it ends."""
    file = job.file(LOG)
    lines = file.read_text(errors="replace").split("\n") if file.is_file() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"its log is {file}" + (f" and ends with: {said[-300:]}" if said else "")
