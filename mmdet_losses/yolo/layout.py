"""How predictions are laid out: the maps of all levels become the rows of one table, each with its cell and anchor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Level"]


class Level(NamedTuple):
    """The grid of one level.

    Attributes:
        height: Number of rows of cells.
        width: Number of columns of cells.
        stride: Side of a cell in pixels.
        anchors: Width and height of each anchor in pixels; without anchors, one of a cell's size.
    """

    height: int
    width: int
    stride: float
    anchors: tuple[tuple[float, float], ...]


class Rows(NamedTuple):
    """The grid of each of an image's ``N`` predictions: level by level, cells in reading order, anchors of a cell.

    Attributes:
        levels: Their levels.
        sizes: Width and height of all ``A`` anchors of all levels in pixels, ``(A, 2)``.
        cell: Column and row of the cell, ``(N, 2)``.
        stride: Side of the cell in pixels, ``(N, 1)``.
        anchor: Width and height of the anchor in pixels, ``(N, 2)``.
        image: Width and height of the network's input in pixels, ``(N, 2)``.
    """

    levels: tuple[Level, ...]
    sizes: Tensor
    cell: Tensor
    stride: Tensor
    anchor: Tensor
    image: Tensor


# Functions, and not methods of the tuples, which older compilers do not trace: torch 2.10 for one.
def num_rows(level: Level) -> int:
    """Number of predictions of a level."""
    return level.height * level.width * len(level.anchors)


def cell_level(height: int, width: int, stride: float) -> Level:
    """The level of a grid without anchors."""
    return Level(height, width, stride, ((stride, stride),))


def prior_boxes(rows: Rows) -> Tensor:
    """The anchors as boxes centred on their cells, in pixels, ``(N, 4)``."""
    centre = (rows.cell + 0.5) * rows.stride
    return torch.cat([centre - rows.anchor / 2, centre + rows.anchor / 2], -1)


def anchor_sizes(levels: Sequence[Level], like: Tensor) -> Tensor:
    """Width and height of all anchors, ``(A, 2)``; filled on the device, since a copy from the host would block."""
    sides = [like.new_full((), float(side)) for level in levels for size in level.anchors for side in size]
    return torch.stack(sides).reshape(-1, 2)


def cells_of(level: Level, like: Tensor) -> Tensor:
    """Column and row of each prediction of a level, ``(rows, 2)``."""
    shape = (level.height, level.width, len(level.anchors))
    column = torch.arange(level.width, device=like.device).reshape(1, -1, 1).expand(shape)
    row = torch.arange(level.height, device=like.device).reshape(-1, 1, 1).expand(shape)
    return torch.stack([column, row], -1).reshape(num_rows(level), 2).to(like.dtype)


def rows_of(levels: Sequence[Level], like: Tensor) -> Rows:
    """The rows of some levels, in the dtype and on the device of ``like``."""
    sizes = anchor_sizes(levels, like)
    cell, stride, anchor, image = [], [], [], []
    for level, own in zip(levels, sizes.split([len(level.anchors) for level in levels]), strict=True):
        cell.append(cells_of(level, like))
        stride.append(like.new_full((num_rows(level), 1), level.stride))
        anchor.append(own.repeat(level.height * level.width, 1))
        extent = [like.new_full((num_rows(level),), side * level.stride) for side in (level.width, level.height)]
        image.append(torch.stack(extent, -1))
    return Rows(tuple(levels), sizes, torch.cat(cell), torch.cat(stride), torch.cat(anchor), torch.cat(image))


def table(maps: Sequence[Tensor], levels: Sequence[Level], entries: int) -> Tensor:
    """Maps ``(B, anchors * entries, H, W)`` as ``(B, N, entries)``."""
    flat = [
        one.permute(0, 2, 3, 1).reshape(one.shape[0], num_rows(level), entries)
        for one, level in zip(maps, levels, strict=True)
    ]
    return torch.cat(flat, 1)
