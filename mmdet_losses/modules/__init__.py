"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

from .base import CATALOGUE, Loss, published
from .beyond_iou import BoundedIoULoss, ExtendedIoULoss, NWDLoss, WassersteinLoss
from .box import BoxLoss, IoUTypeLoss
from .classification import (
    AsymmetricLoss,
    ClassificationLoss,
    FocalLoss,
    GaussianFocalLoss,
    Poly1CrossEntropyLoss,
    Poly1FocalLoss,
    QualityFocalLoss,
    VariFocalLoss,
    VarifocalLoss,
)
from .coordinate import BalancedL1Loss, CoordinateLoss, L1Loss, MSELoss, SmoothL1Loss
from .cross_entropy import CrossEntropyLoss, LabelSmoothLoss
from .custom import CrossEntropyCustomLoss, EqualizationLoss, FocalCustomLoss
from .distribution import DistributionFocalLoss, Integral
from .errors import OptionError, ReductionError
from .focus import IoUFocus, PowerfulFocus, WiseFocus
from .fusing import fuse_losses
from .harmonized import GHMC, GHMR
from .iou import CIoULoss, DIoULoss, EfficientIoULoss, EIoULoss, GIoULoss, IoULoss, SIoULoss
from .iou_modified import AlphaIoULoss, FocalEIoULoss, FocalerIoULoss, InnerIoULoss, WIoULoss
from .iou_recent import MPDIoULoss, PowerfulIoULoss, ShapeIoULoss, UnifiedIoULoss
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
    "AsymmetricLoss",
    "BalancedL1Loss",
    "BoundedIoULoss",
    "BoxLoss",
    "CIoULoss",
    "ClassificationLoss",
    "CoordinateLoss",
    "CrossEntropyCustomLoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DistributionFocalLoss",
    "EIoULoss",
    "EQLV2Loss",
    "EfficientIoULoss",
    "EqualizationLoss",
    "EqualizedFocalLoss",
    "ExtendedIoULoss",
    "FocalCustomLoss",
    "FocalEIoULoss",
    "FocalLoss",
    "FocalerIoULoss",
    "GIoULoss",
    "GaussianFocalLoss",
    "InnerIoULoss",
    "Integral",
    "IoUFocus",
    "IoULoss",
    "IoUTypeLoss",
    "L1Loss",
    "LabelSmoothLoss",
    "Loss",
    "MPDIoULoss",
    "MSELoss",
    "NWDLoss",
    "OptionError",
    "Poly1CrossEntropyLoss",
    "Poly1FocalLoss",
    "PowerfulFocus",
    "PowerfulIoULoss",
    "QualityFocalLoss",
    "RankSortLoss",
    "RankingLoss",
    "ReductionError",
    "SIoULoss",
    "SeesawLoss",
    "ShapeIoULoss",
    "SmoothL1Loss",
    "Stateful",
    "UnifiedIoULoss",
    "VariFocalLoss",
    "VarifocalLoss",
    "WIoULoss",
    "WassersteinLoss",
    "WiseFocus",
    "commit_statistics",
    "fuse_losses",
    "published",
]
