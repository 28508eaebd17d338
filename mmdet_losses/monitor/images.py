"""What a batch says of its images: their files, and boxes among their objects that have no size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .batch import plain

KEPT = ("img_path", "img_id", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


def samples_of(batch: Any) -> list[Any]:
    """The data samples of a batch as MMDetection's loaders yield it; empty for any other."""
    found = batch.get("data_samples") if isinstance(batch, Mapping) else None
    if isinstance(found, Mapping):  # several branches, of semi-supervised training
        found = [one for branch in found.values() if isinstance(branch, (list, tuple)) for one in branch]
    return list(found) if isinstance(found, (list, tuple)) else []


def images_of(batch: Any) -> list[dict[str, Any]]:
    """Metainfo of each image, and its boxes of no size or with a side that is not finite."""
    return [
        {**{key: plain(value) for key, value in metainfo(sample).items() if key in KEPT}, "no_size": no_size(sample)}
        for sample in samples_of(batch)
    ]


def metainfo(sample: Any) -> Mapping[str, Any]:
    """What a sample knows of its image."""
    found = getattr(sample, "metainfo", None)
    return found if isinstance(found, Mapping) else {}


def no_size(sample: Any) -> list[dict[str, Any]]:
    """The objects of a sample whose box ends where it begins, or before."""
    objects = getattr(sample, "gt_instances", None)
    boxes = getattr(objects, "bboxes", None)
    boxes = getattr(boxes, "tensor", boxes)
    if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] not in (4, 5) or not len(boxes):
        return []
    boxes = boxes.detach().cpu()
    sides = boxes[:, 2:4] - boxes[:, :2] if boxes.shape[1] == 4 else boxes[:, 2:4]
    bad = ~(sides > 0).all(1) | ~boxes.isfinite().all(1)
    labels = getattr(objects, "labels", None)
    return [
        {"object": place, "box": boxes[place].tolist(), "label": label_of(labels, place)}
        for place in torch.nonzero(bad)[:, 0].tolist()
    ]


def label_of(labels: Any, place: int) -> int | None:
    """The label of an object."""
    return int(labels[place]) if isinstance(labels, Tensor) and labels.numel() > place else None
