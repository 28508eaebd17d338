"""The calls that a training step makes of its losses, to be timed by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from tool_runtime.trial import loss_classes
from torch import Tensor, nn

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def detached(value: Any) -> Any:
    """A copy of an argument that has no graph; what had one is a leaf that requires a gradient."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)):
        return type(value)(detached(one) for one in value)
    if isinstance(value, Mapping):
        return {name: detached(one) for name, one in value.items()}
    return value


def leaves(value: Any) -> list[Tensor]:
    """The tensors of some arguments that require a gradient."""
    if isinstance(value, Tensor):
        return [value] if value.requires_grad else []
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in leaves(one)]
    return [leaf for one in value.values() for leaf in leaves(one)] if isinstance(value, Mapping) else []


class LossCalls:
    """Every call of a detector's losses in one step, to be made again.

    Args:
        detector: The detector.
        step: Trains it on a batch.
        context: Makes the context in which the detector computes its losses, for mixed precision.
    """

    def __init__(
        self,
        detector: nn.Module,
        step: Callable[[], object],
        context: Callable[[], AbstractContextManager],
    ) -> None:
        self.context = context
        self.calls: list[tuple[nn.Module, Arguments]] = []
        names = loss_classes(detector)
        hooks = [
            module.register_forward_pre_hook(self.keep, with_kwargs=True)
            for name, module in detector.named_modules()
            if name in names
        ]
        try:
            step()
        finally:
            for hook in hooks:
                hook.remove()

    def keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls.append((module, (detached(args), detached(kwargs))))

    def __call__(self) -> None:
        """Make the calls, forward and backward, with new gradients."""
        for module, (args, kwargs) in self.calls:
            wanted = leaves([args, kwargs])
            with self.context():
                value = module(*args, **kwargs)
            torch.autograd.grad(value.sum(), wanted, allow_unused=True)
