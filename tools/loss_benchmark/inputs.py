"""Inputs of a measured unit: tensors as an assigner and a head hand them to a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmdet_losses.registry import LOSSES

from .shapes import Shape
from .subjects import Subject

POSITIVES = {"dense": 0.005, "roi": 0.25}
"""Share of rows with an object, by group."""
HEAT_CELLS = 128
OF_EACH = 4
"""Pictures of each identity in a batch."""
SIDE = 640
OBJECTS = 7


@dataclass
class Call:
    """Arguments of one call of a loss.

    Attributes:
        pred: The prediction, a leaf that requires a gradient; a list for losses that take a map per level, or several
            predictions.
        target: The target.
        weight: The weight, or None.
        avg_factor: The divisor, or None.
        unreduced: Whether the head asks for the unreduced loss, and sums it.
    """

    pred: Tensor | list[Tensor]
    target: Any
    weight: Tensor | None = None
    avg_factor: float | Tensor | None = None
    unreduced: bool = False

    @property
    def leaves(self) -> list[Tensor]:
        """The prediction's tensors."""
        return self.pred if isinstance(self.pred, list) else [self.pred]

    @property
    def targets(self) -> list[Tensor]:
        """The target's tensors; none of cells in lists."""
        parts = self.target if isinstance(self.target, tuple) else (self.target,)
        return [part for part in parts if isinstance(part, Tensor)]


class Draw:
    """Random tensors on a device."""

    def __init__(self, device: str, dtype: torch.dtype, seed: int) -> None:
        self.device, self.dtype = device, dtype
        self.generator = torch.Generator(device).manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Return normal values."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return values from ``low`` to ``high``."""
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return whole numbers below ``high``."""
        return torch.randint(0, high, shape, generator=self.generator, device=self.device)

    def labels(self, n: int, positives: float, background: int) -> Tensor:
        """Return labels, of which the share ``positives`` is not background."""
        return torch.where(self.uniform(n) < positives, self.integers(background, n), background)

    def boxes(self, n: int) -> tuple[Tensor, Tensor]:
        """Return pairs of 4 to 400 pixels, from close to far apart."""
        center, size = self.uniform(n, 2, high=800), torch.exp(self.uniform(n, 2, low=1.4, high=6.0))
        target = torch.cat([center - size / 2, center + size / 2], 1)
        center, size = center + 0.2 * size * self.normal(n, 2), size * torch.exp(0.3 * self.normal(n, 2))
        return torch.cat([center - size / 2, center + size / 2], 1), target


def labels(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return logits in favour of background, as a trained head's, and labels, of which the largest is background."""
    pred = draw.normal(n, shape.columns + subject.extra) - (3.0 if subject.group == "dense" else 0.0)
    return pred, draw.labels(n, POSITIVES[subject.group], shape.columns)


def quality(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return logits, labels, and an IoU for each row with an object."""
    pred, label = labels(draw, subject, shape, n)
    return pred, (label, torch.where(label < shape.columns, draw.uniform(n), 0.0).to(draw.dtype))


def soft(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return logits and a dense target: an IoU at the class of the object."""
    pred, (label, score) = quality(draw, subject, shape, n)
    target = pred.new_zeros(n, shape.columns + 1, dtype=draw.dtype)
    return pred, target.scatter_(1, label[:, None], score[:, None])[:, :-1].contiguous()


def boxes(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return pairs of boxes."""
    return draw.boxes(n)


def rotated(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return the pairs of boxes as ``(cx, cy, w, h, angle)``, each at an angle of its own."""
    pairs = ((boxes[:, :2], boxes[:, 2:]) for boxes in draw.boxes(n))
    pred, target = (
        torch.cat([(low + high) / 2, high - low, draw.uniform(n, 1, low=-1.6, high=1.6)], 1) for low, high in pairs
    )
    return pred, target


def deltas(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return pairs of encoded boxes."""
    return draw.normal(n, 4), draw.normal(n, 4)


def distances(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return logits of bins, and distances between the first and the last but one."""
    return 2 * draw.normal(n, shape.columns), draw.uniform(n, high=shape.columns - 1.1)


def bins(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return a student's logits of bins, and a teacher's."""
    teacher = 2 * draw.normal(n, shape.columns)
    return teacher + draw.normal(n, shape.columns), teacher


def masks(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return logits of masks, and masks of a fifth of their pixels."""
    target = (draw.uniform(n, shape.columns) < 0.2).float()
    return draw.normal(n, shape.columns) + 4 * target - 3, target


def pairs(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return similarities of boxes to those of another frame, and which pairs are the same object."""
    target = (draw.integers(OBJECTS, n, 1) == draw.integers(2 * OBJECTS, 1, shape.columns)).int()
    return 0.3 * draw.normal(n, shape.columns) + 0.5 * target, target


def identities(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return embeddings, and identities of :data:`OF_EACH` pictures each."""
    target = torch.arange(n, device=draw.device) // OF_EACH
    return draw.normal(n, shape.columns), target


def corners(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[list[Tensor], Any]:
    """Return embeddings of top left and of bottom right corners, and the cells of each object."""
    size = (n, shape.columns, HEAT_CELLS, HEAT_CELLS)
    cells = draw.integers(HEAT_CELLS, n, OBJECTS, 2, 2).tolist()
    return [draw.normal(*size), draw.normal(*size)], cells


def scalars(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return a logit and a probability per row, as centerness."""
    return draw.normal(n), draw.uniform(n)


def heat(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[Tensor, Any]:
    """Return probabilities, and a map of zeros with some peaks and their slopes."""
    size = (n, shape.columns, HEAT_CELLS, HEAT_CELLS)
    slopes, peaks = draw.uniform(*size) < 0.02, draw.uniform(*size) < 1e-4
    target = torch.where(peaks, 1.0, torch.where(slopes, draw.uniform(*size, high=0.95), 0.0))
    return torch.sigmoid(draw.normal(*size) - 2), target


def maps(draw: Draw, subject: Subject, shape: Shape, n: int) -> tuple[list[Tensor] | Tensor, Any]:
    """Return a map per level, and padded objects, of which half are padding."""
    loss = LOSSES[subject.loss](**subject.options)
    strides = [loss.stride] if hasattr(loss, "stride") else list(loss.strides)
    pred = [
        draw.normal(n, channels, round(SIDE / stride), round(SIDE / stride))
        for channels, stride in zip(loss.channels(shape.columns), strides, strict=True)
    ]
    corner, size = draw.uniform(n, 2 * OBJECTS, 2, high=SIDE - 160), draw.uniform(n, 2 * OBJECTS, 2, low=8, high=160)
    label = draw.integers(shape.columns, n, 2 * OBJECTS, 1).float()
    label[:, OBJECTS:] = -1
    return pred[0] if hasattr(loss, "stride") else pred, torch.cat([corner, corner + size, label], -1)


KINDS: dict[str, Callable[[Draw, Subject, Shape, int], tuple[Any, Any]]] = {
    function.__name__: function
    for function in (
        *(labels, quality, soft, boxes, rotated, deltas, distances, bins, scalars, heat, maps),
        *(masks, pairs, identities, corners),
    )
}
WITHOUT_DIVISOR = ("maps", "identities", "corners")
"""Groups whose losses are called without ``avg_factor``."""


def draw_weight(draw: Draw, shape: Shape, form: str, n: int) -> Tensor | None:
    """Return the weight of a call, which is nonzero in exactly the share of rows that the shape names."""
    if form in ("", "none"):
        return None
    weighted = round(shape.weighted * n)
    varied = shape.group in ("boxes", "distances", "bins")
    weight = draw.uniform(n, low=0.5, high=1.0) if varied else draw.uniform(n) * 0 + 1
    order = torch.randperm(n, generator=draw.generator, device=draw.device)
    weight[order[weighted:]] = 0
    return weight[:, None].repeat(1, 4) if form == "boxes" else weight


def draw_calls(subject: Subject, shape: Shape, device: str, dtype: torch.dtype, seed: int = 0) -> list[Call]:
    """Return the calls of a measured unit.

    Predictions and targets have ``dtype`` and weights float32, as under autocast. Where boxes or deltas have weight 0,
    the target is (0, 0, 0, 0), as it is for an anchor without an object.
    """
    draw = Draw(device, dtype, seed)
    calls = []
    for n in shape.rows:
        pred, target = KINDS[subject.target](draw, subject, shape, n)
        # VFNet and ranking losses are called without a weight: it is in the IoU-aware target, or in the rank
        without = subject.target == "soft" or subject.only
        weight = draw_weight(draw, shape, "" if without else subject.weight or shape.weight, n)
        if weight is not None and shape.group in ("boxes", "deltas"):
            target[weight == 0 if weight.ndim == 1 else (weight == 0).all(1)] = 0
        parts = target if isinstance(target, tuple) else (target,)
        cast = [x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in parts]
        leaves = [x.to(dtype).requires_grad_() for x in (pred if isinstance(pred, list) else [pred])]
        divisor: float | Tensor | None = None
        if shape.group not in WITHOUT_DIVISOR and not shape.unreduced:
            share = POSITIVES.get(shape.group, 1.0)
            divisor = max(1.0, share * shape.weighted * shape.total)
            divisor = torch.tensor(divisor, device=device) if shape.tensor_divisor else divisor
        calls.append(
            Call(
                leaves if isinstance(pred, list) else leaves[0],
                tuple(cast) if isinstance(target, tuple) else cast[0],
                weight,
                divisor,
                shape.unreduced,
            )
        )
    return calls
