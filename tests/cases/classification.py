"""Classification losses."""

from __future__ import annotations

from collections.abc import Callable

from oracle import classification

from .case import Case
from .draw import (
    CLASSES,
    draw_labels,
    draw_labels_background,
    draw_one_hot,
    draw_probability_labels,
    draw_probability_quality,
    draw_probability_soft,
    draw_quality,
    draw_soft,
)


def elements(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, t, strict=True)]


def labelled(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, classification.one_hot(t, len(p)), strict=True)]


CLS_CASES = [
    Case(
        "CrossEntropyLoss",
        draw_labels,
        True,
        lambda p, t: [classification.softmax_cross_entropy(p, t)],
        form="softmax",
    ),
    Case(
        "CrossEntropyLoss",
        draw_labels_background,
        False,
        labelled(classification.bce),
        {"use_sigmoid": True},
        form="labels",
    ),
    Case("CrossEntropyLoss", draw_soft, False, elements(classification.bce), {"use_sigmoid": True}, form="dense"),
    Case("FocalLoss", draw_labels_background, False, labelled(classification.focal), form="labels"),
    Case("FocalLoss", draw_one_hot, False, elements(classification.focal), form="dense"),
    Case(
        "FocalLoss",
        draw_probability_labels,
        False,
        labelled(classification.focal_probability),
        {"activated": True},
    ),
    Case("QualityFocalLoss", draw_quality, True, lambda p, t: [classification.quality_focal(p, *t)], form="labels"),
    Case("QualityFocalLoss", draw_soft, True, lambda p, t: [classification.quality_focal_dense(p, t)], form="dense"),
    Case(
        "QualityFocalLoss",
        draw_probability_quality,
        True,
        lambda p, t: [
            classification.quality_focal_probability(p, [t[1] * y for y in classification.one_hot(t[0], CLASSES)])
        ],
        {"activated": True},
        form="labels",
    ),
    Case(
        "QualityFocalLoss",
        draw_probability_soft,
        True,
        lambda p, t: [classification.quality_focal_probability(p, t)],
        {"activated": True},
        form="dense",
    ),
    Case("VarifocalLoss", draw_soft, False, elements(classification.varifocal)),
    Case(
        "VarifocalLoss",
        draw_soft,
        False,
        elements(lambda z, q: classification.varifocal(z, q, iou_weighted=False)),
        {"iou_weighted": False},
    ),
]
