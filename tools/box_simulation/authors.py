"""The update of the DIoU paper's published figure, which is not the gradient of the losses.

The facts are those of the authors' program (Zzh-tju/DIoU, "simulation experiment", which has no licence), the code is
not. What it computes differs from minus the gradient by centre and size in six places:

* Q1: the chain rule from edges to width and height lacks its factor 1/2, for IoU and for GIoU's term.
* Q2: GIoU's term takes the intersection with signed sides, also of disjoint boxes, where both can be negative.
* Q3: in the derivative of DIoU's term by the centre, the share of the enclosing diagonal has the wrong sign.
* Q4: the squared diagonal is derived as if both of its sides followed each coordinate, and not the one that does.
* Q5: where a box exceeds its target on both sides, the derivative of the enclosing side by the box's is -1 and
  not 1; the other side, which Q4 brings in, keeps its 1.
* Q6: CIoU's ``1 / (w**2 + h**2)`` is 1, as the paper says; alpha has 1e-7 in its denominator, and no gate.

Only with them do the published curves come out. For anything else use the true gradients of the losses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOSSES = ("IoULoss", "GIoULoss", "DIoULoss", "CIoULoss")
"""What the authors wrote an update for; that of IoU is for ``1 - IoU``."""


class Pairs:
    """Boxes beside their targets, by edges.

    Args:
        boxes: Columns ``(x, y, w, h)``, ``(4, n)``.
        targets: Of the same layout.
    """

    def __init__(self, boxes: Tensor, targets: Tensor) -> None:
        self.offset, self.size, self.target_size = targets[:2] - boxes[:2], boxes[2:], targets[2:]
        near, far = boxes[:2] - boxes[2:] / 2, boxes[:2] + boxes[2:] / 2
        target_near, target_far = targets[:2] - targets[2:] / 2, targets[:2] + targets[2:] / 2
        # whether the edge on either side is inside the target, or beyond it
        self.near_in, self.far_in = near > target_near, far < target_far
        self.near_out, self.far_out = near < target_near, far > target_far
        self.shared = torch.minimum(far, target_far) - torch.maximum(near, target_near)
        self.hull = torch.maximum(far, target_far) - torch.minimum(near, target_near)
        self.meet = (self.shared > 0).all(0)
        self.areas = self.size.prod(0) + self.target_size.prod(0)
        signed = self.shared.prod(0)
        self.signed_union = self.areas - signed
        self.intersection = torch.where(self.meet, signed, 0.0)
        self.union = self.areas - self.intersection
        self.iou = self.intersection / self.union
        # derivatives of the signed intersection and union by the near and the far edges, (2, n) each: along x, along y
        across = self.shared.flip(0)
        self.of_shared = -across * self.near_in, across * self.far_in
        beside = self.size.flip(0)
        self.of_union = -beside - self.of_shared[0], beside - self.of_shared[1]

    def spread(self) -> Tensor:
        """How the enclosing box grows with the box, ``(2, n)``."""
        return (self.near_out.to(self.hull.dtype) + self.far_out.to(self.hull.dtype)) / 2


def overlap_part(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Derivatives of the IoU by the near and the far edges, 0 for boxes that do not meet."""
    near, far = (
        torch.where(pairs.meet, (pairs.union * shared - pairs.intersection * union) / pairs.union**2, 0.0)
        for shared, union in zip(pairs.of_shared, pairs.of_union, strict=True)
    )
    return near, far


def enclosing_part(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Derivatives of GIoU's ``U / C`` by the near and the far edges, with the signed intersection of Q2."""
    across, whole = pairs.hull.flip(0), pairs.hull.prod(0)
    near, far = (
        (whole * union - pairs.signed_union * hull) / whole**2
        for union, hull in zip(pairs.of_union, (-across * pairs.near_out, across * pairs.far_out), strict=True)
    )
    return near, far


def distance_part(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """What DIoU's term adds to the movement of centre and size, with Q3, Q4 and Q5."""
    diagonal = pairs.hull.square().sum(0)
    share = pairs.offset.square().sum(0) / diagonal**2
    shift = pairs.far_out.to(share.dtype) - pairs.near_out.to(share.dtype)
    centre = 2 * pairs.offset / diagonal - 2 * pairs.hull.sum(0) * shift * share
    spread = pairs.spread()
    own = torch.where(pairs.near_out & pairs.far_out, -1.0, spread)
    return centre, 2 * (pairs.hull * own + pairs.hull.flip(0) * spread) * share


def aspect_part(pairs: Pairs) -> Tensor:
    """What CIoU's term adds to the movement of the size, with Q6."""
    turn = torch.atan(pairs.target_size[0] / pairs.target_size[1]) - torch.atan(pairs.size[0] / pairs.size[1])
    v = 4 / math.pi**2 * turn.square()
    alpha = v / (1 - pairs.iou + v + 1e-7)
    slope = 8 / math.pi**2 * alpha * turn
    return torch.stack((slope * pairs.size[1], -slope * pairs.size[0]))


def movement(name: str, boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Where the authors' rule moves boxes, and their IoU.

    Args:
        name: One of :data:`LOSSES`.
        boxes: Columns ``(x, y, w, h)``, ``(4, n)``.
        targets: Of the same layout.
    """
    pairs = Pairs(boxes, targets)
    near, far = overlap_part(pairs)
    if name == "GIoULoss":
        near, far = (one + more for one, more in zip((near, far), enclosing_part(pairs), strict=True))
    centre, size = near + far, far - near
    if name in ("DIoULoss", "CIoULoss"):
        of_centre, of_size = distance_part(pairs)
        centre, size = centre + of_centre, size + of_size
    if name == "CIoULoss":
        size = size + aspect_part(pairs)
    return torch.cat((centre, size)), pairs.iou
