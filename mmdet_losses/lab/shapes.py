"""Path of version 0.1 of :mod:`mmdet_losses.data.drawings`; until 0.3."""

from ..data.drawings import CLASSES, DrawnObject, ShapesSpec, draw, ensure_shapes

__all__ = ["CLASSES", "DrawnObject", "ShapesSpec", "draw", "ensure_shapes"]
