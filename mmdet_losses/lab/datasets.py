"""Path of version 0.1 of :mod:`mmdet_losses.data.datasets`, which saved configs import; until 0.3."""

from ..data.datasets import BCCDDataset, CheckedCocoDataset, ShapesDataset

__all__ = ["BCCDDataset", "CheckedCocoDataset", "ShapesDataset"]
