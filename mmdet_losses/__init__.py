"""Detection losses for MMDetection 3.x, as plain ``nn.Module`` and as functions on torch alone.

Importing this package registers every loss with MMDetection: it is the target of ``custom_imports``.
"""

from .modules import *  # noqa: F403
from .modules import __all__ as _names
from .registry import QualityFocalLoss, SmoothL1Loss, register_loss
from .toolboxes import register_into
from .yolo import GridObjectnessLoss, YOLOv1Loss, YOLOv2Loss, YOLOv3Loss, YOLOv4Loss

__version__ = "0.1.0"

__all__ = [
    *_names,
    "GridObjectnessLoss",
    "QualityFocalLoss",
    "SmoothL1Loss",
    "YOLOv1Loss",
    "YOLOv2Loss",
    "YOLOv3Loss",
    "YOLOv4Loss",
    "register_into",
    "register_loss",
]
