"""What a run adds to MMEngine's training: random numbers that an interruption does not change, and a record."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed

from .files import read_json, write_json
from .jobs import CURVE, PROGRESS, Job

PREDICTIONS = "predictions"
SECONDS = "comparison_seconds"
"""In a checkpoint: time of the training so far."""
CHECK_EVERY = 50
"""Iterations between two looks at the loss."""


class Diverged(Exception):
    """The training's loss or weights are not finite any more."""


class EpochSeeds(Hook):
    """Seeds every epoch from the run's seed and the epoch's number alone.

    So an epoch after a checkpoint is the same whether or not the process is. MMEngine stores no state of random
    numbers, and its workers, started anew, would repeat the augmentations of the first epoch.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        seed = int(np.random.SeedSequence([runner.seed, runner.epoch]).generate_state(1)[0])
        set_random_seed(seed)
        loader = runner.train_dataloader
        start = loader.worker_init_fn
        if isinstance(start, partial) and "seed" in start.keywords:
            # below what numpy takes, with room for the number of the worker
            loader.worker_init_fn = partial(start, seed=seed % 2**31)


class Recorder(Hook):
    """Keeps the metrics of every evaluation, the progress, and the time; stops where the loss is not finite.

    MMEngine writes the checkpoint of an epoch before it evaluates. A training that was stopped in between is evaluated
    when it goes on, and one that was stopped at its end once more.
    """

    priority = "VERY_LOW"

    def __init__(self, job: Job, resumed: bool) -> None:
        self.job = job
        self.resumed = resumed
        self.curve: list[dict[str, float]] = (read_json(job.file(CURVE)) or []) if resumed else []
        self.before = self.saved = 0.0
        self.predicted = False
        self.start = self.shown = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time of the training, without what an interruption made it repeat."""
        return self.before + time.perf_counter() - self.start

    def before_train(self, runner: Runner) -> None:
        for metric in coco_metrics(runner):
            metric.outfile_prefix = str(self.job.file(PREDICTIONS))
        self.curve = [entry for entry in self.curve if entry["iter"] <= runner.iter]
        self.before = max(self.saved, self.curve[-1]["seconds"] if self.curve else 0.0)
        if runner.epoch and self.due(runner) and not self.evaluated(runner):
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint[SECONDS] = self.seconds

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        self.saved = checkpoint.get(SECONDS, 0.0) if self.resumed else 0.0

    def due(self, runner: Runner) -> bool:
        """Return whether MMEngine would have evaluated after the epoch that has just ended."""
        loop = runner.train_loop
        epoch = runner.epoch
        return epoch == runner.max_epochs or (epoch >= loop.val_begin and epoch % loop.val_interval == 0)

    def evaluated(self, runner: Runner) -> bool:
        """Return whether the model as it is has been evaluated."""
        return bool(self.curve) and self.curve[-1]["iter"] == runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        number = runner.iter + 1
        if number % CHECK_EVERY == 0 or number == runner.max_iters:
            # under a gradient scaler a step whose loss is not finite is left out, and the training goes on
            loss = (outputs or {}).get("loss")
            scaled = getattr(runner.optim_wrapper, "loss_scaler", None) is not None
            if loss is not None and not scaled and not bool(torch.isfinite(loss)):
                raise Diverged(f"the loss was not finite at iteration {number} of {runner.max_iters}")
        if time.perf_counter() - self.shown > 1:
            self.show(number, runner.max_iters)

    def after_train_epoch(self, runner: Runner) -> None:
        bad = next((name for name, value in runner.model.named_parameters() if not bool(value.isfinite().all())), None)
        if bad is not None:
            raise Diverged(f"the weights {bad} were not finite after epoch {runner.epoch + 1} of {runner.max_epochs}")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        values = {
            name.rpartition("/")[2]: float(value)
            for name, value in (metrics or {}).items()
            if isinstance(value, int | float | np.number)
        }
        entry = {"epoch": epochs(runner), "iter": runner.iter, "seconds": round(self.seconds, 3), **values}
        if self.evaluated(runner):
            self.curve.pop()
        self.curve.append(entry)
        self.predicted = True
        write_json(self.job.file(CURVE), self.curve)
        self.show(runner.iter, runner.max_iters)

    def after_train(self, runner: Runner) -> None:
        if not (self.predicted and self.evaluated(runner)):
            runner.val_loop.run()

    def show(self, number: int, of: int) -> None:
        """Say how far the training is."""
        self.shown = time.perf_counter()
        write_json(self.job.file(PROGRESS), {"iter": number, "max_iters": of})


def epochs(runner: Runner) -> float:
    """Return how often the training has seen its data; a loop that counts iterations has no epochs of its own."""
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return runner.epoch
    return round(runner.iter / len(runner.train_dataloader), 4)


def coco_metrics(runner: Runner) -> list[CocoMetric]:
    """Return the metrics of the evaluation that measure boxes as COCO does."""
    metrics = runner.val_loop.evaluator.metrics
    return [metric for metric in metrics if isinstance(metric, CocoMetric) and "bbox" in metric.metrics]


def last_metrics(curve: list[dict[str, float]]) -> dict[str, float]:
    """Return the metrics of the last evaluation, as the evaluator rounds them."""
    aside = ("epoch", "iter", "seconds")
    return {name: value for name, value in curve[-1].items() if name not in aside} if curve else {}
