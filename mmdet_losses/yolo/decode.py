"""Decoding raw predictions to boxes, encoding boxes as regression targets, and IoU of boxes in a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional.geometry import Box, area, divide, overlap, size_of
from .layout import Rows

MAX_EXPONENT = 16.0
"""Bound of ``|t|`` in ``anchor * exp(t)``: anchors of 10 to 400 px give boxes of 1e-6 to 4e9 px."""


class Predictions(NamedTuple):
    """Raw predictions of a batch, by rows.

    Attributes:
        raw: Raw outputs, ``(B, N, entries)``; ``t_x, t_y, t_w, t_h`` first where the box is one of an anchor.
        rows: Cell, stride and anchor of each.
        scale_x_y: Scale of the logistic offset, a number or ``(N, 1)``.
    """

    raw: Tensor
    rows: Rows
    scale_x_y: float | Tensor = 1.0


def corners(centre: Tensor, size: Tensor) -> Tensor:
    """Boxes ``(..., 4)`` of centres and sizes ``(..., 2)``."""
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def centre_and_size(box: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes ``(..., 2)`` of boxes ``(..., 4)``."""
    low, high = box[..., :2], box[..., 2:]
    return (low + high) / 2, high - low


def logistic_offset(raw: Tensor, scale_x_y: float | Tensor = 1.0) -> Tensor:
    """Offset in the cell, ``s sigma(t) - (s - 1) / 2``: with ``s`` above 1 a finite ``t`` reaches the border."""
    return raw.sigmoid() * scale_x_y - (scale_x_y - 1) / 2


def decode(raw: Tensor, rows: Rows, scale_x_y: float | Tensor = 1.0) -> Tensor:
    """Boxes in pixels of raw ``(t_x, t_y, t_w, t_h)``, ``(B, N, 4)``.

    The centre lies in the cell, the size is ``anchor * exp(t)`` with ``t`` clamped to :data:`MAX_EXPONENT`, beyond
    which the gradient is 0.
    """
    centre = (rows.cell + logistic_offset(raw[..., :2], scale_x_y)) * rows.stride
    return corners(centre, rows.anchor * raw[..., 2:].clamp(-MAX_EXPONENT, MAX_EXPONENT).exp())


def boxes_of(found: Predictions) -> Tensor:
    """Predicted boxes in pixels, ``(B, N, 4)``."""
    return decode(found.raw[..., :4], found.rows, found.scale_x_y)


def encode_offsets(box: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Regression targets of boxes ``(B, N, 4)``: offset in the cell, 0 to 1, and log of size over anchor."""
    centre, size = centre_and_size(box)
    ratio = (size / rows.anchor).clamp(min=torch.finfo(size.dtype).tiny)
    return (centre / rows.stride - rows.cell).clamp(0, 1), ratio.log()


def small_object_scale(box: Tensor, rows: Rows) -> Tensor:
    """``2 - W H``, the size of boxes ``(B, N, 4)`` relative to the image: small objects weigh twice as much."""
    share = centre_and_size(box)[1] / rows.image
    return 2 - share[..., 0] * share[..., 1]


def aligned_iou(first: Tensor, second: Tensor) -> Tensor:
    """Element-wise IoU of boxes, ``(..., 4)`` to ``(...)``; the shapes broadcast."""
    first, second = Box(*first.unbind(-1)), Box(*second.unbind(-1))
    return overlap(first, second, size_of(first), size_of(second))[0]


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of each of ``(B, N, 4)``, or ``(N, 4)``, with each of ``(B, T, 4)``: ``(B, N, T)``."""
    return aligned_iou(first.unsqueeze(-2), second.unsqueeze(-3))


def shape_iou(size: Tensor, anchors: Tensor) -> Tensor:
    """IoU of sizes ``(B, T, 2)`` and anchors ``(A, 2)`` aligned at a corner: ``(B, T, A)``."""
    (width, height), (wide, high) = size.unsqueeze(-2).unbind(-1), anchors.unbind(-1)
    shared = area(torch.minimum(width, wide), torch.minimum(height, high))
    return divide(shared, area(width, height) + area(wide, high) - shared)
