"""Running statistics of losses: gathered in ``forward``, committed once per iteration, equal on all processes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..functional.compiling import is_compiling
from ..functional.reduce import may_select

__all__ = ["Annealed", "Stateful", "commit_statistics"]

FORGOTTEN = 1000
"""Calls without a commit after which a warning says that nobody commits."""


class Stateful(nn.Module):
    """Mixin of modules with running statistics.

    ``forward`` only adds to sums, on this process alone, since a head may skip the call for a level without positives
    and a collective would then never end. :func:`commit_statistics` adds the sums of all processes and lets every
    module take them over in :meth:`commit`, into buffers that are saved with the model.
    """

    uncommitted = 0

    def keep_sums(self, **shapes: tuple[int, ...]) -> None:
        """Declare the sums that are gathered, each with its shape; to be called once, in the constructor."""
        self.sum_names = tuple(shapes)
        for name, shape in shapes.items():
            self.register_buffer(f"gathered_{name}", torch.zeros(shape), persistent=False)

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
            if self.uncommitted == FORGOTTEN:
                warnings.warn(
                    f"{type(self).__name__} has gathered statistics in {FORGOTTEN} calls, and nothing committed them: "
                    "add dict(type='LossStateHook') to custom_hooks, or call mmdet_losses.commit_statistics(model) "
                    "after each iteration.",
                    stacklevel=2,
                )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Stateful:
        """Convert or move the module, its statistics staying float32: a count in bfloat16 ends at 256."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new.dtype in (torch.float16, torch.bfloat16):
                self._buffers[name] = old.to(new.device)
        return self

    def commit(self, **sums: Tensor) -> None:
        """Take the sums of an iteration, over all processes, into the buffers; all are 0 where nothing was gathered."""
        raise NotImplementedError


class Annealed(nn.Module):
    """Mixin of modules with an option that changes over the training."""

    def set_progress(self, progress: float) -> None:
        """Set the option for the share of the training that is done, from 0 to 1."""
        raise NotImplementedError


@torch.no_grad()
def commit_statistics(model: nn.Module) -> None:
    """Commit what the stateful losses of a model gathered; to be called after each iteration, on every process.

    ``LossStateHook`` calls it in MMEngine's training; a training loop of one's own calls it after the optimizer's step.

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
    gathered = [getattr(holder, f"gathered_{name}") for holder in holders for name in holder.sum_names]
    if not gathered:
        return
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        flat = torch.cat([value.flatten().to(gathered[0]) for value in gathered])
        torch.distributed.all_reduce(flat)
        for value, total in zip(gathered, flat.split([value.numel() for value in gathered]), strict=True):
            value.copy_(total.reshape(value.shape))
    for holder in holders:
        sums = {name: getattr(holder, f"gathered_{name}") for name in holder.sum_names}
        holder.commit(**sums)
        for value in sums.values():
            value.zero_()
        holder.uncommitted = 0
