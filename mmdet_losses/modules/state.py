"""Running statistics of losses: gathered in ``forward``, committed once per iteration, equal on all processes."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from ..functional.compiling import is_compiling
from ..functional.reduce import may_select
from .defined import DefinedBuffers
from .steps import several_processes, steps_are_silent

__all__ = ["Annealed", "Stateful", "commit_statistics"]

FORGOTTEN = 1000
"""Calls without a commit after which a warning says that nobody commits."""

SUSPECT = 30
"""The same where the steps of optimizers cannot be heard."""

REMINDERS = (3, 30, 300)
"""Steps of several processes without a commit after which a look at the sums says the same; a loop may make two, of two
optimizers, before it commits for the first time."""


class Stateful(DefinedBuffers):
    """Mixin of modules with running statistics.

    ``forward`` only adds to sums, on this process alone, since a head may skip the call for a level without positives
    and a collective would then never end. Once per iteration the sums of all processes are added, and :meth:`commit`
    takes them over into buffers that are saved with the model. Who does that, and when, is in
    :mod:`~mmdet_losses.modules.steps`.

    A subclass declares its buffers by :meth:`keep_buffers`, sets them in :meth:`reset_statistics`, which its
    constructor calls, and declares its sums by :meth:`keep_sums`.
    """

    sum_names: tuple[str, ...] = ()
    uncommitted = 0
    steps = 0
    """Steps of optimizers that nobody committed after, in a process that is one of several."""

    def keep_sums(self, **shapes: tuple[int, ...]) -> None:
        """Declare the sums that are gathered, each with its shape; to be called once, in the constructor."""
        self.sum_names = tuple(shapes)
        if shapes:
            self.keep_buffers(persistent=False, **{f"gathered_{name}": shape for name, shape in shapes.items()})

    def gather(self, **sums: Tensor) -> None:
        """Add the sums of one call; of a call with a sum that is not finite, nothing is added.

        A NaN would stay for the rest of the training, where mixed precision, for one, skips the step and goes on.
        """
        sums = {name: value.detach() for name, value in sums.items()}
        total = sum(value.sum() for value in sums.values())
        if may_select(total):
            found = sums if math.isfinite(total.item()) else {}
        else:
            found = {name: torch.where(total.isfinite(), value, 0) for name, value in sums.items()}
        for name, value in found.items():
            getattr(self, f"gathered_{name}").add_(value)
        if not is_compiling():
            self.uncommitted += 1
            late = self.uncommitted == SUSPECT and not self.by_hand and steps_are_silent()
            if late or self.uncommitted == FORGOTTEN:
                self.say_how(f"in {self.uncommitted} calls", stacklevel=3)

    def gathered(self) -> dict[str, Tensor]:
        """The sums that wait for a commit."""
        return {name: getattr(self, f"gathered_{name}") for name in self.sum_names}

    def commit(self, **sums: Tensor) -> None:
        """Take the sums of an iteration, over all processes, into the buffers; all are 0 where nothing was gathered."""
        raise NotImplementedError

    @torch.no_grad()
    def take_over(self) -> None:
        """Commit what was gathered, and begin again."""
        sums = self.gathered()
        self.commit(**sums)
        self.forget(sums)

    def forget(self, sums: dict[str, Tensor]) -> None:
        """Set sums to 0."""
        for value in sums.values():
            value.zero_()
        self.uncommitted = self.steps = 0

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.forget(self.gathered())
        self.reset_statistics()

    def after_step(self) -> None:
        if self.by_hand or not self.sum_names:
            return
        if not several_processes():
            self.take_over()
            return
        self.steps += 1
        if self.steps in REMINDERS and any(value.any() for value in self.gathered().values()):
            self.say_how(f"on one of several processes over {self.steps} optimizer steps", stacklevel=1)

    def say_how(self, since: str, stacklevel: int) -> None:
        """Warn that nothing commits."""
        warnings.warn(
            f"{type(self).__name__} has gathered statistics {since}, and nothing committed them: call "
            "mmdet_losses.commit_statistics(model) after each iteration, on every process. In MMEngine's runner "
            "LossStateHook does that, which is there by itself; in another training with hooks, add it.",
            stacklevel=stacklevel + 1,
        )


class Annealed(DefinedBuffers):
    """Mixin of modules with an option that changes over the training."""

    called = False
    """Whether it was called in training before anybody told it the progress."""

    def set_progress(self, progress: float) -> None:
        """Set the option for the share of the training that is done, from 0 to 1."""
        raise NotImplementedError

    def after_step(self) -> None:
        if self.called and not self.by_hand:
            self.by_hand = True
            warnings.warn(
                f"{type(self).__name__} changes over the training, and nothing tells it the progress: call its "
                "set_progress(share), from 0 to 1, before each iteration, or give it an option that stays. In "
                "MMEngine's runner LossStateHook does that, which is there by itself.",
                stacklevel=1,
            )


@torch.no_grad()
def commit_statistics(model: nn.Module) -> None:
    """Commit what the stateful losses of a model gathered; to be called after each iteration, on every process.

    MMEngine's runners call it, through ``LossStateHook``, and a training loop of one's own in one process needs no
    call: there each optimizer's step commits. A loop of one's own in several processes calls it after the step. From
    the first call on, the losses of the model are committed by it alone.

    Args:
        model: The model, or any module that holds the losses.

    Example:
        >>> import torch
        >>> from mmdet_losses import WIoULoss, commit_statistics
        >>> loss = WIoULoss()
        >>> pred = torch.tensor([[0.0, 0, 10, 8]], requires_grad=True)
        >>> loss(pred, torch.tensor([[0.0, 0, 10, 10]])).backward()
        >>> commit_statistics(loss)
        >>> loss.focus.iou_mean < 1
        tensor(True)
    """
    holders = [module for module in model.modules() if isinstance(module, Stateful)]
    gathered = [value for holder in holders for value in holder.gathered().values()]
    if gathered and several_processes():
        flat = torch.cat([value.flatten().to(gathered[0]) for value in gathered])
        torch.distributed.all_reduce(flat)
        for value, total in zip(gathered, flat.split([value.numel() for value in gathered]), strict=True):
            value.copy_(total.reshape(value.shape))
    for holder in holders:
        holder.take_over()
        holder.by_hand = True
