"""One run of a comparison, in processes that end at bad moments: prints how each of them ended.

``killed_runs.py JOB.json``. Everything is imported once, the processes are forks of this one.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable

import torch._dynamo  # noqa: F401  an optimizer imports it
from comparison import worker
from comparison.hooks import Recorder
from mmengine.config import Config


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
    "after a checkpoint, before it is evaluated": before(Recorder, "after_val_epoch"),
    "in the second epoch": before(Recorder, "after_train_iter", lambda runner: runner.iter == 3),
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
    job = worker.Job.load(sys.argv[1])
    # what every process would do again: collect what is imported here, lay out its config for a log
    gc.freeze()
    Config.pretty_text = ""
    ended = {}
    for moment, plant in MOMENTS.items():
        ended[moment] = [attempt(job, plant), job.file("last_checkpoint").read_text().rpartition("/")[2]]
    ended["at last"] = [attempt(job), ""]
    print(json.dumps(ended))


if __name__ == "__main__":
    main()
