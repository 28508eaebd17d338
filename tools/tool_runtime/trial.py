"""A recorded training in a process of its own, for comparisons and checks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmdet_losses
import mmdet_losses.data.datasets  # registers the drawn data set, which no COCO config imports
from mmdet_losses.registry import stock_losses

from . import runtime
from .errors import ToolError, report_errors
from .preflight import use_stock_losses
from .provenance import provenance

RESULT, PROGRESS, REQUEST, LOG = "result.json", "progress.txt", "trial.json", "log.txt"


@dataclass(frozen=True)
class Trial:
    """What to train, and how.

    Attributes:
        config: Path of the config.
        work_dir: Folder of this trial alone: request, log, progress and result.
        side: 'ours' for this package's losses, 'stock' for MMDetection's own of the same names.
        seed: ``randomness.seed``, which also sets weights, data order and augmentation.
        iters: Number of iterations, without evaluation; None trains the config's schedule and evaluates every epoch.
        lr: Rate of plain SGD (no momentum, weight decay, clipping or schedule); None keeps the config's optimizer.
        amp: Whether to use automatic mixed precision.
        threads: CPU threads of torch, None for its default.
        options: Options as ``--cfg-options`` gives them.
    """

    config: str
    work_dir: str
    side: str = "ours"
    seed: int = 0
    iters: int | None = None
    lr: float | None = None
    amp: bool = False
    threads: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def read_config(self) -> Config:
        """Return the config to train."""
        cfg = runtime.read_config(self.config, dict(self.options))
        cfg.launcher = "none"
        cfg.work_dir = self.work_dir
        cfg.setdefault("randomness", {})
        cfg.randomness.seed = self.seed
        cfg.setdefault("default_hooks", {})
        cfg.default_hooks.checkpoint = None
        if self.lr is not None:
            cfg.optim_wrapper = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": self.lr}}
            cfg.param_scheduler = None
        if self.iters is not None:
            cfg.train_cfg = {
                "type": "IterBasedTrainLoop",
                "max_iters": self.iters,
                "val_interval": self.iters + 1,
            }
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        elif "val_interval" in cfg.train_cfg:
            cfg.train_cfg.val_interval = 1
        if self.amp:
            runtime.enable_amp(cfg)
        if self.side == "stock":
            use_stock_losses(cfg.model)
        return cfg

    def fingerprint(self) -> str:
        """Return a hash of all that decides the result, without the work directory."""
        cfg = self.read_config()
        cfg.work_dir = ""
        settings = {**asdict(self), "work_dir": "", "text": cfg.pretty_text}
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()

    def result(self) -> dict[str, Any] | None:
        """Return the result of an earlier, complete run of the same trial; None without one."""
        file = Path(self.work_dir) / RESULT
        if not file.is_file():
            return None
        result = json.loads(file.read_text())
        return result if result.get("fingerprint") == self.fingerprint() else None


class Recorder(Hook):
    """Record the losses of every iteration in full precision, and the metrics of every evaluation."""

    priority = "VERY_LOW"

    def __init__(self, progress: Path) -> None:
        self.progress = progress
        self.losses: list[dict[str, float]] = []
        self.metrics: list[dict[str, float]] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.losses.append({key: float(value) for key, value in (outputs or {}).items() if "loss" in key})
        if len(self.losses) % 10 == 0 or len(self.losses) == runner.max_iters:
            self.note(f"iteration {len(self.losses)}/{runner.max_iters}, loss {self.losses[-1]['loss']:.4f}")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        values = {key: float(value) for key, value in (metrics or {}).items()}
        self.metrics.append({"epoch": runner.epoch, **values})
        self.note(f"epoch {runner.epoch}/{runner.max_epochs}, mAP {values.get('coco/bbox_mAP', 0.0):.3f}")

    def note(self, text: str) -> None:
        """Show how far the training is."""
        if is_main_process():
            self.progress.write_text(text)


def loss_classes(model: torch.nn.Module) -> dict[str, str]:
    """Return the class of every loss of a model, as ``{module path: class}``."""
    return {
        name: f"{type(module).__module__}.{type(module).__qualname__}"
        for name, module in model.named_modules()
        if "loss" in name.rpartition(".")[2]
    }


def is_ours(class_name: str) -> bool:
    """Return whether a class named by :func:`loss_classes` is of this package."""
    return class_name.split(".")[0] == mmdet_losses.__name__


def run(trial: Trial) -> dict[str, Any]:
    """Train in this process and return the record; see :func:`start` for a process of its own."""
    runtime.prepare_process()
    if trial.threads is not None:
        torch.set_num_threads(trial.threads)
    cfg = trial.read_config()
    fingerprint = trial.fingerprint()
    # within it, also the losses that a head has by default and the config does not name
    with stock_losses() if trial.side == "stock" else nullcontext():
        runner = runtime.build_runner(cfg)
    classes = loss_classes(runner.model)
    wrong = {name: cls for name, cls in classes.items() if is_ours(cls) != (trial.side == "ours")}
    if trial.side == "stock" and wrong:
        raise ToolError(f"{trial.config}: these losses have no stock class to compare with: {sorted(wrong)}")

    recorder = Recorder(Path(trial.work_dir) / PROGRESS)
    runner.register_hook(recorder)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start_time = time.perf_counter()
    runner.train()
    return {
        "fingerprint": fingerprint,
        "trial": asdict(trial),
        "loss_classes": classes,
        "losses": recorder.losses,
        "metrics": recorder.metrics,
        "seconds": round(time.perf_counter() - start_time, 1),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        **provenance(),
    }


def start(trial: Trial) -> subprocess.Popen:
    """Start a trial in a process of its own, since MMEngine keeps state per process; output goes to its log."""
    folder = Path(trial.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (RESULT, PROGRESS):
        (folder / name).unlink(missing_ok=True)
    (folder / REQUEST).write_text(json.dumps(asdict(trial), indent=1))
    environment = dict(os.environ)
    if trial.threads is not None:
        environment["OMP_NUM_THREADS"] = str(trial.threads)
    roots = [str(Path(file).parents[1]) for file in (__file__, mmdet_losses.__file__)]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*roots, environment.get("PYTHONPATH")]))
    with open(folder / LOG, "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder / REQUEST)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def run_all(
    trials: dict[str, Trial],
    *,
    jobs: int = 1,
    fresh: bool = False,
    keep_going: bool = False,
    poll: float = 1.0,
) -> dict[str, dict]:
    """Run trials, each in its own process, and print their progress. Complete results of earlier runs are reused.

    Args:
        trials: Trials by label; the labels are printed.
        jobs: Number of processes.
        fresh: Whether to ignore earlier results.
        keep_going: Whether a failed trial gets the result ``{'error': message}`` and the others run.
        poll: Seconds between two looks at the processes.

    Returns:
        Results by label, in the order of ``trials``.

    Raises:
        ToolError: Where a trial fails; the message has the end of its log.
    """
    results: dict[str, dict] = {}
    waiting = dict(trials)
    running: dict[str, subprocess.Popen] = {}
    notes: dict[str, str] = {}

    def stop(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                label = next(iter(waiting))
                trial = waiting.pop(label)
                result = None if fresh else trial.result()
                if result is not None:
                    print(f"{label}: reused from {trial.work_dir} (commit {result['commit']})", flush=True)
                    results[label] = result
                else:
                    running[label] = start(trial)
            time.sleep(poll if running else 0)
            for label, process in list(running.items()):
                trial = trials[label]
                note = read(Path(trial.work_dir) / PROGRESS)
                if note and note != notes.get(label):
                    notes[label] = note
                    print(f"{label}: {note}", flush=True)
                if process.poll() is None:
                    continue
                del running[label]
                result = trial.result() if process.returncode == 0 else None
                if result is None:
                    message = failure(label, trial, process.returncode)
                    if not keep_going:
                        raise ToolError(message)
                    print(message, flush=True)
                    result = {"error": message}
                results[label] = result
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return {label: results[label] for label in trials}


def failure(label: str, trial: Trial, code: int) -> str:
    """Return the message for a failed trial, with the end of its log."""
    log = Path(trial.work_dir) / LOG
    tail = "\n".join(read(log).splitlines()[-8:])
    return f"{label} failed with exit code {code}; the whole log is {log}, and ends with:\n{tail}"


def read(file: Path) -> str:
    """Return a file's text; empty where there is none."""
    return file.read_text(errors="replace") if file.is_file() else ""


def main() -> None:
    """Run the trial of the file named on the command line, and write its result when it is complete."""
    with report_errors("trial"):
        trial = Trial(**json.loads(Path(sys.argv[1]).read_text()))
        result = run(trial)
        part = Path(trial.work_dir) / (RESULT + ".part")
        part.write_text(json.dumps(result, indent=1))
        os.replace(part, Path(trial.work_dir) / RESULT)


if __name__ == "__main__":
    main()
