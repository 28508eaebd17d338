"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

from .base import Loss
from .box import (
    AlphaIoULoss,
    BoxLoss,
    CIoULoss,
    DIoULoss,
    EIoULoss,
    ExtendedIoULoss,
    FocalEIoULoss,
    GIoULoss,
    IoULoss,
    IoUTypeLoss,
    SIoULoss,
)
from .classification import FocalLoss, QualityFocalLoss, VarifocalLoss
from .coordinate import BalancedL1Loss, L1Loss, MSELoss, SmoothL1Loss
from .cross_entropy import CrossEntropyLoss
from .distribution import DistributionFocalLoss
from .errors import OptionError, ReductionError
from .focus import IoUFocus

__all__ = [
    "AlphaIoULoss",
    "BalancedL1Loss",
    "BoxLoss",
    "CIoULoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DistributionFocalLoss",
    "EIoULoss",
    "ExtendedIoULoss",
    "FocalEIoULoss",
    "FocalLoss",
    "GIoULoss",
    "IoUFocus",
    "IoULoss",
    "IoUTypeLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "OptionError",
    "QualityFocalLoss",
    "ReductionError",
    "SIoULoss",
    "SmoothL1Loss",
    "VarifocalLoss",
]
