"""The rows of a call, for losses of every shape, and its arguments by their names."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

WHOLE_ROWS = ("mask", "embedding", "composite")
"""Slots whose rows are those of the first axis."""


@cache
def parameters(cls: type[nn.Module]) -> tuple[str, ...]:
    """Names of what the ``forward`` of a loss takes by position; behind ``*args`` stand those of the next base."""
    names: tuple[str, ...] = ()
    for base in cls.__mro__:
        if "forward" not in vars(base):
            continue
        found = list(inspect.signature(vars(base)["forward"]).parameters.values())[1:]
        own = tuple(one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD)
        names += own[len(names) :]
        if not any(one.kind is one.VAR_POSITIONAL for one in found):
            break
    return names


def by_name(loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name; what has none goes by its number."""
    names = parameters(type(loss))
    given = {names[place] if place < len(names) else str(place): value for place, value in enumerate(args)}
    return {**given, **kwargs}


def arguments(loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Prediction, target and weight of a call."""
    named = by_name(loss, args, kwargs)
    weight = named.get("weight")
    if not weighs(loss) or (isinstance(weight, Tensor) and weight.dtype in (torch.int64, torch.int32)):
        weight = None  # the classes of masks, the indices of peaks
    return named.get("pred", named.get("cls_score")), named.get("target", named.get("label")), weight


def reduction_of(loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The reduction of a call."""
    override = args[4] if len(args) > 4 else kwargs.get("reduction_override")
    return (override if isinstance(override, str) else None) or getattr(loss, "reduction", "mean")


def weighs(loss: nn.Module) -> bool:
    """Whether the third argument is a weight; of masks it is the class of each."""
    return not getattr(loss, "use_mask", False)


def number_of_rows(loss: nn.Module, pred: Tensor) -> int:
    """Rows of a prediction: boxes, logits of one place, coordinates of one box."""
    if not pred.numel():
        return 0
    if pred.ndim < 2 or getattr(loss, "slot", "") in WHOLE_ROWS or getattr(loss, "use_mask", False):
        return pred.shape[0] if pred.ndim else 1
    return pred.numel() // pred.shape[-1]


def row_weight(loss: nn.Module, pred: Tensor, weight: Any) -> Tensor | None:
    """Which rows have a weight other than 0, ``(n,)``; None where a weight does not go by rows."""
    rows = number_of_rows(loss, pred)
    if weight is None:
        return torch.ones(rows, dtype=torch.bool, device=pred.device)
    if not rows or not isinstance(weight, Tensor) or not weight.numel() or weight.numel() % rows:
        return None
    return (weight.detach() != 0).reshape(rows, -1).any(1)
