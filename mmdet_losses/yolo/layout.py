"""Where predictions stand: maps of several levels become the rows of one table, and rows know their cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Level(NamedTuple):
    """A grid of one level.

    Attributes:
        height: Cells from top to bottom.
        width: Cells from left to right.
        stride: Side of a cell in pixels.
        anchors: Width and height of each anchor in pixels; one anchor of a cell's size where there are none.
    """

    height: int
    width: int
    stride: float
    anchors: tuple[tuple[float, float], ...]


class Rows(NamedTuple):
    """What is known of each of ``N`` predictions beforehand: level by level, then cells in reading order, then anchors.

    Attributes:
        cell: Column and row of the cell, ``(N, 2)``.
        stride: Side of the cell in pixels, ``(N, 1)``.
        anchor: Width and height of the anchor in pixels, ``(N, 2)``.
        image: Width and height of the network's input in pixels, ``(N, 2)``.
    """

    cell: Tensor
    stride: Tensor
    anchor: Tensor
    image: Tensor


# Functions, and not methods of the tuples, which older compilers do not trace: torch 2.10 for one.
def num_rows(level: Level) -> int:
    """Number of predictions of a level."""
    return level.height * level.width * len(level.anchors)


def prior_boxes(rows: Rows) -> Tensor:
    """The anchors as boxes about the middle of their cells, in pixels, ``(N, 4)``."""
    centre = (rows.cell + 0.5) * rows.stride
    return torch.cat([centre - rows.anchor / 2, centre + rows.anchor / 2], -1)


def constants(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers as a tensor that is made where ``like`` is: a copy from the host would wait for the device."""
    return torch.stack([like.new_full((), float(value)) for value in values])


def cells_of(level: Level, like: Tensor) -> Tensor:
    """Column and row of each prediction of a level, ``(rows, 2)``."""
    shape = (level.height, level.width, len(level.anchors))
    column = torch.arange(level.width, device=like.device).reshape(1, -1, 1).expand(shape)
    row = torch.arange(level.height, device=like.device).reshape(-1, 1, 1).expand(shape)
    return torch.stack([column, row], -1).reshape(num_rows(level), 2).to(like.dtype)


def rows_of(levels: Sequence[Level], like: Tensor) -> Rows:
    """The rows of some levels, in the dtype and on the device of ``like``."""
    cell, stride, anchor, image = [], [], [], []
    for level in levels:
        cells = level.height * level.width
        cell.append(cells_of(level, like))
        stride.append(like.new_full((num_rows(level), 1), level.stride))
        anchor.append(torch.stack([constants(size, like) for size in level.anchors]).repeat(cells, 1))
        extent = [like.new_full((num_rows(level),), side * level.stride) for side in (level.width, level.height)]
        image.append(torch.stack(extent, -1))
    return Rows(torch.cat(cell), torch.cat(stride), torch.cat(anchor), torch.cat(image))


def table(maps: Sequence[Tensor], levels: Sequence[Level], entries: int) -> Tensor:
    """Maps ``(B, anchors * entries, H, W)`` as ``(B, N, entries)``."""
    flat = [
        one.permute(0, 2, 3, 1).reshape(one.shape[0], num_rows(level), entries)
        for one, level in zip(maps, levels, strict=True)
    ]
    return torch.cat(flat, 1)
