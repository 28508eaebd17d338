"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

from .base import CATALOGUE, Loss, published
from .beyond_iou import ExtendedIoULoss
from .box import BoxLoss, IoUTypeLoss
from .classification import ClassificationLoss, FocalLoss, QualityFocalLoss, VarifocalLoss
from .coordinate import BalancedL1Loss, CoordinateLoss, L1Loss, MSELoss, SmoothL1Loss
from .cross_entropy import CrossEntropyLoss
from .distribution import DistributionFocalLoss
from .errors import OptionError, ReductionError
from .focus import IoUFocus
from .harmonized import GHMC, GHMR
from .iou import CIoULoss, DIoULoss, EfficientIoULoss, EIoULoss, GIoULoss, IoULoss, SIoULoss
from .iou_modified import AlphaIoULoss, FocalEIoULoss
from .longtail import EQLV2Loss, EqualizedFocalLoss, SeesawLoss
from .ranking import APLoss, RankingLoss, RankSortLoss
from .state import Annealed, Stateful, commit_statistics

__all__ = [
    "CATALOGUE",
    "GHMC",
    "GHMR",
    "APLoss",
    "AlphaIoULoss",
    "Annealed",
    "BalancedL1Loss",
    "BoxLoss",
    "CIoULoss",
    "ClassificationLoss",
    "CoordinateLoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DistributionFocalLoss",
    "EIoULoss",
    "EQLV2Loss",
    "EfficientIoULoss",
    "EqualizedFocalLoss",
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
    "RankSortLoss",
    "RankingLoss",
    "ReductionError",
    "SIoULoss",
    "SeesawLoss",
    "SmoothL1Loss",
    "Stateful",
    "VarifocalLoss",
    "commit_statistics",
    "published",
]
