"""From raw predictions to boxes, from boxes to what is predicted, and overlaps of boxes in a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..functional.geometry import Box, area, divide, overlap, size_of
from .layout import Rows

MAX_EXPONENT = 16.0
"""Bound of ``|t|`` in ``anchor * exp(t)``: anchors of 10 to 400 px give boxes of 1e-6 to 4e9 px."""


def corners(centre: Tensor, size: Tensor) -> Tensor:
    """Boxes ``(..., 4)`` of centres and sizes ``(..., 2)``."""
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def centre_and_size(box: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes ``(..., 2)`` of boxes ``(..., 4)``."""
    low, high = box[..., :2], box[..., 2:]
    return (low + high) / 2, high - low


def logistic_offset(raw: Tensor, scale_x_y: float | Tensor = 1.0) -> Tensor:
    """Offset in the cell, ``s sigma(t) - (s - 1) / 2``: with ``s`` above 1 finite ``t`` reach the cell's border."""
    return raw.sigmoid() * scale_x_y - (scale_x_y - 1) / 2


def decode(raw: Tensor, rows: Rows, scale_x_y: float | Tensor = 1.0) -> Tensor:
    """Boxes in pixels of raw ``(t_x, t_y, t_w, t_h)``, ``(B, N, 4)``.

    The centre lies in the cell, the size is ``anchor * exp(t)``. Beyond :data:`MAX_EXPONENT` sizes stay as they are
    and have no gradient.
    """
    centre = (rows.cell + logistic_offset(raw[..., :2], scale_x_y)) * rows.stride
    return corners(centre, rows.anchor * raw[..., 2:].clamp(-MAX_EXPONENT, MAX_EXPONENT).exp())


def encode_offsets(box: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """What the rows should predict of boxes ``(B, N, 4)``: offset in the cell, 0 to 1, and log of size over anchor."""
    centre, size = centre_and_size(box)
    ratio = (size / rows.anchor).clamp(min=torch.finfo(size.dtype).tiny)
    return (centre / rows.stride - rows.cell).clamp(0, 1), ratio.log()


def small_object_scale(box: Tensor, rows: Rows) -> Tensor:
    """``2 - W H`` with the size of boxes ``(B, N, 4)`` as a share of the image's: small objects count twice."""
    share = centre_and_size(box)[1] / rows.image
    return 2 - share[..., 0] * share[..., 1]


def aligned_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of boxes with the box in the same place, ``(..., 4)`` to ``(...)``; the shapes broadcast."""
    first, second = Box(*first.unbind(-1)), Box(*second.unbind(-1))
    return overlap(first, second, size_of(first), size_of(second))[0]


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of each of ``(B, N, 4)``, or ``(N, 4)``, with each of ``(B, T, 4)``: ``(B, N, T)``."""
    return aligned_iou(first.unsqueeze(-2), second.unsqueeze(-3))


def shape_iou(size: Tensor, anchors: Tensor) -> Tensor:
    """IoU of sizes ``(B, T, 2)`` and anchors ``(A, 2)`` laid on one corner: ``(B, T, A)``."""
    (width, height), (wide, high) = size.unsqueeze(-2).unbind(-1), anchors.unbind(-1)
    shared = area(torch.minimum(width, wide), torch.minimum(height, high))
    return divide(shared, area(width, height) + area(wide, high) - shared)
