"""Assignment: padded ground truth to dense targets, which say what each prediction is responsible for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.classification import one_hot
from ..functional.dtype import upcast
from .decode import centre_and_size, pairwise_iou, shape_iou
from .layout import Level, Rows, cell_level, num_rows, prior_boxes, rows_of

__all__ = ["DenseTarget", "encode_anchors", "encode_cells", "pad_truths"]


class DenseTarget(NamedTuple):
    """Targets of the ``N`` predictions of each image, in the order of :class:`~mmdet_losses.yolo.layout.Rows`.

    The last three are set where one prediction is responsible for several objects (YOLOv4 as darknet), and else None.

    Attributes:
        objectness: 1 for an object, 0 for none, -1 for ignored, ``(B, N)``.
        box: The object's box ``(x1, y1, x2, y2)`` in pixels of the input, ``(B, N, 4)``; any box where there is none.
        classes: One-hot, or 1 for each of several classes, ``(B, N, C)``; may be smoothed. None for objectness alone.
        pair_row: Row of the prediction of each of ``K`` pairs with an object, ``(B, K)``.
        pair_box: Box of its object, ``(B, K, 4)``.
        pair_share: Weight of the pair, 0 for padding, ``(B, K)``.
    """

    objectness: Tensor
    box: Tensor
    classes: Tensor | None = None
    pair_row: Tensor | None = None
    pair_box: Tensor | None = None
    pair_share: Tensor | None = None


def with_objectness(dense: DenseTarget, objectness: Tensor) -> DenseTarget:
    """The target with ``objectness`` in place of its own."""
    return DenseTarget(objectness, dense.box, dense.classes, dense.pair_row, dense.pair_box, dense.pair_share)


class Truths(NamedTuple):
    """Padded ground truth by fields. Entry 0 is no object: rows without an object point to it.

    Attributes:
        box: ``(B, T, 4)``.
        label: ``(B, T)``, int64.
        valid: Whether the entry is an object, not padding and not of zero size, ``(B, T)``.
    """

    box: Tensor
    label: Tensor
    valid: Tensor


def read_truths(target: Tensor) -> Truths:
    """The fields of padded ground truth ``(B, M, 5)``; a zero-sized box is no object, as in darknet."""
    target = F.pad(upcast(target)[0], (0, 0, 1, 0))
    box, label = target[..., :4], target[..., 4]
    size = box[..., 2:] - box[..., :2]
    # not size > 0: NaN counts as an object, so that it shows in the loss
    return Truths(box, label.long(), (label >= 0) & ~(size <= 0).any(-1))


def match(truths: Truths, rows: Rows, iou_thr: float | None = None) -> tuple[Tensor, Tensor]:
    """The predictions responsible for each object.

    They belong to the cell that holds the object's centre (a centre on a border belongs to the cell right of it, or
    below): the best of all anchors by shape IoU, and with ``iou_thr`` every other above it.

    Returns:
        Row of each anchor in the object's cell, and whether it is responsible, both ``(B, T, A)``.
    """
    centre, size = centre_and_size(truths.box)
    index, start = [], 0
    for level in rows.levels:
        # clamped after the cast: NaN as an integer is undefined
        column, row = (centre / level.stride).floor().long().unbind(-1)
        cell = row.clamp(0, level.height - 1) * level.width + column.clamp(0, level.width - 1)
        count = len(level.anchors)
        index.append(start + cell.unsqueeze(-1) * count + torch.arange(count, device=cell.device))
        start = start + num_rows(level)
    iou = shape_iou(size, rows.sizes)
    positive = one_hot(iou.argmax(-1), iou.shape[-1])
    if iou_thr is not None:
        positive = positive | (iou > iou_thr)
    return torch.cat(index, -1), positive & truths.valid.unsqueeze(-1)


def owner_of_rows(index: Tensor, positive: Tensor, rows: int, first: bool) -> Tensor:
    """Object of each row, ``(B, rows)``: of those matched to it the first or the last; 0 for none."""
    count = index.shape[1]
    order = torch.arange(count, device=index.device)
    rank = torch.where(positive, (count - order if first else order).unsqueeze(-1), 0)
    owner = index.new_zeros(index.shape[0], rows)
    # a maximum, and not scatter: which of several writes wins is undefined
    owner = owner.scatter_reduce(1, index.flatten(1), rank.flatten(1), "amax")
    return torch.where(owner > 0, count - owner, 0) if first else owner


def all_classes(truths: Truths, index: Tensor, positive: Tensor, rows: int, num_classes: int) -> Tensor:
    """Classes of all objects matched to each row, ``(B, rows, C)``."""
    label = truths.label.unsqueeze(-1)
    known = positive & (label >= 0) & (label < num_classes)
    place = torch.where(known, index * num_classes + label, rows * num_classes).flatten(1)
    flat = truths.box.new_zeros(index.shape[0], rows * num_classes + 1).scatter(1, place, 1.0)
    return flat[:, :-1].reshape(index.shape[0], rows, num_classes)


def encode(
    truths: Truths,
    rows: Rows,
    num_classes: int,
    *,
    iou_thr: float | None = None,
    several_classes: bool = True,
    several_boxes: bool = False,
    first: bool = False,
    prior_ignore_thr: float | None = None,
) -> DenseTarget:
    """Dense target of padded ground truth.

    Args:
        truths: The ground truth.
        rows: The rows of the prediction.
        num_classes: Number of classes.
        iou_thr: See :func:`match`.
        several_classes: Whether a row matched to several objects has the classes of all of them.
        several_boxes: Whether it has their boxes too, in ``pair_*``, each weighted by 1 over the number of its classes.
        first: Whether, otherwise, the first object counts, and not the last.
        prior_ignore_thr: Rows without an object are ignored where their anchor, centred on the cell, overlaps one by
            more.
    """
    count = rows.cell.shape[0]
    index, positive = match(truths, rows, iou_thr)
    owner = owner_of_rows(index, positive, count, first)
    found = owner > 0
    prior = prior_boxes(rows)
    box = truths.box.gather(1, owner.unsqueeze(-1).expand(-1, -1, 4))
    box = torch.where(found.unsqueeze(-1), box, prior)
    if several_classes:
        classes = all_classes(truths, index, positive, count, num_classes)
    else:
        label = truths.label.gather(1, owner)
        classes = (one_hot(label, num_classes) & found.unsqueeze(-1)).to(box.dtype)
    objectness = found.to(box.dtype)
    if prior_ignore_thr is not None:
        objectness = ignore_overlapping(objectness, prior, truths, prior_ignore_thr)
    if not several_boxes:
        return DenseTarget(objectness, box, classes)
    anchors = index.shape[-1]
    kinds = classes.sum(-1).clamp(min=1).gather(1, index.flatten(1))
    pair_box = truths.box.unsqueeze(2).expand(-1, -1, anchors, -1).flatten(1, 2)
    share = positive.flatten(1).to(box.dtype) / kinds
    pair_box = torch.where((share > 0).unsqueeze(-1), pair_box, prior[0])
    return DenseTarget(objectness, box, classes, index.flatten(1), pair_box, share)


def ignore_overlapping(
    objectness: Tensor, box: Tensor, truths: Truths, threshold: float, where: Tensor | bool = True
) -> Tensor:
    """``objectness`` with -1 where a row has no object and its box overlaps one by more than ``threshold``."""
    iou = torch.where(truths.valid.unsqueeze(1), pairwise_iou(box, truths.box), 0).amax(-1)
    return torch.where((objectness == 0) & (iou > threshold) & where, -1, objectness)


def pad_truths(boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Pad the boxes ``(n, 4)`` and labels ``(n,)`` of each image to ground truth ``(B, M, 5)``.

    Example:
        >>> import torch
        >>> from mmdet_losses.yolo import pad_truths
        >>> boxes = [torch.tensor([[10.0, 0, 30, 20]]), torch.zeros(0, 4)]
        >>> pad_truths(boxes, [torch.tensor([1]), torch.zeros(0)])[..., 4]
        tensor([[ 1.],
                [-1.]])
    """
    rows = [torch.cat([box, label.unsqueeze(-1).to(box)], 1) for box, label in zip(boxes, labels, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1.0)


def encode_cells(
    target: Tensor, shape: tuple[int, int], stride: float, num_classes: int, *, several_classes: bool = False
) -> DenseTarget:
    """Dense target of a grid without anchors, ``N = H * W`` cells in reading order.

    The cell that holds an object's centre is responsible for it; of several objects in a cell the first counts, as in
    darknet.

    Args:
        target: Boxes ``(x1, y1, x2, y2)`` in pixels of the input and label, -1 for none, ``(B, M, 5)``.
        shape: Height and width of the grid in cells.
        stride: Side of a cell in pixels.
        num_classes: Number of classes.
        several_classes: Whether a cell has the classes of all its objects.

    Example:
        >>> import torch
        >>> from mmdet_losses.yolo import encode_cells
        >>> truth = torch.tensor([[[10.0, 0, 30, 20, 1], [0, 0, 0, 0, -1]]])
        >>> encode_cells(truth, (2, 2), 16.0, num_classes=3).objectness
        tensor([[0., 1., 0., 0.]])
    """
    truths = read_truths(target)
    rows = rows_of([cell_level(*shape, stride)], truths.box)
    return encode(truths, rows, num_classes, first=True, several_classes=several_classes)


def encode_anchors(
    target: Tensor,
    shapes: Sequence[tuple[int, int]],
    anchors: Sequence[Sequence[tuple[float, float]]],
    strides: Sequence[float],
    num_classes: int,
    *,
    iou_thr: float | None = None,
    several_classes: bool = True,
    several_boxes: bool = False,
    prior_ignore_thr: float | None = None,
) -> DenseTarget:
    """Dense target of grids with anchors: ``N`` rows, level by level, then cells in reading order, then anchors.

    In the cell that holds an object's centre, the best of all anchors by shape IoU is responsible for it. Of two
    objects matched to one row the last counts, as in darknet.

    Args:
        target: Boxes ``(x1, y1, x2, y2)`` in pixels of the input and label, -1 for none, ``(B, M, 5)``.
        shapes: Height and width of each level's grid in cells.
        anchors: Width and height in pixels of the anchors of each level.
        strides: Side of a cell of each level in pixels.
        num_classes: Number of classes.
        iou_thr: Other anchors of the cell (of every level) with a higher shape IoU are responsible too; None for none.
        several_classes: Whether a row matched to two objects has the classes of both.
        several_boxes: Whether it has the boxes of both, see :class:`DenseTarget`.
        prior_ignore_thr: Anchors without an object are ignored where, centred on the cell, they overlap one by more.

    Example:
        >>> import torch
        >>> from mmdet_losses.yolo import encode_anchors
        >>> truth = torch.tensor([[[10.0, 0, 30, 20, 1]]])
        >>> dense = encode_anchors(truth, [(1, 2)], [[(10, 10), (22, 18)]], [16], num_classes=3)
        >>> dense.objectness
        tensor([[0., 0., 0., 1.]])
    """
    levels = [
        Level(*shape, stride, tuple(map(tuple, sizes)))
        for shape, sizes, stride in zip(shapes, anchors, strides, strict=True)
    ]
    truths = read_truths(target)
    return encode(
        truths,
        rows_of(levels, truths.box),
        num_classes,
        iou_thr=iou_thr,
        several_classes=several_classes,
        several_boxes=several_boxes,
        prior_ignore_thr=prior_ignore_thr,
    )
