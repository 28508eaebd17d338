"""Descent of boxes under a loss: one step, and the way of single boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from loss_views.choice import Chosen
from tool_runtime.errors import ToolError
from torch import Tensor

from mmdet_losses import functional as F
from mmdet_losses.modules import Loss

from . import authors
from .protocol import STEPS, learning_rate

RULES = {
    "xywh": "minus the gradient of the loss by centre, width and height",
    "corners": "minus the gradient of the loss by the corners",
    "authors": "the hand-written update of the DIoU paper's figure",
}
PIXELS = 32.0
"""What one unit is for losses that compare boxes with a length in pixels: the targets are 32 x 32 in area."""


def corners_of(boxes: Tensor) -> Tensor:
    """Columns ``(x1, y1, x2, y2)`` of columns ``(x, y, w, h)``."""
    half = boxes[2:] / 2
    return torch.cat((boxes[:2] - half, boxes[:2] + half))


class Movement:
    """Where a loss pushes boxes: the direction that is multiplied by the learning rate.

    Losses with running statistics keep those that they begin with, so that cases stay independent. A loss that follows
    the progress of a training, as Unified-IoU, is told the share of the iterations that is done.

    Args:
        chosen: The loss.
        rule: One of :data:`RULES`.
        unit: Length of a unit in the unit of the loss; boxes are multiplied by it before the loss sees them.

    Raises:
        ToolError: For a loss that is not one of boxes, and for one that the authors' rule does not know.
    """

    def __init__(self, chosen: Chosen, rule: str = "xywh", unit: float = 1.0) -> None:
        if rule not in RULES:
            raise ToolError(f"the rule must be one of {', '.join(RULES)}, got {rule!r}")
        self.name, self.rule, self.unit = chosen.name, rule, unit
        self.loss: Loss = chosen.build(reduction="none").eval()
        if not self.loss.boxes:
            raise ToolError(
                f"{chosen.label} is not a loss of decoded boxes, which the simulation needs: name an IoU-type loss; "
                "tools/list_losses.py bbox lists the losses of that slot"
            )
        if rule == "authors" and not (chosen.name in authors.LOSSES and chosen.options in ({}, {"mode": "linear"})):
            raise ToolError(
                f"the authors' rule is written for {', '.join(authors.LOSSES)} without options, got {chosen.label}: "
                "use --rule xywh or --rule corners"
            )

    @property
    def in_pixels(self) -> bool:
        """Whether the loss depends on the unit of the boxes."""
        return self.rule != "authors" and self.loss.unit == "pixels"

    def set_progress(self, progress: float) -> None:
        """Tell the loss the share of the descent that is done."""
        for module in self.loss.modules():
            tell: Callable[[float], None] | None = getattr(module, "set_progress", None)
            if tell is not None:
                tell(progress)

    def __call__(self, boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The direction of columns ``(x, y, w, h)``, ``(4, n)``, and the IoU, ``(n,)``."""
        if self.rule == "authors":
            return authors.movement(self.name, boxes, targets)
        pred, target = (corners_of(sides).mul_(self.unit).t() for sides in (boxes, targets))
        with torch.no_grad():
            iou = F.box_pair(pred, target, extent=False).iou
        with torch.enable_grad():
            value = self.loss(pred.requires_grad_(), target)
            (gradient,) = torch.autograd.grad(value, pred, torch.ones_like(value))
        near, far = gradient.t().mul(-self.unit).split(2)
        # the chain rule from corners to centre and size; the movement of corners written by centre and size
        both = torch.cat((near + far, (far - near) / 2) if self.rule == "xywh" else ((near + far) / 2, far - near))
        return both, iou


def advance(boxes: Tensor, targets: Tensor, movement: Movement, rate: float) -> Tensor:
    """Boxes after one iteration: ``B + rate * (2 - IoU) * g``, with both taken before the step."""
    direction, iou = movement(boxes, targets)
    return boxes + direction.mul_(rate * (2 - iou))


def descend(
    chosen: Chosen,
    boxes: Tensor | Sequence[Any],
    target: Tensor | Sequence[Any],
    rule: str = "xywh",
    steps: int = STEPS,
    *,
    unit: float = 1.0,
) -> Tensor:
    """The way of single boxes.

    Args:
        chosen: The loss.
        boxes: Boxes ``(x, y, w, h)`` with the centre first, ``(n, 4)`` or ``(4,)``.
        target: One target, ``(4,)``, or one for each box.
        rule: One of :data:`RULES`.
        steps: Iterations; the learning rate falls after 80 % and 90 % of them.
        unit: Length that counts as 1 in the simulation, in whose unit the targets have about area 1: for boxes in
            pixels, the root of the target's area. The loss sees the boxes as they are given.

    Returns:
        Boxes before the first and after each iteration, ``(steps + 1, n, 4)``, float64.

    Example:
        >>> from loss_views.choice import choose
        >>> way = descend(choose("EIoULoss"), [10.5, 11.6, 2.2, 3.0], [10, 10, 1, 1])
        >>> way[::100, 0].round(decimals=2).tolist()
        [[10.5, 11.6, 2.2, 3.0], [10.0, 10.0, 0.98, 0.98], [10.0, 10.0, 1.0, 1.0]]
    """
    movement = Movement(chosen, rule, unit)
    box, wanted = (torch.as_tensor(given, dtype=torch.float64).reshape(-1, 4).t() / unit for given in (boxes, target))
    wanted = wanted.expand_as(box)
    way = [box]
    for iteration in range(1, steps + 1):
        movement.set_progress((iteration - 1) / steps)
        way.append(advance(way[-1], wanted, movement, learning_rate(iteration, steps)))
    return torch.stack(way).transpose(1, 2) * unit
