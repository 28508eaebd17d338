"""A call of a loss as a file: what is needed to make it again without the training, of plain values and tensors."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..modules import Loss
from ..modules.options import options_of
from .rows import by_name, number_of_rows
from .watch import Called, mapped

FORMAT = 1
NAMED_TUPLE = "named tuple"
"""Key of an argument that is one: its class."""
LEFT_OUT = ("debug", "fused")
"""Options that change no value; the call is made again by the eager loss."""


class Replayed(NamedTuple):
    """A call that was made again, on a CPU.

    Attributes:
        value: The loss; of several values their sum.
        row: The first row with a loss that is not finite; None where no row has, or rows have no loss of their own.
        losses: The loss of each row, None where there is none.
    """

    value: float
    row: int | None
    losses: Tensor | None

    @property
    def finite(self) -> bool:
        """Whether the loss is."""
        return self.value - self.value == 0


def described(call: Called, head: str) -> dict[str, Any]:
    """The loss and the arguments of a call, as :func:`torch.load` reads them with ``weights_only``."""
    loss = call.loss
    return {
        "format": FORMAT,
        "loss": {
            "name": call.name,
            "head": head,
            "class": path_of(type(loss)),
            "options": options(loss),
            "state": {name: value.detach().cpu().clone() for name, value in loss.state_dict().items()},
            "line": line_of(loss),
        },
        "arguments": {name: kept(value) for name, value in by_name(loss, call.args, call.kwargs).items()},
        "by place": len(call.args),
        "value": total(call.value),
        "autocast": None if call.autocast is None else str(call.autocast).removeprefix("torch."),
    }


def options(module: nn.Module) -> dict[str, Any]:
    """The options of a loss, or of what stands in one of its options, under their names in a config."""
    known = options_of(type(module)) if isinstance(module, Loss) else inspect.signature(type(module)).parameters
    found = {}
    for name, parameter in known.items():
        named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if named and name not in LEFT_OUT and hasattr(module, name):
            found[name] = configured(getattr(module, name))
    return found


def configured(value: Any) -> Any:
    """An option as a config has it, its modules as ``dict(type=...)``."""
    if isinstance(value, nn.ModuleList):
        return [configured(one) for one in value]
    if isinstance(value, nn.Module):
        inner = options(value)
        if isinstance(value, Loss):
            inner.pop("reduction", None)  # set by the loss around it
        return {"type": type(value).__name__, **inner}
    return plain(value)


def line_of(loss: nn.Module) -> str:
    """A loss as a line of a config, with what differs from its defaults."""
    signature = options_of(type(loss)) if isinstance(loss, Loss) else inspect.signature(type(loss)).parameters
    said = {
        name: value
        for name, value in options(loss).items()
        if name not in signature or not same(value, signature[name].default)
    }
    words = [f"type={type(loss).__name__!r}", *(f"{name}={value!r}" for name, value in said.items())]
    return f"dict({', '.join(words)})"


def same(value: Any, default: Any) -> bool:
    """Whether an option has its default."""
    return type(value) is type(default) and value == default


def plain(value: Any) -> Any:
    """A value without classes of its own: what a metainfo or an option holds."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value] if isinstance(value, list) else tuple(plain(one) for one in value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def kept(value: Any) -> Any:
    """An argument without its graph, on the CPU and with a storage of its own."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = {name: kept(one) for name, one in value._asdict().items()}
        return {NAMED_TUPLE: path_of(type(value)), "fields": fields}
    value = mapped(value, lambda tensor: tensor.detach().cpu().clone(memory_format=torch.contiguous_format))
    return value if isinstance(value, (Tensor, list, tuple, dict)) else plain(value)


def restored(value: Any) -> Any:
    """An argument as the loss takes it."""
    if not (isinstance(value, dict) and NAMED_TUPLE in value):
        return value
    kind = imported(value[NAMED_TUPLE], tuple)
    return kind(**{name: restored(one) for name, one in value["fields"].items()})


def path_of(cls: type) -> str:
    """Where a class is imported from."""
    return f"{cls.__module__}:{cls.__qualname__}"


def imported(path: str, base: type) -> Any:
    """A class by its path.

    Raises:
        ValueError: Where there is none, or it does not derive from ``base``.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the class {name} of {module} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{name} of {module} is no {base.__name__}")
    return found


def total(value: Any) -> float:
    """The sum of what a loss returned."""
    return sum((float(one.detach().sum()) for one in tensors_of(value)), 0.0)


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Every tensor of a value, a list or a dictionary."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from tensors_of(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors_of(one)


def build(content: Mapping[str, Any]) -> nn.Module:
    """The loss of a file, with its statistics.

    Raises:
        ValueError: Where its class cannot be imported, or does not take its options.
    """
    said = content["loss"]
    found = imported(said["class"], nn.Module)
    try:
        loss = found(**said["options"])
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{said['line']} cannot be built: {error}") from error
    loss.load_state_dict(said["state"], strict=False)
    return loss.eval()


@torch.no_grad()
def replay(content: Mapping[str, Any], loss: nn.Module | None = None) -> Replayed:
    """Make the call of a file again.

    Args:
        content: What :func:`described` made.
        loss: The loss, where it is not to be built.

    Raises:
        ValueError: Where the loss cannot be built, or does not take the arguments.
    """
    loss = build(content) if loss is None else loss
    given = {name: restored(value) for name, value in content["arguments"].items()}
    places = list(given)[: content["by place"]]
    try:
        value = total(called(loss, given, places))
    except Exception as error:
        raise ValueError(f"the call cannot be made again: {type(error).__name__}: {error}") from error
    losses = unreduced(loss, given, places)
    row = None
    if losses is not None and not losses.isfinite().all():
        row = int((~losses.isfinite()).nonzero()[0])
    return Replayed(value, row, losses)


def called(loss: nn.Module, given: Mapping[str, Any], places: Sequence[str]) -> Any:
    """Call a loss, with the first arguments by position as in the training."""
    named = {name: value for name, value in given.items() if name not in places}
    return loss(*(given[name] for name in places), **named)


def unreduced(loss: nn.Module, given: Mapping[str, Any], places: Sequence[str]) -> Tensor | None:
    """The loss of each row, of several values their sum; None where rows have none."""
    pred = given.get("pred", given.get("cls_score"))
    if not isinstance(pred, Tensor) or getattr(loss, "slot", "") == "composite":
        return None
    try:
        values = called(loss, {**given, "avg_factor": None, "reduction_override": "none"}, places)
    except (TypeError, ValueError, RuntimeError, AssertionError):
        return None
    rows = number_of_rows(loss, pred)
    if not isinstance(values, Tensor) or not rows or values.numel() % rows:
        return None
    return values.reshape(rows, -1).sum(1)


def save(content: Mapping[str, Any], file: Path) -> None:
    """Write a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(content), file)


def load(file: str | Path) -> dict[str, Any]:
    """Read a file; no code in it is run.

    Raises:
        ValueError: Where it is none of these files.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes torch and pickle raise
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(content, dict) or not {"format", "loss", "arguments"} <= set(content):
        raise ValueError("it does not hold a call of a loss")
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}, and this version reads {FORMAT}")
    return content
