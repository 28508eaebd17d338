"""Detection losses for MMDetection 3.x, as plain ``nn.Module`` and as functions on torch alone.

Importing this package registers every loss with MMDetection: it is the target of ``custom_imports``.
"""

from .modules import (
    AlphaIoULoss,
    BalancedL1Loss,
    CIoULoss,
    CrossEntropyLoss,
    DIoULoss,
    DistributionFocalLoss,
    EIoULoss,
    ExtendedIoULoss,
    FocalEIoULoss,
    FocalLoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    MSELoss,
    SIoULoss,
    VarifocalLoss,
)
from .registry import QualityFocalLoss, SmoothL1Loss

EfficientIoULoss = EIoULoss

__version__ = "0.1.0"

__all__ = [
    "AlphaIoULoss",
    "BalancedL1Loss",
    "CIoULoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DistributionFocalLoss",
    "EIoULoss",
    "EfficientIoULoss",
    "ExtendedIoULoss",
    "FocalEIoULoss",
    "FocalLoss",
    "GIoULoss",
    "IoULoss",
    "L1Loss",
    "MSELoss",
    "QualityFocalLoss",
    "SIoULoss",
    "SmoothL1Loss",
    "VarifocalLoss",
]
