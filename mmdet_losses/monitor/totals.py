"""Whether the loss of an iteration is finite, without a wait for the device, and with all processes at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from ..log import warn
from ..modules.look import send
from ..modules.steps import several_processes
from .watch import Called


@dataclass
class Iteration:
    """An iteration whose loss is not known yet.

    Attributes:
        number: Its number, the first one being 1.
        epoch: That of its epoch.
        calls: The calls of the losses in it.
        batch: The batch.
        outputs: What the training step returned.
    """

    number: int
    epoch: int
    calls: list[Called]
    batch: Any
    outputs: Any

    def losses(self) -> dict[str, Any]:
        """Its total, or the losses where it has none of that name."""
        if not isinstance(self.outputs, Mapping):
            return {}
        if "loss" in self.outputs:
            return {"loss": self.outputs["loss"]}
        return {name: value for name, value in self.outputs.items() if "loss" in name}


class Totals:
    """Tells the loss of each iteration as soon as it can be known.

    MMEngine's RuntimeInfoHook reads it from the device for the log after every iteration, and then it is there. Where
    that hook is switched off, a copy is begun and read an iteration later.

    Args:
        hub: MMEngine's message hub.
        logged: Whether RuntimeInfoHook writes the losses into it.
    """

    def __init__(self, hub: Any, logged: bool) -> None:
        self.hub, self.logged = hub, logged
        self.pending: tuple[Iteration, Tensor, Any] | None = None

    def tell(self, iteration: Iteration) -> list[tuple[Iteration, float]]:
        """Iterations whose loss is known now, with it; the sum of several losses."""
        losses = iteration.losses()
        if self.logged:
            keys = [f"train/{name}" for name in losses]
            return [(iteration, float(sum(self.hub.get_scalar(key).current() for key in keys)))] if keys else []
        tensors = [value.detach().mean().float() for value in losses.values() if isinstance(value, Tensor)]
        if not tensors:
            return []
        total = torch.stack(tensors).sum()
        if is_on_host(total):
            return [(iteration, float(total))]
        known = self.drain()
        iteration.calls = [call.detached() for call in iteration.calls]
        self.pending = (iteration, *send(total))
        return known

    def drain(self) -> list[tuple[Iteration, float]]:
        """The iteration that is on its way."""
        if self.pending is None:
            return []
        iteration, total, arrived = self.pending
        self.pending = None
        arrived.synchronize()
        return [(iteration, float(total))]


def is_on_host(tensor: Tensor) -> bool:
    """Whether a tensor can be read without a wait; what is not there is sent as from a GPU."""
    return not tensor.is_cuda


class Together:
    """Lets all processes of a training stop in the same iteration, since one that is missing leaves the others waiting.

    The processes compare one number of the host per iteration, through gloo, also where gradients go through NCCL.
    """

    def __init__(self) -> None:
        self.group: Any = None
        self.several = several_processes()
        if not self.several:
            return
        if distributed.get_backend() == "gloo":
            self.group = distributed.group.WORLD
        elif distributed.is_gloo_available():
            self.group = distributed.new_group(backend="gloo")
        else:
            self.several = False
            warn(
                "LossMonitorHook: this torch has no gloo, by which processes tell each other to stop. One that stops "
                "leaves it to the launcher to end the others; torchrun does."
            )

    def first_to_stop(self, stops: bool) -> int | None:
        """The least rank of the processes that stop; None where none does."""
        if not self.several:
            return 0 if stops else None
        world = distributed.get_world_size()
        first = torch.tensor(distributed.get_rank() if stops else world)
        distributed.all_reduce(first, distributed.ReduceOp.MIN, group=self.group)
        return int(first) if first < world else None


def place() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    if not several_processes():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
