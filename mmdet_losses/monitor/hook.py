"""The hook that watches the losses of a training."""

from __future__ import annotations

import math
from collections import deque
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from torch import Tensor

from ..log import write_to_files
from ..modules.look import count
from .batch import described, save, tensors_of, total
from .causes import MANY, MOST, NO_BOXES, NOT_FINITE, boxes_of_no_size
from .figures import BAD, WEIGHTED
from .images import images_of
from .report import LossMonitorError, judged, written
from .rows import arguments
from .totals import Iteration, Together, Totals, place
from .watch import Called, Watch

if TYPE_CHECKING:
    from mmengine.runner import Runner

REMEMBERED = 1000
"""Iterations whose loss is kept, as numbers, for the report."""


@HOOKS.register_module()
class LossMonitorHook(Hook):
    """Writes figures of every loss into the log, and stops with a report where a loss is not finite.

    In every ``interval``-th iteration MMEngine's message hub, and so the log, TensorBoard and W&B, get for each loss
    ``LOSS/weighted``, the share of rows whose weight is not 0; ``LOSS/iou``, the mean IoU of these, for boxes;
    ``LOSS/probability`` and ``LOSS/quality``, what a classification predicts for its positives and what their targets
    ask for; ``LOSS/gradient``, the norm of the gradient with respect to the prediction, of this loss alone; and for a
    member of a sum of losses ``LOSS/share``, its part of the sum. ``LOSS`` is its path in the model, such as
    ``bbox_head.loss_bbox``.

    A loss that is not finite ends the training with a :class:`LossMonitorError`: which loss, which row, its inputs, the
    likely cause, and the command that makes the call again from a file in the work directory. So do targets of a loss
    of boxes that are mostly no boxes. A step that a gradient scaler skips is no reason to stop.

    Nothing is read from the device but one copy in an iteration that is observed: whether the loss is finite MMEngine's
    RuntimeInfoHook knows after each iteration. The inputs of the losses are kept until then, by reference. Of several
    processes each watches its own losses, and all stop in the same iteration.

    Args:
        interval: Iterations from one look to the next.
        folder: Where in the work directory a call is saved.
    """

    priority = "VERY_HIGH"
    """Behind RuntimeInfoHook, and before statistics are committed and checkpoints are written."""

    def __init__(self, interval: int = 50, folder: str = "loss_monitor") -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f"interval must be a whole number, 1 or more, got {interval!r}.")
        self.interval, self.folder = interval, folder
        self.watch: Watch | None = None
        self.history: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)

    def before_train(self, runner: Runner) -> None:
        if self.watch is not None:
            self.watch.close()
        self.watch = Watch(runner.model.module if is_model_wrapper(runner.model) else runner.model)
        before = takewhile(lambda hook: hook is not self, runner.hooks)
        logged = any(isinstance(hook, RuntimeInfoHook) for hook in before)
        self.totals, self.together = Totals(runner.message_hub, logged), Together()
        self.history.clear()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.watch.begin()
        if self.every_n_train_iters(runner, self.interval):
            self.watch.observe(*scale_of(runner.optim_wrapper))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        calls, figures = self.watch.end()
        now = Iteration(runner.iter + 1, runner.epoch + 1, calls, data_batch, outputs)
        stop = self.look_at_totals(runner, self.totals.tell(now))
        if figures is not None and stop is None:
            stop = self.look_at_figures(runner, now, figures.read())
        self.stop_together(stop)

    def after_train(self, runner: Runner) -> None:
        self.stop_together(self.look_at_totals(runner, self.totals.drain()))
        self.watch.close()

    def look_at_totals(self, runner: Runner, known: list[tuple[Iteration, float]]) -> LossMonitorError | None:
        """The report on a loss that is not finite."""
        for iteration, loss in known:
            if not math.isfinite(loss):
                call = next((call for call in iteration.calls if not finite(call.value)), None)
                if call is None:
                    return LossMonitorError(unwatched(iteration, loss))
                return self.report(runner, iteration, call, NOT_FINITE)
            self.history.append((iteration.number, loss))
        return None

    def look_at_figures(
        self, runner: Runner, iteration: Iteration, found: dict[tuple[str, str], float]
    ) -> LossMonitorError | None:
        """Write figures into the message hub; returns the report on targets that are no boxes."""
        for (name, figure), value in sorted(found.items()):
            if figure not in (BAD, WEIGHTED):
                write(runner.message_hub, f"train/{name}/{figure}", value)
        for (name, figure), bad in found.items():
            weighted = found.get((name, WEIGHTED), 0)
            if figure == BAD and weighted >= MANY and bad > MOST * weighted:
                call = max((call for call in iteration.calls if call.name == name), key=number_of_no_boxes)
                return self.report(runner, iteration, call, NO_BOXES)
        return None

    def report(self, runner: Runner, iteration: Iteration, call: Called, reason: str) -> LossMonitorError:
        """Save a call, and say what is wrong with it."""
        try:
            return self.full_report(runner, iteration, call, reason)
        except Exception as error:  # the other processes wait, and what is known has to be said
            head = self.watch.heads[call.name]
            return LossMonitorError(
                f"training stopped: {call.name} of {head} ({call.loss}) returned {total(call.value)} in iteration "
                f"{iteration.number} of epoch {iteration.epoch}. No report could be made of it: "
                f"{type(error).__name__}: {error}."
            )

    def full_report(self, runner: Runner, iteration: Iteration, call: Called, reason: str) -> LossMonitorError:
        """The same, where nothing goes wrong."""
        rank, world = place()
        content = {
            **described(call, self.watch.heads[call.name]),
            "stopped for": reason,
            "iteration": iteration.number,
            "epoch": iteration.epoch,
            "process": (rank, world),
            "images": images_of(iteration.batch),
            "history": [loss for _, loss in self.history],
            "rate": rates(runner.optim_wrapper),
        }
        case, _ = judged(content, call.loss)
        process = f"_process{rank}" if world > 1 else ""
        file = Path(runner.work_dir) / self.folder / f"iter_{iteration.number}_{call.name}{process}.pt"
        try:
            save(content, file)
        except OSError as error:
            return LossMonitorError(f"{written(case, None)}\n  the call could not be saved as {file}: {error}")
        return LossMonitorError(written(case, file), file)

    def stop_together(self, stop: LossMonitorError | None) -> None:
        """Raise where this process, or another one, has a report."""
        first = self.together.first_to_stop(stop is not None)
        if first is None:
            return
        self.watch.close()
        stop = stop or LossMonitorError(
            f"training stopped: a loss of process {first} was not as it should be, and process {first} says which and "
            "why. Those of this process were finite."
        )
        write_to_files(str(stop))
        raise stop


def scale_of(wrapper: Any) -> tuple[float | Tensor, bool]:
    """What the next iteration's gradients are multiplied by, and whether a scaler may skip its step."""
    if isinstance(wrapper, OptimWrapperDict) or not hasattr(wrapper, "scale_loss"):
        return 1.0, False
    factor = wrapper.scale_loss(1.0)
    scaler = getattr(wrapper, "loss_scaler", None)
    if scaler is None:
        return factor, False
    scale = getattr(scaler, "_scale", None)  # get_scale() would wait for the device
    known = scale.clone() if isinstance(scale, Tensor) else getattr(scaler, "_init_scale", 1.0)
    return factor * known, True


def number_of_no_boxes(call: Called) -> int:
    """How many weighted targets of a call are no boxes."""
    _, target, weight = arguments(call.loss, call.args, call.kwargs)
    return int(count(target, weight)[2]) if isinstance(target, Tensor) and target.numel() else 0


def finite(value: Any) -> bool:
    """Whether all that a loss returned is."""
    return all(bool(one.isfinite().all()) for one in tensors_of(value))


def rates(wrapper: Any) -> list[float]:
    """The learning rates, each once."""
    return list(dict.fromkeys(float(rate) for group in wrapper.get_lr().values() for rate in group))


def write(hub: Any, key: str, value: float) -> None:
    """Write a figure, of which the log is to show the last and not a mean."""
    hub.log_scalars.setdefault(key, HistoryBuffer(max_length=1))
    hub.update_scalar(key, value)


def unwatched(iteration: Iteration, loss: float) -> str:
    """The report where no module returned what is not finite."""
    outputs = iteration.outputs.items() if isinstance(iteration.outputs, dict) else ()
    bad = [name for name, value in outputs if isinstance(value, Tensor) and not finite(value)]
    lines = [
        f"training stopped: the loss was {loss} in iteration {iteration.number} of epoch {iteration.epoch}, but every "
        f"loss of the model returned finite numbers. What is not finite is {', '.join(bad) or 'their sum'}: the head "
        "computes it itself, or does so with a function. There is no call to make again."
    ]
    lines += [f"  likely cause: {box}." for box in boxes_of_no_size(images_of(iteration.batch))]
    return "\n".join(lines)
