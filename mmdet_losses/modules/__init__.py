"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

from .base import CATALOGUE, Loss, published
from .boxes.family import BoxLoss, IoUTypeLoss
from .boxes.focus import IoUFocus, PowerfulFocus, WiseFocus
from .boxes.members import (
    CIoULoss,
    DIoULoss,
    EfficientIoULoss,
    EIoULoss,
    GIoULoss,
    IoULoss,
    MPDIoULoss,
    PowerfulIoULoss,
    ShapeIoULoss,
    SIoULoss,
)
from .boxes.modified import AlphaIoULoss, FocalEIoULoss, FocalerIoULoss, InnerIoULoss, UnifiedIoULoss, WIoULoss
from .boxes.others import BoundedIoULoss, ExtendedIoULoss, NWDLoss, WassersteinLoss
from .classes.base import ClassificationLoss
from .classes.cross_entropy import CrossEntropyLoss, LabelSmoothLoss
from .classes.focal import AsymmetricLoss, FocalLoss, Poly1CrossEntropyLoss, Poly1FocalLoss
from .classes.head_channels import CrossEntropyCustomLoss, EqualizationLoss, FocalCustomLoss
from .classes.heat_map import GaussianFocalLoss
from .classes.long_tail import EQLV2Loss, EqualizedFocalLoss, SeesawLoss
from .classes.quality import QualityFocalLoss, VariFocalLoss, VarifocalLoss
from .classes.ranking import APLoss, RankingLoss, RankSortLoss
from .coordinate import BalancedL1Loss, CoordinateLoss, L1Loss, MSELoss, SmoothL1Loss
from .distribution import DistributionFocalLoss, Integral
from .errors import OptionError, ReductionError
from .fusing import fuse_losses
from .harmonized import GHMC, GHMR
from .moved import keep_paths
from .state import Annealed, Stateful, commit_statistics

keep_paths(__name__)

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
