"""Box losses that do not fit the sum of the IoU family."""

from __future__ import annotations

import torch
from torch import Tensor

from .geometry import area, box_pair, divide


def extended_iou_loss(pred: Tensor, target: Tensor, *, smooth_point: float = 0.1) -> Tensor:
    """Extended-IoU loss, see :class:`~mmdet_losses.ExtendedIoULoss`; ``(n, 4)`` boxes to ``(n,)``."""
    pair = box_pair(pred, target)
    corner = torch.minimum(pair.pred[:, 0], pair.target[:, 0])
    low = torch.maximum(pair.pred[:, 0], pair.target[:, 0]) - corner
    high = torch.minimum(pair.pred[:, 1], pair.target[:, 1]) - corner
    size, double_centre = high - low, high + low
    # The area of the intersection where the boxes overlap, and a negative one where a side of it is negative.
    signed = (size.clamp(max=0) * double_centre.flip(-1)).sum(-1)
    intersection = torch.where((size >= 0).all(-1), size[:, 0] * size[:, 1], signed)
    union = area(pair.pred_size) + area(pair.target_size) - intersection
    loss = 1 - divide(intersection, union)
    return torch.where(loss < smooth_point, loss.square() / (2 * smooth_point), loss - smooth_point / 2)
