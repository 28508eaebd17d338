"""What a loss is made for, whoever wrote it."""

from __future__ import annotations

from typing import Any

from ..modules import Loss, RankingLoss

BOXES = "boxes"
COORDINATES = "coordinates"
SCORES = "scores"
BINS = "bins"
WHOLE = "whole"

DESCRIBED = {
    BOXES: "needs decoded boxes",
    COORDINATES: "is a loss of coordinates",
    SCORES: "is a classification loss",
    BINS: "is a loss of the bins of a distribution",
    WHOLE: "is the whole objective of a detector",
}
"""What a message says of a loss."""

BELONGS = {
    BOXES: "The slot of the boxes is loss_bbox.",
    COORDINATES: "The slot of the boxes is loss_bbox.",
    SCORES: "The slot of the scores is loss_cls.",
    BINS: "The slot of the bins is loss_dfl of GFLHead.",
    WHOLE: "It takes the raw maps of YOLOObjectiveHead or GridCellHead, as their objective.",
}

STOCK_FILES = {
    "balanced_l1_loss": COORDINATES,
    "cross_entropy_loss": SCORES,
    "eqlv2_loss": SCORES,
    "focal_loss": SCORES,
    "gaussian_focal_loss": SCORES,
    "iou_loss": BOXES,
    "mse_loss": COORDINATES,
    "seesaw_loss": SCORES,
    "smooth_l1_loss": COORDINATES,
    "varifocal_loss": SCORES,
}
"""Files of MMDetection's own losses, for those that have no counterpart here and for ``stock_losses``."""

STOCK_CLASSES = {"DistributionFocalLoss": BINS, "GHMC": SCORES, "GHMR": COORDINATES, "QualityFocalLoss": SCORES}
"""Those that share a file with one of another kind."""


def kind_of(loss: Any) -> str | None:
    """What a loss is made for, one of the keys of :data:`DESCRIBED`; None where that is not known."""
    if isinstance(loss, Loss):
        if loss.slot == "rbox":
            return BOXES
        if loss.slot == "bbox":
            return BOXES if loss.boxes else COORDINATES
        return {"cls": SCORES, "dfl": BINS, "composite": WHOLE}.get(loss.slot)
    package, _, file = type(loss).__module__.rpartition(".")
    if package != "mmdet.models.losses":
        return None
    return STOCK_CLASSES.get(type(loss).__name__, STOCK_FILES.get(file))


def ranks(loss: Any) -> bool:
    """Whether a loss ranks the logits of a call among each other."""
    return isinstance(loss, RankingLoss)
