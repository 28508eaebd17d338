"""What a box loss is worth in a training: mean value and gradient over predictions that are near, and what
``loss_weight`` keeps the gradient as it was after a switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_losses.registry import LOSSES

from .box_curves import gradient_norm, value_and_gradient
from .choice import Chosen
from .curves import ready
from .examples import example
from .paths import CENTRE

PAIRS, SEED = 4000, 0
SIDES = (8.0, 128.0)
"""Least and largest width and height of a target, in pixels; even between them."""
SHIFT, GROWTH = 0.15, 0.2
"""Deviations of a prediction: of its centre in sides of the target, and of the logarithms of its sides."""
OF_THIS_SIZE = {"NWDLoss": {"constant": 62.0}}
"""Lengths in pixels that are to be the mean size of the objects, here that of the pairs."""
REFERENCE = Chosen("GIoULoss")
USUAL_WEIGHT = 2.0
"""Of GIoU in one-stage detectors."""
ALIKE = 0.2
"""How far from 1 a ratio of gradients may be for a switch without another weight."""


@dataclass(frozen=True)
class Typical:
    """A loss over the pairs.

    Attributes:
        name: The loss.
        label: The same, with options that are no defaults.
        value: Mean of the loss.
        gradient: Mean norm of its gradient with respect to the predicted box, times the side of the target.
        ratio: That over GIoU's.
    """

    name: str
    label: str
    value: float
    gradient: float
    ratio: float

    @property
    def weight(self) -> float:
        """The weight that has the gradient of GIoU with :data:`USUAL_WEIGHT`."""
        return USUAL_WEIGHT / self.ratio

    @property
    def alike(self) -> bool:
        """Whether the weight may stay as it was."""
        return abs(self.ratio - 1) <= ALIKE


def pairs() -> tuple[Tensor, Tensor]:
    """Predictions and targets ``(x1, y1, x2, y2)``, float64."""
    g = torch.Generator().manual_seed(SEED)

    def normal() -> Tensor:
        return torch.randn(PAIRS, 2, generator=g, dtype=torch.float64)

    low, high = SIDES
    sides = low + (high - low) * torch.rand(PAIRS, 2, generator=g, dtype=torch.float64)
    target = torch.tensor(CENTRE, dtype=torch.float64).expand(PAIRS, 2)
    pred, size = target + SHIFT * sides * normal(), sides * (GROWTH * normal()).exp()
    return torch.cat([pred - size / 2, pred + size / 2], 1), torch.cat([target - sides / 2, target + sides / 2], 1)


def mean_of(chosen: Chosen) -> tuple[float, float]:
    """Mean value and mean gradient norm of a loss of boxes over the pairs."""
    pred, target = pairs()
    value, gradient = value_and_gradient(ready(chosen), pred, target)
    side = (target[:, 2:] - target[:, :2]).prod(1).sqrt()
    return value.mean().item(), gradient_norm(gradient, side).mean().item()


def of_boxes() -> list[Chosen]:
    """Every registered loss of boxes ``(x1, y1, x2, y2)``, each under its own name."""
    names = [name for name, cls in LOSSES.items() if cls.boxes and cls.__name__ == name]
    return [Chosen(name, OF_THIS_SIZE[name]) if name in OF_THIS_SIZE else example(name) for name in names]


def typical(chosen: Sequence[Chosen] | None = None) -> list[Typical]:
    """The losses over the pairs, by default all; in the order of their gradients."""
    _, reference = mean_of(REFERENCE)
    found = []
    for one in of_boxes() if chosen is None else chosen:
        value, gradient = mean_of(one)
        found.append(Typical(one.name, one.label, value, gradient, gradient / reference))
    return sorted(found, key=lambda row: -row.gradient)


def table(chosen: Sequence[Chosen] | None = None) -> str:
    """The same as rows of Markdown."""
    head = f"| loss | value | gradient | gradient / GIoU's | `loss_weight` in place of GIoU's {USUAL_WEIGHT:g} |"
    rows = [
        f"| `{row.label}` | {row.value:.3f} | {row.gradient:.2f} | {row.ratio:.2f} | {row.weight:.1f} |"
        for row in typical(chosen)
    ]
    return "\n".join([head, "|---|---|---|---|---|", *rows, ""])


def about() -> str:
    """How the table was made."""
    low, high = SIDES
    return (
        f"Means over {PAIRS} pairs, seed {SEED}: targets with sides of {low:g} to {high:g} pixels, predictions whose "
        f"centre is off by {SHIFT:.0%} of the side and whose sides by a factor exp({GROWTH:g} N), N normal. The "
        "gradient is the norm of that with respect to the predicted box, times the side of the target. Losses with "
        "statistics are as at the start of a training. Losses that compare boxes with a length in pixels depend on "
        "the sizes of the objects: the constant of NWDLoss is the mean size of these. BoundedIoULoss has four values "
        "for each box, which are added: 1.0 in a one-stage head, and the 10 of MMDetection's config for Faster R-CNN "
        "is the weight of a two-stage head."
    )
