"""Detection losses as pure functions on torch alone: ``(pred, target, *, options) -> unreduced loss``."""

from .beyond_iou import extended_iou_loss
from .classification import (
    quality_focal_loss,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
    softmax_cross_entropy,
    varifocal_loss,
)
from .coordinate import balanced_l1_loss, l1_loss, mse_loss, smooth_l1_loss
from .distribution import distribution_focal_loss
from .geometry import BoxPair, box_pair
from .iou import (
    BASES,
    alpha_iou_loss,
    box_iou_loss,
    ciou_loss,
    ciou_terms,
    diou_loss,
    diou_terms,
    eiou_loss,
    eiou_terms,
    focal_eiou_loss,
    giou_loss,
    giou_terms,
    iou_focus,
    iou_loss,
    no_terms,
    siou_loss,
    siou_terms,
)
from .ranking import average_precision_loss, rank_sort_errors, rank_sort_loss
from .reduce import reduce_loss, weighted_loss

__all__ = [
    "BASES",
    "BoxPair",
    "alpha_iou_loss",
    "average_precision_loss",
    "balanced_l1_loss",
    "box_iou_loss",
    "box_pair",
    "ciou_loss",
    "ciou_terms",
    "diou_loss",
    "diou_terms",
    "distribution_focal_loss",
    "eiou_loss",
    "eiou_terms",
    "extended_iou_loss",
    "focal_eiou_loss",
    "giou_loss",
    "giou_terms",
    "iou_focus",
    "iou_loss",
    "l1_loss",
    "mse_loss",
    "no_terms",
    "quality_focal_loss",
    "rank_sort_errors",
    "rank_sort_loss",
    "reduce_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "siou_loss",
    "siou_terms",
    "smooth_l1_loss",
    "softmax_cross_entropy",
    "varifocal_loss",
    "weighted_loss",
]
