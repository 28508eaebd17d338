"""Detection losses for MMDetection 3.x, as plain ``nn.Module`` and as functions on torch alone.

Importing this package registers every loss with MMDetection: it is the target of ``custom_imports``.
"""

from .modules import *  # noqa: F403
from .modules import __all__ as _names
from .registry import QualityFocalLoss, SmoothL1Loss, register_loss

__version__ = "0.1.0"

__all__ = [*_names, "QualityFocalLoss", "SmoothL1Loss", "register_loss"]
