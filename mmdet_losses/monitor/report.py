"""The report of a stop, and the error that carries it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn

from ..config_files import PACKAGE, shipped
from ..log import warn
from .batch import Replayed, build, replay, tensors_of
from .causes import NO_BOXES, Case, likely, no_boxes, said


class LossMonitorError(RuntimeError):
    """A training that :class:`~mmdet_losses.monitor.hook.LossMonitorHook` has stopped; its text is the report.

    Attributes:
        file: Where the call of the loss is saved, None where there is none.
    """

    def __init__(self, message: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.file = file


def judged(content: dict[str, Any], loss: nn.Module | None = None) -> tuple[Case, Replayed]:
    """Make a saved call again and look for causes; the content gets what was found.

    Args:
        content: What was saved of the call.
        loss: The loss itself, for one that cannot be built from its options.

    Raises:
        ValueError: Where the call cannot be made again and there is no loss.
    """
    try:
        built = build(content)
        again = replay(content, built)
    except ValueError as error:
        if loss is None:
            raise
        warn(f"{content['loss']['name']} cannot be built again for a replay: {error}.")
        built, again = loss, by_itself(content, loss)
    case = Case(content, built, again)
    content |= {"row": case.row, "causes": likely(case)}
    return case, again


def by_itself(content: Mapping[str, Any], loss: nn.Module) -> Replayed:
    """The call made again by a copy of the loss of the training, if that can be had."""
    try:
        return replay(content, deepcopy(loss).cpu().eval())
    except Exception:  # what is known has to be said in any case
        return Replayed(content["value"], None, None)


def shows(case: Case, again: Replayed) -> bool:
    """Whether a call that was made again shows what the training was stopped for."""
    if case.content["stopped for"] == NO_BOXES:
        return 2 * no_boxes(case)[1] > no_boxes(case)[0]
    return not again.finite


def headline(content: Mapping[str, Any]) -> str:
    """What happened, and where."""
    loss = content["loss"]
    where = f"{loss['name']} of {loss['head']} ({loss['line']})"
    when = f"in iteration {content['iteration']} of epoch {content['epoch']}"
    if content["process"][1] > 1:
        when += f", process {content['process'][0]} of {content['process'][1]}"
    if content["stopped for"] == NO_BOXES:
        return f"{where} got targets that are no boxes {when}; its loss was {content['value']:.6g}."
    return f"{where} returned {content['value']} {when}."


def inputs(case: Case) -> list[str]:
    """The bad row's inputs, a line each."""
    if case.row is None:
        return [f"  {name}: {summary(value)}" for name, value in case.content["arguments"].items() if value is not None]
    lines = [f"  {case.row_is}: {case.row} of {case.rows}"]
    for name, value in case.content["arguments"].items():
        for tensor in flat(value):
            if case.rows and tensor.numel() and tensor.numel() % case.rows == 0:
                lines.append(f"  {name}: {said([tensor.reshape(case.rows, -1)[case.row].double()])}")
    factor = case.content["arguments"].get("avg_factor")
    return lines if factor is None else [*lines, f"  avg_factor: {summary(factor)}"]


def flat(value: Any) -> list[Any]:
    """The tensors of an argument."""
    return [tensor for tensor in tensors_of(value) if tensor.ndim]


def summary(value: Any) -> str:
    """An argument in a few words."""
    found = flat(value)
    if not found:
        return str(float(value) if hasattr(value, "item") else value)
    texts = [
        f"{tuple(one.shape)} {str(one.dtype).removeprefix('torch.')}, {int((~one.isfinite()).sum())} not finite"
        for one in found
    ]
    return "; ".join(texts)


def written(case: Case, file: Path | None) -> str:
    """The whole report."""
    content = case.content
    first, *others = content["causes"]
    lines = ["training stopped: " + headline(content), *inputs(case), f"  likely cause: {first}."]
    lines += [f"  it may also be: {other}." for other in others]
    paths = [str(image.get("img_path") or image.get("img_id")) for image in content["images"]]
    if paths:
        lines.append(f"  images of the batch: {', '.join(paths)}")
    if file is not None:
        lines.append(f"  the call is saved; without the training it is made again by: {command(file)}")
    return "\n".join(lines)


def command(file: Path) -> str:
    """The command that makes a saved call again."""
    tool = shipped("tools") / "replay.py"
    shown = shown_path(file)
    inside = PACKAGE in tool.parents or not tool.is_file()
    return f"python -m mmdet_losses replay {shown}" if inside else f"python {shown_path(tool)} {shown}"


def shown_path(path: Path) -> str:
    """A path from here where it lies below, with quotes where it has spaces."""
    full = Path(os.path.abspath(path))
    text = os.path.relpath(full) if full.is_relative_to(Path.cwd()) else str(full)
    return f"'{text}'" if " " in text else text
