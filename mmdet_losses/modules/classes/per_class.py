"""Options with one number per class, and their tensors beside the inputs of a call."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ...functional.compiling import is_compiling
from ..declared import Check

Numbers = Sequence[float] | Tensor
"""One number per class."""


def listed(values: Any) -> Any:
    """Numbers of a sequence, tensor or array."""
    if isinstance(values, str | Mapping | Set):
        raise TypeError(type(values).__name__)
    return values.tolist() if hasattr(values, "tolist") else values


def are_within(values: Any, least: float = 0, most: float = math.inf) -> bool:
    """Whether ``values`` are finite numbers between two bounds, one per class."""
    if isinstance(values, Tensor) and values.is_meta:
        return values.ndim == 1
    values = listed(values)
    return len(values) > 0 and all(least <= value <= most and math.isfinite(value) for value in values)


def is_one_for_all(value: Any) -> bool:
    """Whether an option has one number for all classes."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


WEIGHTS = Check(
    lambda value: value is None or are_within([value] if is_one_for_all(value) else value),
    "None or one number per class, finite and 0 or more",
)


def kept_numbers(values: Any) -> Any:
    """What an option holds of ``values``: a list, tuple or tensor itself, which may be changed in place."""
    if values is None or isinstance(values, int | float | Tensor):
        return values
    if is_one_for_all(values):
        return float(values)
    if isinstance(values, list | tuple) and all(type(value) in (int, float, bool) for value in values):
        return values
    return [float(value) for value in listed(values)]


COUNTS = Check(
    lambda value: are_within(value["counts"], 1e-12) and 0 <= value["power"] < math.inf and len(value) == 2,
    "dict(counts=[...], power=...), with counts above 0 and a power of 0 or more",
)

WEIGHTS_OR_COUNTS = Check(
    lambda value: (
        value is None
        or (COUNTS.holds(value) if isinstance(value, Mapping) else not is_one_for_all(value) and are_within(value))
    ),
    f"None, one number per class, finite and 0 or more, or {COUNTS.expected}",
)


def kept_weights(values: Any) -> Any:
    """:func:`kept_numbers`; of counts ``(1 / count)**power``, scaled to a mean of 1."""
    if not isinstance(values, Mapping):
        return kept_numbers(values)
    weights = [count ** -values["power"] for count in listed(values["counts"])]
    return [len(weights) * weight / sum(weights) for weight in weights]


def constants(values: Sequence[float]) -> list[float]:
    """The numbers as constants of a graph, which the compiler may have taken for inputs of it."""
    # The key of a group is what every version of the compiler makes a constant.
    return [number for value in values for number, _ in groupby([value], key=itself)]


def itself(value: float) -> float:
    return value


MOST = 256
"""Number of tensors that are kept."""
recent: dict[tuple[int, torch.device, torch.dtype], tuple[Sequence[float], Tensor]] = {}
"""Numbers of the last calls with their tensors, by the identity of the sequence, which may have changed since."""


@lru_cache(maxsize=MOST)
def made(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Tensor of some numbers, which is shared by all that ask for it."""
    # An inference tensor could not be saved for a later backward.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def found(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The shared tensor of some numbers, or one of its own for a transform or mode, which must not outlive it."""
    if torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack():
        return torch.tensor(values, device=device, dtype=dtype)
    # Comparing with the numbers of the last call costs a third of looking them up by all of them.
    key = id(values), device, dtype
    kept = recent.get(key)
    if kept is not None and kept[0] == values:
        return kept[1]
    tensor = made(tuple(values), device, dtype)
    if len(recent) >= MOST:
        recent.clear()
    recent[key] = values[:], tensor
    return tensor


def found_constant(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """:func:`found`, for a graph that holds the tensor: called by the compiler, as it traces."""
    tensor = found(values, device, dtype)
    # or with dynamic=True its length is dynamic, and the same as any other of that size
    torch._guards.TracingContext.get().fake_mode.from_tensor(tensor, static_shapes=True)
    return tensor


# What torch.compiler.assume_constant_result does, which imports the compiler.
found_constant._dynamo_marked_constant = True


def number_tensor(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Tensor of some numbers, made once per device and dtype; a graph holds it, and is compiled for these numbers."""
    if is_compiling():
        return found_constant(constants(values), device, dtype)
    return found(values, device, dtype)


def numbers_beside(name: str, values: Numbers, inputs: Sequence[Tensor]) -> Tensor:
    """Numbers of an option on the device of the inputs, in float32, or in float64 where an input is."""
    device, dtype = inputs[0].device if inputs else torch.device("cpu"), torch.float32
    for tensor in inputs:
        if tensor.dtype is torch.float64:
            dtype = torch.float64
    if not isinstance(values, Tensor):
        return number_tensor(values, device, dtype)
    if values.is_meta and device.type != "meta":
        raise ValueError(f"{name} must hold numbers, got a tensor on the meta device, which has none: give a list.")
    if values.is_cpu and device.type != "cpu" and not values.requires_grad and not is_compiling():
        return number_tensor(values.tolist(), device, dtype)
    return values.to(device, dtype)
