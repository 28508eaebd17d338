"""The optimizer's step, after which statistics are committed where nobody else does it.

A training loop of one's own has one event per iteration that every kind of loop shares: the step of an optimizer, which
torch tells a global hook. In one process each step, of whichever optimizer, commits what has been gathered since the
last one. Nothing is lost or counted twice: under gradient accumulation one step follows several calls; a step that a
scaler skips leaves the sums to the next one; of several optimizers in an iteration those that follow without a call
find sums of 0, which change nothing.

Over several processes a commit is a collective, and a step is no event that all of them share: one process may step an
optimizer of its own, hold losses that others do not, or have dropped a model that Python has not yet freed elsewhere,
and a collective that one process misses waits for ever. So there the step commits nothing and says what to add. The
collective needs an owner that knows the model and runs on every process: MMEngine's runner, whose hook this package
adds by itself, or the loop, which calls ``commit_statistics(model)``. Either switches the step off for the losses of
the model.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from .averaging import keep_out_of_averages

LISTENERS: WeakSet[nn.Module] = WeakSet()
"""All modules with an ``after_step``; nothing is hooked in a process without any."""

HOOKED: list[Any] = []
"""The handle of the hook, once there is one."""


def listen(module: nn.Module) -> None:
    """Call the module's ``after_step`` after each step of an optimizer, as long as the module lives."""
    LISTENERS.add(module)
    if not HOOKED:
        HOOKED.append(register_optimizer_step_post_hook(tell))
        keep_out_of_averages(torch.optim.swa_utils.AveragedModel)


def tell(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """The hook."""
    for module in list(LISTENERS):
        module.after_step()


def steps_are_silent() -> bool:
    """Whether torch has taken the hooks off its optimizers, as older versions do when they compile anything."""
    step = torch.optim.SGD.step
    return getattr(step, "hooked", False) and step.__code__.co_name != "wrapper"


def several_processes() -> bool:
    """Whether the process is one of several that train together."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
