"""Losses that have hand-written kernels, and what to feed them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_losses import (
    BoundedIoULoss,
    CIoULoss,
    CrossEntropyLoss,
    DIoULoss,
    DistributionFocalLoss,
    EIoULoss,
    ExtendedIoULoss,
    FocalLoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    MSELoss,
    QualityFocalLoss,
    SIoULoss,
    SmoothL1Loss,
    VarifocalLoss,
)

Batch = tuple[Tensor, Any]


def boxes(n: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    center, size = torch.rand(n, 2, generator=draw) * 800, torch.exp(torch.rand(n, 2, generator=draw) * 4.6 + 1.4)
    target = torch.cat([center - size / 2, center + size / 2], 1)
    center = center + 0.2 * size * torch.randn(n, 2, generator=draw)
    size = size * torch.exp(0.3 * torch.randn(n, 2, generator=draw))
    return torch.cat([center - size / 2, center + size / 2], 1), target


def labels(n: int, seed: int, classes: int = 5) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=draw) * 4, torch.randint(-1, classes + 2, (n,), generator=draw)


def known_labels(n: int, seed: int) -> Batch:
    """Without negative ones, which cross-entropy ignores."""
    pred, label = labels(n, seed)
    return pred, label.clamp(min=0)


def quality(n: int, seed: int) -> Batch:
    pred, label = labels(n, seed)
    return pred, (label, torch.rand(n, generator=torch.Generator().manual_seed(seed + 1)))


def soft(n: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(n, 19, generator=draw)
    return torch.randn(n, 19, generator=draw) * 4, target * (target > 0.7)


def classes(n: int, seed: int, columns: int = 81) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, columns, generator=draw) * 4, torch.randint(columns, (n,), generator=draw)


def some_ignored(n: int, seed: int) -> Batch:
    pred, label = classes(n, seed, 7)
    label[1::4] = -100
    return pred, label


def deltas(n: int, seed: int) -> Batch:
    pred, target = torch.randn(2, n, 4, generator=torch.Generator().manual_seed(seed))
    return torch.where(pred > 1, target, pred), target


def distances(n: int, seed: int, bins: int = 17) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(n, generator=draw) * (bins + 1) - 1
    target[::5] = target[::5].round()
    return torch.randn(n, bins, generator=draw) * 3, target


BOXES: dict[str, Callable[..., nn.Module]] = {
    "log": IoULoss,
    "log of a large eps": partial(IoULoss, eps=0.5),
    "linear": partial(IoULoss, mode="linear"),
    "square": partial(IoULoss, mode="square"),
    "giou": GIoULoss,
    "diou": DIoULoss,
    "ciou": CIoULoss,
    "ciou with a gate": partial(CIoULoss, alpha_gate=0.5),
    "eiou": EIoULoss,
    "siou": SIoULoss,
    "extended": ExtendedIoULoss,
    "extended of another point": partial(ExtendedIoULoss, smooth_point=0.6),
    "bounded": BoundedIoULoss,
    "bounded of other options": partial(BoundedIoULoss, beta=0.5, eps=0.0),
}
SIGMOIDS = dict(use_sigmoid=True)
LOGITS: dict[str, tuple[Callable[..., nn.Module], Callable[[int, int], Batch]]] = {
    "focal": (FocalLoss, labels),
    "focal without alpha": (partial(FocalLoss, alpha=None), labels),
    "focal of gamma 1.5": (partial(FocalLoss, gamma=1.5, alpha=0.6), labels),
    "focal of gamma 0.5": (partial(FocalLoss, gamma=0.5), labels),
    "focal of gamma 0": (partial(FocalLoss, gamma=0), labels),
    "focal of 100 classes": (FocalLoss, partial(labels, classes=100)),
    "focal of 3000 classes": (FocalLoss, lambda n, seed: labels(min(n, 50), seed, 3000)),
    "focal of one class": (FocalLoss, partial(labels, classes=1)),
    "dense focal": (FocalLoss, soft),
    "dense focal without alpha": (partial(FocalLoss, alpha=None), soft),
    "cross-entropy": (partial(CrossEntropyLoss, **SIGMOIDS), known_labels),
    "cross-entropy with ignored labels": (partial(CrossEntropyLoss, **SIGMOIDS), labels),
    "dense cross-entropy": (partial(CrossEntropyLoss, **SIGMOIDS), soft),
    "quality focal": (QualityFocalLoss, quality),
    "dense quality focal": (QualityFocalLoss, soft),
    "varifocal": (VarifocalLoss, soft),
    "varifocal of other options": (partial(VarifocalLoss, alpha=0.2, iou_weighted=False), soft),
    "softmax": (CrossEntropyLoss, classes),
    "softmax with ignored labels": (CrossEntropyLoss, some_ignored),
    "softmax of 16 classes": (CrossEntropyLoss, partial(classes, columns=16)),
    "softmax of 2 classes": (CrossEntropyLoss, partial(classes, columns=2)),
    "l1": (L1Loss, deltas),
    "mse": (MSELoss, deltas),
    "smooth l1": (SmoothL1Loss, deltas),
    "smooth l1 of another beta": (partial(SmoothL1Loss, beta=0.3), deltas),
    "smooth l1 of beta 0": (partial(SmoothL1Loss, beta=0), deltas),
    "distribution focal": (DistributionFocalLoss, distances),
    "distribution focal of a range": (partial(DistributionFocalLoss, y_min=-2.0, y_max=7.5), distances),
    "distribution focal of 2 bins": (DistributionFocalLoss, partial(distances, bins=2)),
    "distribution focal of 40 bins": (DistributionFocalLoss, partial(distances, bins=40)),
}
ALL = {name: (build_loss, boxes) for name, build_loss in BOXES.items()} | LOGITS


def wide(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(map(wide, x))
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


def weights(loss: nn.Module, pred: Tensor, seed: int) -> list[Tensor | None]:
    """Every form that a loss takes, with zeros."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.rand(pred.shape[0], generator=draw) + 0.1
    rows[::3] = 0
    each = torch.rand(pred.shape, generator=draw) * rows[:, None]
    each[each < 0.2] = 0
    if isinstance(loss, QualityFocalLoss | DistributionFocalLoss) or getattr(loss, "use_sigmoid", True) is False:
        return [None, rows]
    return [None, rows, each, rows.double(), each.half()]
