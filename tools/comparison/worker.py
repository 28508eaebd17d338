"""Does one run of a comparison: ``python -m comparison.worker JOB.json``.

What it does follows from the job's file alone. Stopped at any moment and started again, it goes on from the checkpoint
of the last epoch, and measures the same as if it had not been stopped.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.runner import Runner
from tool_runtime import checkpoints, runtime
from tool_runtime.errors import ToolError, with_cause
from tool_runtime.preflight import config_errors
from tool_runtime.provenance import provenance

import mmdet_losses.data.datasets  # noqa: F401  registers the losses and the drawn data set, whatever the config imports

from .files import write_json
from .hooks import PREDICTIONS, Diverged, EpochSeeds, Recorder, coco_metrics, last_metrics
from .jobs import CURVE, FAILURE, LOCK, PARENT, RESULT, Job
from .measure import measure
from .results import Run

LOCK_SECONDS = 60
"""How long to wait for an earlier worker of the same run, which may be about to end."""


def follow_parent() -> None:
    """End this process, and its data loaders, when the one that started it ends, even by SIGKILL (Linux)."""
    runtime.tie_forks()
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(runtime.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(1)


def read_config(job: Job) -> Config:
    """Return the config of a run, which resumes where there is a checkpoint of an epoch."""
    cfg = Config.fromfile(job.config)
    cfg.work_dir = job.folder
    cfg.randomness.seed = job.seed
    if by_epoch(cfg):
        try:
            last = checkpoints.last_checkpoint(job.folder)
        except ToolError:  # killed between two checkpoints: from the beginning
            last = None
        if last is not None:
            cfg.resume, cfg.load_from = True, str(last)
    return cfg


def by_epoch(cfg: Config) -> bool:
    """Return whether MMEngine's own loop trains epoch by epoch, so that a checkpoint lies between two of them."""
    loop = cfg.train_cfg
    if "type" in loop:
        return str(getattr(loop.type, "__name__", loop.type)).rpartition(".")[2] == "EpochBasedTrainLoop"
    return bool(loop.get("by_epoch", False))


def train(job: Job) -> Run:
    """Train, evaluate and measure in this process."""
    runtime.prepare_process()
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    cfg = read_config(job)
    runner = runtime.build_runner(cfg)
    recorder = Recorder(job, resumed=bool(cfg.get("resume")))
    for hook in (EpochSeeds(), recorder):
        runner.register_hook(hook)
    with config_errors(job.config):
        runner.train()
    return record(job, runner, recorder, on_gpu)


def record(job: Job, runner: Runner, recorder: Recorder, on_gpu: bool) -> Run:
    """Return what a finished training measured."""
    metrics, per_class, errors = last_metrics(recorder.curve), {}, {}
    for metric in coco_metrics(runner):
        exact, per_class, errors = measure(metric, job.file(f"{PREDICTIONS}.bbox.json"))
        metrics |= exact
    if job.metric not in metrics:
        raise ToolError(f"--metric {job.metric}: the evaluation has none; it has {', '.join(metrics) or 'nothing'}")
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else resident_memory()
    origin = provenance()
    device = {"device": torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"}
    return Run(
        job.variant,
        job.seed,
        "done",
        metrics=metrics,
        per_class=per_class,
        curve=recorder.curve,
        errors=errors,
        seconds=round(recorder.seconds, 3),
        peak_memory_mb=round(memory, 1),
        versions={**origin["versions"], **device},
        commit=origin["commit"] or "",
        config_sha256=job.digest,
    )


def resident_memory() -> float:
    """Return the largest memory of this process so far, in MiB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def tidy(job: Job) -> None:
    """Remove what only an unfinished run needs."""
    last = None
    if job.keep_checkpoints:
        last = checkpoints.last_checkpoint(job.folder)
    for file in Path(job.folder).glob("*.pth*"):
        if file != last:
            file.unlink()
    if last is None:
        job.file(checkpoints.LAST_CHECKPOINT).unlink(missing_ok=True)


def work(job: Job) -> int:
    """Do the run, write its result or how it failed, and return an exit code."""
    if job.result() is not None:
        return 0
    job.file(FAILURE).unlink(missing_ok=True)
    if job.file(RESULT).exists():  # of another config
        clear(job)
    try:
        result = train(job)
    except Exception as error:
        message, again = explain(error)
        traceback.print_exc()
        job.fail(message, again=again)
        return 2
    write_json(job.file(RESULT), asdict(result))
    tidy(job)
    return 0


def clear(job: Job) -> None:
    """Remove all that an earlier training left, but for what says what to do."""
    for path in Path(job.folder).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name in (RESULT, FAILURE, CURVE, checkpoints.LAST_CHECKPOINT) or ".pth" in path.name:
            path.unlink()


def explain(error: Exception) -> tuple[str, bool]:
    """Return the sentence for a failed run, and whether trying again may help."""
    text = " ".join(str(error).split())
    if isinstance(error, ToolError):
        return with_cause(text, error), False
    if isinstance(error, Diverged):
        return f"{text}; the same seed would do so again", False
    named = f"{type(error).__name__}: {text}"
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return f"out of memory ({named})", True
    lost_worker = isinstance(error, RuntimeError) and "DataLoader worker" in text
    return named, lost_worker or (isinstance(error, OSError) and not isinstance(error, FileNotFoundError))


def main() -> int:
    follow_parent()
    job = Job.load(sys.argv[1])
    os.chdir(job.directory)
    try:
        with FileLock(job.file(LOCK), timeout=LOCK_SECONDS):
            return work(job)
    except Timeout:
        print(f"{job.label}: another process has been training this run for {LOCK_SECONDS} seconds", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
