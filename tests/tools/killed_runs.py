"""One run of a comparison in processes that end at bad moments, and once without: prints what both measured.

``killed_runs.py PLAN.json``: arguments of a ``Plan``. Everything is imported once, the runs are forks of this process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from comparison import worker
from comparison.hooks import Recorder
from comparison.plan import Plan


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: type, name: str, condition: Callable[..., bool] = lambda *_: True) -> Callable[[], None]:
    """A fault: the process ends where a method is called."""

    def plant() -> None:
        method = getattr(owner, name)

        def method_or_end(self, runner, *args, **kwargs):
            if condition(runner):
                end()
            return method(self, runner, *args, **kwargs)

        setattr(owner, name, method_or_end)

    return plant


def in_record() -> None:
    worker.record = lambda *_: end()


MOMENTS = {
    "in the second epoch": before(Recorder, "after_train_iter", lambda runner: runner.iter == 3),
    "after the last checkpoint, before it is evaluated": before(
        Recorder, "after_val_epoch", lambda runner: runner.epoch == runner.max_epochs
    ),
    "when all is evaluated": in_record,
}


def attempt(job: worker.Job, plant: Callable[[], None] | None = None) -> int:
    """Do a run in a fork, and return how it ended."""
    child = os.fork()
    if child == 0:
        if plant is not None:
            plant()
        os._exit(worker.work(job))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    arguments = json.loads(Path(sys.argv[1]).read_text())
    plan = Plan(**{**arguments, "folder": Path(arguments["folder"])})
    plan.save()
    (job,) = plan.jobs()
    ended = {"never": attempt(job)}
    whole = json.loads(job.file("result.json").read_text())
    shutil.rmtree(job.folder)
    checkpoints = {}
    job.save()
    for moment, plant in MOMENTS.items():
        ended[moment] = attempt(job, plant)
        checkpoints[moment] = job.file("last_checkpoint").read_text().rpartition("/")[2]
    ended["at last"] = attempt(job)
    print(json.dumps([ended, checkpoints, whole, json.loads(job.file("result.json").read_text())]))


if __name__ == "__main__":
    main()
