"""The objectives of grid detectors, whole: ground truth is encoded, every term computed, one loss returned."""

from .anchors import AnchorLoss
from .base import CompositeLoss
from .encode import DenseTarget, encode_anchors, encode_cells, pad_truths
from .grid import GridObjectnessLoss
from .layout import Level
from .v1 import YOLOv1Loss
from .v2 import YOLOv2Loss
from .v3 import YOLOv3Loss
from .v4 import YOLOv4Loss

__all__ = [
    "AnchorLoss",
    "CompositeLoss",
    "DenseTarget",
    "GridObjectnessLoss",
    "Level",
    "YOLOv1Loss",
    "YOLOv2Loss",
    "YOLOv3Loss",
    "YOLOv4Loss",
    "encode_anchors",
    "encode_cells",
    "pad_truths",
]
