"""What the losses of a model were called with in an iteration: references alone, and nothing that a device does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.compiling import is_compiling
from ..functional.dtype import autocast_is_on
from ..modules import Loss
from .figures import Figures

PREDICTIONS = ("pred", "cls_score", "input")
"""How losses name their first argument, where it is passed by name."""


@dataclass
class Called:
    """One call of a loss.

    Attributes:
        name: Path of the loss in the model.
        loss: The loss.
        args: What it was called with.
        kwargs: The same by name.
        value: What it returned.
        autocast: The precision that autocast was set to, None where it was off.
    """

    name: str
    loss: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any
    autocast: torch.dtype | None = None

    def detached(self) -> Called:
        """The same without the graph."""
        args, kwargs, value = (mapped(one, Tensor.detach) for one in (self.args, self.kwargs, self.value))
        return Called(self.name, self.loss, args, kwargs, value, self.autocast)


class Watch:
    """Forward hooks on every loss of a model, which keep the calls of a training iteration.

    Args:
        model: The model, without what wraps it for several processes.
    """

    def __init__(self, model: nn.Module) -> None:
        self.losses = dict(losses_of(model))
        self.heads = {name: head_of(model, name) for name in self.losses}
        self.calls: list[Called] = []
        self.figures: Figures | None = None
        self.open = False
        self.handles: list[Any] = []
        for name, loss in self.losses.items():
            self.handles.append(loss.register_forward_hook(partial(self.keep, name), with_kwargs=True))
            if isinstance(loss, Loss):
                self.handles.append(loss.register_forward_pre_hook(partial(self.listen, name), with_kwargs=True))

    def begin(self) -> None:
        """Begin an iteration."""
        self.calls, self.open, self.figures = [], True, None

    def observe(self, scale: float | Tensor = 1.0, may_skip: bool = False) -> None:
        """Let the iteration that has begun gather figures, too; see :class:`Figures`."""
        own = {name: loss for name, loss in self.losses.items() if isinstance(loss, Loss)}
        self.figures = Figures(own, scale, may_skip)

    def end(self) -> tuple[list[Called], Figures | None]:
        """End it; returns what was gathered, and keeps nothing."""
        calls, figures = self.calls, self.figures
        self.calls, self.open, self.figures = [], False, None
        return calls, figures

    def close(self) -> None:
        """Take all hooks off."""
        self.end()
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def keep(self, name: str, loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> None:
        """The forward hook."""
        if is_compiling() or not self.open or not (loss.training and torch.is_grad_enabled()):
            return
        pred = prediction(args, kwargs)
        precision = autocast_precision(pred.device.type) if isinstance(pred, Tensor) else None
        self.calls.append(Called(name, loss, args, kwargs, value, precision))
        if self.figures is not None and isinstance(loss, Loss):
            self.figures.add(name, loss, args, kwargs, value)

    def listen(
        self, name: str, loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The forward pre-hook of an observed iteration: the loss gets a view of its prediction.

        Of that the gradient is the loss's own; the prediction itself may be used elsewhere, too.
        """
        if is_compiling() or self.figures is None or not (loss.training and torch.is_grad_enabled()):
            return None
        figures = self.figures

        def view(tensor: Tensor) -> Tensor:
            if not tensor.requires_grad:
                return tensor
            alias = tensor.view_as(tensor)
            alias.register_hook(partial(figures.add_gradient, name))
            return alias

        if args:
            return (mapped(args[0], view), *args[1:]), kwargs
        key = next((key for key in PREDICTIONS if key in kwargs), None)
        return None if key is None else (args, {**kwargs, key: mapped(kwargs[key], view)})


def losses_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every loss of a model with its path: those of this package and of MMDetection, and what is called a loss."""
    for name, module in model.named_modules():
        slot = name.rpartition(".")[2]
        stock = type(module).__module__.startswith("mmdet.models.losses")
        if isinstance(module, Loss) or stock or (slot.startswith("loss") and not isinstance(module, nn.ModuleList)):
            yield name, module


def head_of(model: nn.Module, name: str) -> str:
    """Class of the module that holds a loss, sums of losses passed over."""
    owner: nn.Module = model
    path = name.rpartition(".")[0]
    while path:
        owner = model.get_submodule(path)
        if not isinstance(owner, Loss | nn.ModuleList):
            return type(owner).__name__
        path = path.rpartition(".")[0]
    return type(model).__name__


def prediction(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first argument of a call."""
    return args[0] if args else next((kwargs[key] for key in PREDICTIONS if key in kwargs), None)


def autocast_precision(device: str) -> torch.dtype | None:
    """What autocast computes in on a device; None where it is off."""
    if not autocast_is_on(device):
        return None
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device)
    return torch.get_autocast_cpu_dtype() if device == "cpu" else torch.get_autocast_gpu_dtype()


def mapped(value: Any, change: Any) -> Any:
    """A value, or a list, tuple or dictionary of values, with its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(one, change) for one in value))
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(one, change) for one in value)
    if isinstance(value, dict):
        return {key: mapped(one, change) for key, one in value.items()}
    return value
