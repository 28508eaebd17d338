"""The descent from the position on the page, as the simulation goes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from box_simulation.descent import descend
from loss_views.choice import Chosen, from_config, read
from tool_runtime.errors import ToolError

from .losses import built
from .state import STEPS, Box, State
from .values import as_boxes, overlap_of


@dataclass(frozen=True)
class Place:
    """Where a loss has brought the prediction.

    Attributes:
        label: The loss.
        way: Boxes from the first step to this one.
        value: The loss here.
        iou: IoU with the target here.
        error: Sum of the distances of centre and sides, ``|x - X| + |y - Y| + |w - W| + |h - H|``, in pixels.
    """

    label: str
    way: tuple[Box, ...]
    value: float
    iou: float
    error: float


def places(state: State, step: int) -> tuple[list[Place], list[str]]:
    """Every chosen loss after some steps, and a sentence for each that has no such descent."""
    found, notes = [], []
    for chosen in state.chosen():
        try:
            found.append(place(chosen, state, step))
        except ToolError as error:
            notes.append(str(error))
    return found, notes


def place(chosen: Chosen, state: State, step: int) -> Place:
    """Where one of the losses is after some steps.

    Raises:
        ToolError: Where it has no such descent.
    """
    line = state.modifiers.on(chosen).line
    way = whole_way(line, state.pred, state.target, state.rule)[: step + 1] if step else (state.pred,)
    box = way[-1]
    with torch.no_grad():
        value = built(line)(*as_boxes(box, state.target)).item()
    error = sum(abs(ours - wanted) for ours, wanted in zip(centred(box), centred(state.target), strict=True))
    return Place(chosen.label, way, value, overlap_of(box, state.target), error)


@lru_cache(maxsize=128)
def whole_way(line: str, pred: Box, target: Box, rule: str) -> tuple[Box, ...]:
    """Boxes before the first and after each step.

    A unit of the simulation, in which targets have the area 1, is the root of the target's area.
    """
    _, _, width, height = centred(target)
    if not width * height > 0:
        raise ToolError("a descent needs a target with an area: make the dashed box wider and higher")
    chosen = from_config(read(line))
    way = descend(chosen, centred(pred), centred(target), rule, STEPS, unit=(width * height) ** 0.5)
    x, y, w, h = way[:, 0].unbind(1)
    return tuple(map(tuple, torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1).tolist()))


def centred(box: Box) -> Box:
    """``(x, y, w, h)`` of a box, with its centre first."""
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
