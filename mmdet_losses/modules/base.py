"""The contract that every loss keeps, written once: checks, weights, dtype, reduction and facts."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from typing_extensions import Self, dataclass_transform

from ..kernels import Call, compute
from .declared import BOOLEAN, LOSS_WEIGHT, Check, Configured, Option, declared, keep_options, option
from .errors import ReductionError
from .facts import Fact
from .inputs import check_rows, kind_of
from .look import look_at_targets
from .options import ONE_OF_REDUCTIONS, check_reduction, is_reduction, options_of, unknown_option
from .state import Stateful

__all__ = ["CATALOGUE", "Loss", "published"]

L = TypeVar("L", bound="Loss")

INPUT_NAMES = ("pred", "target", "target[1]")

CATALOGUE: dict[str, type[Loss]] = {}
"""Every published loss under its name and its aliases."""

REDUCTION = Check(is_reduction, ONE_OF_REDUCTIONS, error=ReductionError)


def unit_of_boxes(loss: Any) -> str:
    """Pixels for a loss of boxes that scaling changes."""
    return "pixels" if loss.boxes and not loss.scale_invariant else ""


@dataclass_transform(eq_default=False, field_specifiers=(option,))
def published(*aliases: str) -> Callable[[type[L]], type[L]]:
    """Class decorator: puts a loss into the :data:`CATALOGUE`, from which it is registered, listed and tested.

    Its options are those that its body declares, see :mod:`~mmdet_losses.modules.declared`, unless it has a
    constructor of its own.
    """

    def add(cls: type[L]) -> type[L]:
        if "__init__" not in vars(cls):
            declared(cls)
        CATALOGUE.update(dict.fromkeys((cls.__name__, *aliases), cls))
        return cls

    return add


def check_floating(name: str, tensor: Any) -> None:
    """Raise for what is no floating-point tensor."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {kind_of(tensor)}.")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor, got {tensor.dtype}: convert it with .float().")


@declared
class Loss(Configured):
    """Base of all losses: ``forward(pred, target, weight, avg_factor, reduction_override) -> Tensor``.

    A subclass checks and aligns its inputs in :meth:`align`, and says which function computes the unreduced loss
    (:attr:`function`) and which options that function takes (:attr:`passes`), or computes it in :meth:`unreduced`; the
    rest is the same for all of them.

    Args:
        reduction: ``'mean'`` (divides by ``avg_factor``, or by the number of elements), ``'sum'`` or ``'none'``.
        loss_weight: Multiplies the result, whatever the reduction.
        debug: Checks values in ``forward`` and raises a ``ValueError`` that names the first bad row. Waits for
            the device, so it is for finding an error and not for training.
        fused: Computes the reduced loss and its gradient in compiled kernels, see docs/fused.md. Every loss takes it;
            where it says "not fused" below, there is nothing to fuse.
    """

    slot: ClassVar[str] = ""
    """Where a head takes it: ``'cls'``, ``'bbox'``, ``'dfl'``, ``'mask'``, ``'embedding'`` or, of a teacher's output,
    ``'ld'``."""
    boxes: ClassVar[bool] = False
    """Whether it needs decoded boxes, and not deltas."""
    paper: ClassVar[str] = ""
    """Address of the paper; empty where there is none."""
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    """Range of one unreduced value over valid inputs."""
    best: ClassVar[float | None] = 0.0
    """Value at a perfect match; None where the target decides."""
    scale_invariant: ClassVar[bool] = False
    """Whether scaling prediction and target alike leaves the loss as it is."""
    symmetric: ClassVar[bool] = False
    """Whether prediction and target can be exchanged."""
    unit: ClassVar[str] = Fact(unit_of_boxes, unit_of_boxes)
    """Unit that its boxes have to be in, since it compares them with a length; empty where any unit will do."""
    function: ClassVar[Callable[..., Tensor] | None] = None
    """The function of the unreduced loss, ``(pred, *targets, **arguments)``."""
    passes: ClassVar[tuple[str, ...]] = ()
    """Options that the function takes, under its names for them."""
    values: ClassVar[str] = "elements"
    """What one value, and so one weight, belongs to: ``'elements'`` of the prediction; ``'rows'`` of boxes, whose
    weight may have one per coordinate, which are averaged; ``'sides'`` of boxes, each of which needs the whole row."""
    fusible: ClassVar[bool] = True
    """Whether there are kernels of it; losses that sort, count or iterate have none."""
    tame: ClassVar[bool] = False
    """Whether its gradient is finite wherever the loss is."""
    stands_for: ClassVar[tuple[str, ...]] = ()
    """Names of MMDetection's classes that it passes ``isinstance`` for, beside the one that it replaces."""
    fixed: ClassVar[tuple[str, ...]] = ()
    """Options of its bases that the loss sets itself and does not take."""
    writes_unreduced: ClassVar[bool] = False
    """Whether the class computes the unreduced loss in a method of its own."""

    rules: ClassVar = {"reduction": Option(check=REDUCTION), "loss_weight": Option(check=LOSS_WEIGHT)}

    debug: bool = option(default=False, kw_only=True)
    fused: bool = option(default=False, check=BOOLEAN, kw_only=True)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.writes_unreduced = cls.unreduced is not Loss.unreduced

    def __new__(cls, *args: Any, **options: Any) -> Self:
        known = options_of(cls)
        for name in options:
            if name not in known:
                raise unknown_option(cls, name)
        return super().__new__(cls)

    def __init__(
        self, reduction: str = "mean", loss_weight: float = 1.0, *, debug: bool = False, fused: bool = False
    ) -> None:
        super().__init__()
        keep_options(self, {"reduction": reduction, "loss_weight": loss_weight, "debug": debug, "fused": fused})
        if self.boxes:
            look_at_targets(self)

    @classmethod
    def options(cls) -> dict[str, inspect.Parameter]:
        """The constructor's options; behind ``**keywords`` stand those of the next base."""
        return dict(options_of(cls))

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the constructor's options."""
        return tuple(options_of(cls))

    def forward(
        self,
        pred: Tensor,
        target: Any,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            pred: Prediction; see the class for its shape.
            target: Target.
            weight: Weight of each row, or of each element; a row of weight 0 counts as deleted.
            avg_factor: Divisor of reduction ``'mean'``: a number or a one-element tensor. Nothing is added to
                it, and a divisor of 0 gives 0. Ignored with ``'none'``.
            reduction_override: Reduction of this call.

        Returns:
            A float32 scalar (float64 for float64 inputs), or the unreduced loss with reduction ``'none'``.

        Raises:
            ValueError: For a shape, type or reduction that does not fit, and for ``avg_factor`` with ``'sum'``.
        """
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        observed = self.observes_call(reduction_override)
        loss = self.evaluate(pred, target, weight, avg_factor, reduction)
        if observed:
            with torch.no_grad():
                self.observe(pred, target, weight)
        return loss

    def resolve_reduction(self, override: str | None, avg_factor: Any) -> str:
        """The reduction of a call, checked together with its ``avg_factor``."""
        if override is not None:
            check_reduction("reduction_override", override)
        reduction = override or self.reduction
        if avg_factor is not None:
            if reduction == "sum":
                raise ValueError(
                    "avg_factor divides a 'mean' and cannot go with reduction 'sum': leave it out, or use 'mean'."
                )
            if isinstance(avg_factor, Tensor):
                if avg_factor.numel() != 1:
                    raise ValueError(
                        "avg_factor must be a number or a tensor of one element, "
                        f"got a tensor of shape {tuple(avg_factor.shape)}."
                    )
            elif not isinstance(avg_factor, (float, int, numbers.Real, torch.SymInt, torch.SymFloat)):
                raise ValueError(
                    f"avg_factor must be a number or a tensor of one element, got {type(avg_factor).__name__}."
                )
        return reduction

    def evaluate(self, pred: Tensor, target: Any, weight: Tensor | None, avg_factor: Any, reduction: str) -> Tensor:
        """Check and align the inputs, then compute, weight and reduce the loss."""
        check_floating("pred", pred)
        inputs, weight = self.align(pred, target, weight)
        loss = self.evaluate_aligned(inputs, weight, avg_factor, reduction)
        return self.shaped(loss, pred) if loss.ndim else loss

    def shaped(self, loss: Tensor, pred: Tensor) -> Tensor:
        """The unreduced loss in the shape that :meth:`align` took from the prediction."""
        return loss

    def evaluate_aligned(
        self, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any, reduction: str
    ) -> Tensor:
        """Compute, weight and reduce the loss of aligned inputs."""
        if self.debug:
            self.check_values(inputs, weight)
        return compute(self.call(reduction, inputs), inputs, weight, avg_factor)

    def call(self, reduction: str, inputs: tuple[Tensor, ...] = ()) -> Call:
        """What kernels have to know of the loss: its function and arguments, or :meth:`unreduced` of its own."""
        own = self.writes_unreduced
        function, arguments = (by_method, {"loss": self}) if own else (self.function, self.arguments_beside(inputs))
        fused = self.fused and self.fusible
        return Call(function, arguments, reduction, self.loss_weight, self.values, self.tame, type(self), fused)

    def arguments(self) -> dict[str, Any]:
        """What the function is called with, beside the inputs."""
        return {name: getattr(self, name) for name in self.passes}

    def arguments_beside(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        """:meth:`arguments` as they stand beside inputs of some device and dtype."""
        return self.arguments()

    def align(self, pred: Tensor, target: Any, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Check shapes, and return ``(pred, *targets)`` with a weight that broadcasts to the unreduced loss."""
        raise NotImplementedError

    def unreduced(self, pred: Tensor, *targets: Tensor) -> Tensor:
        """The loss of each row or element; the inputs are as :meth:`align` returned them, or some of their rows."""
        return self.function(pred, *targets, **self.arguments_beside((pred, *targets)))

    def observes_call(self, reduction_override: str | None) -> bool:
        """Whether :meth:`observe` sees a call: in training, with gradients, and not asked for scores by ``'none'``."""
        return self.training and reduction_override != "none" and torch.is_grad_enabled() and self.observes

    @property
    def observes(self) -> bool:
        """Whether the loss, or a module that it holds, keeps statistics."""
        if isinstance(self, Stateful):
            return True
        return len(self._modules) > 0 and any(isinstance(part, Stateful) for part in self._modules.values())

    def observe(self, pred: Tensor, target: Any, weight: Tensor | None) -> None:
        """Gather the statistics of a training call, for losses that keep some."""

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        """Raise for the first row of a weight other than 0 that holds a value which the loss is not defined for."""
        for name, tensor in zip(INPUT_NAMES, inputs, strict=False):
            if tensor.is_floating_point():
                check_rows(f"{type(self).__name__}: {name}", tensor, tensor.isfinite(), weight, "finite values")

    def extra_repr(self) -> str:
        """The options that this object holds."""
        held = [name for name in self.option_names() if isinstance(getattr(self, name, None), str | float | int)]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in held)


def by_method(pred: Tensor, *targets: Tensor, loss: Loss) -> Tensor:
    """:meth:`Loss.unreduced` as a function; the compiler of older torch takes each bound method for a new one."""
    return loss.unreduced(pred, *targets)
