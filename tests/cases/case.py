"""What a case is, and what tests do with its input."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from oracle import boxes
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import mmdet_losses as ml

Target = Tensor | tuple[Tensor, Tensor]
Draw = Callable[[torch.Generator, int], tuple[Tensor, Target]]


@dataclass(frozen=True)
class Sum:
    """A member of the IoU family as the scalar reference composes it, see ``oracle.boxes.compose``.

    Attributes:
        penalties: What it adds to its cost of the overlap.
        cost: Its cost of an overlap.
        own: The multipliers that belong to it.
        zoom: Ratio by which both boxes are scaled first.
        fixed: The modifiers that it sets.
    """

    penalties: Callable[..., Sequence]
    cost: Callable = lambda overlap: 1 - overlap
    own: tuple[Callable, ...] = ()
    zoom: float = 1.0
    fixed: dict[str, Any] = field(default_factory=dict)

    def reference(self, **modifiers: Any) -> Callable:
        """The loss of a pair of boxes with further modifiers."""
        options = self.fixed | modifiers
        focus = (*self.own, *options.pop("focus", ()))

        def loss(p: Sequence, t: Sequence) -> Any:
            if self.zoom != 1:
                p, t = boxes.scaled(p, self.zoom), boxes.scaled(t, self.zoom)
            return boxes.compose(p, t, self.penalties, self.cost, focus=focus, **options)

        return loss


@dataclass(frozen=True)
class Case:
    """A loss in one of its forms.

    Attributes:
        name: Public name of the class.
        options: Options of the constructor.
        draw: Valid input of n rows, float64, away from kinks.
        per_row: Whether an unreduced loss has one value per row; else it has the shape of ``pred``.
        reference: ``(pred row, target row) -> the values of the row``, from the scalar reference.
        frozen: Whether a factor is a constant in the gradient, so that differences of values do not give it.
        form: What tells it from another case of the same options.
        kind: ``box``, ``sides`` (boxes with four values each), ``rotated``, ``coordinate``, ``dfl`` or ``cls``.
        whole: Whether a row's loss depends on the other rows, and its mean is over what the loss counts itself; the
            reference then takes all rows and returns the values of each.
        prepare: Sets the statistics of a loss that has some.
        sum: Of a member of the IoU family, what it is made of; tests put every modifier on it.
    """

    name: str
    draw: Draw
    per_row: bool
    reference: Callable[[Sequence, Any], Sequence]
    options: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    form: str = ""
    kind: str = "cls"
    whole: bool = False
    prepare: Callable[[torch.nn.Module], None] | None = None
    sum: Sum | None = None

    @property
    def id(self) -> str:
        options = [
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self.options.items()
        ]
        return "-".join([self.name, *options, *([self.form] if self.form else [])])

    @property
    def loss_class(self) -> type:
        return getattr(ml, self.name)

    def build(self, **more: Any) -> torch.nn.Module:
        loss = self.loss_class(**{**self.options, **more})
        if self.prepare:
            self.prepare(loss)
        return loss

    def reference_rows(self, pred: Sequence, target: Sequence) -> list[Sequence]:
        """The values of each row, from the scalar reference."""
        if self.whole:
            return self.reference(pred, target)
        return [self.reference(p, t) for p, t in zip(pred, target, strict=True)]

    def batch(self, n: int = 7, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, Target]:
        pred, target = self.draw(torch.Generator().manual_seed(seed), n)
        return pred.to(dtype), cast(target, dtype)

    def result_shape(self, pred: Tensor) -> torch.Size:
        return pred.shape[:1] if self.per_row else pred.shape

    def weight_like_row(self, rows: Tensor) -> Tensor:
        """Row values in a shape that multiplies the unreduced result."""
        return rows if self.per_row else rows[:, None]


def map_target(target: Target, function: Callable[[Tensor], Tensor]) -> Target:
    return tuple(map(function, target)) if isinstance(target, tuple) else function(target)


def target_rows(target: Target) -> list:
    """The target of each row as plain numbers."""
    return list(zip(*(x.tolist() for x in target), strict=True)) if isinstance(target, tuple) else target.tolist()


def cast(target: Target, dtype: torch.dtype) -> Target:
    """The target with its floating tensors in a dtype; labels stay."""
    return map_target(target, lambda x: x.to(dtype) if x.is_floating_point() else x)


def run(
    loss: torch.nn.Module, pred: Tensor, target: Target, *weight: Tensor | None, **call: Any
) -> tuple[Tensor, Tensor]:
    """Value and gradient of a call."""
    pred = pred.detach().clone().requires_grad_()
    value = loss(pred, target, *weight, **call)
    value.sum().backward()
    return value.detach(), pred.grad


def autocast(dtype: torch.dtype) -> torch.autocast:
    """Autocast of a CPU to a dtype; skips the test where torch has none."""
    context = torch.autocast("cpu", dtype=dtype)
    try:
        with context:
            pass
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__}: {error}")
    return context


def spoil(pred: Tensor, target: Target, rows: Tensor) -> tuple[Tensor, Target]:
    """Copies with NaN, infinities and huge values, in turn, in the floating entries of some rows."""
    junk = torch.tensor([math.nan, math.inf, -math.inf, 3e38, 0.0, -7.0], dtype=torch.float64)

    def spoiled(x: Tensor) -> Tensor:
        x = x.clone()
        if x.is_floating_point():
            for k, row in enumerate(rows.nonzero().flatten().tolist()):
                x[row] = junk[k % len(junk)].to(x.dtype)
        else:
            x[rows] = 10**6
        return x

    return spoiled(pred), map_target(target, spoiled)


def never_select(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the path of a CUDA device on a CPU: rows are replaced and nothing reads a value back."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mmdet_losses.") and hasattr(module, "may_select"):
            monkeypatch.setattr(module, "may_select", lambda tensor: False)


class NoWaiting(TorchDispatchMode):
    """Forbids what reads a value back from the device, or has a result whose size depends on values."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "item")

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        name = func._schema.name.removeprefix("aten::")
        indices = (
            [x for x in args[1] if x is not None] if name.startswith("index") and isinstance(args[1], list) else []
        )
        if name in self.FORBIDDEN or any(x.dtype == torch.bool for x in indices):
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))
