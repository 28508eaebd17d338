"""Classification losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from oracle import classification

from .case import Case
from .draw import (
    CLASSES,
    draw_distribution,
    draw_heat,
    draw_heat_logits,
    draw_labels,
    draw_labels_background,
    draw_one_hot,
    draw_probability_labels,
    draw_probability_quality,
    draw_probability_soft,
    draw_probability_softmax,
    draw_quality,
    draw_soft,
)


def elements(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, t, strict=True)]


def labelled(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, classification.one_hot(t, len(p)), strict=True)]


PER_CLASS = [0.25, 0.5, 0.75, 0.125, 1.0]
FREQUENCY = [0.001, 0.5, 0.0001, 0.00176, 0.00178]


def per_class(function: Callable) -> Callable:
    """Of a function of a logit, its target and the number of its class."""
    return lambda p, t: [
        function(z, y, own) for z, y, own in zip(p, classification.one_hot(t, len(p)), PER_CLASS, strict=True)
    ]


def smoothed(form: Callable, share: float, floor: float) -> Callable:
    """Cross-entropy of a row, with its label smoothed."""
    return lambda p, t: form(p, classification.smooth(classification.one_hot(t, len(p)), share, floor))


softmax = classification.softmax_cross_entropy_dense


def sigmoids(p: Sequence, y: Sequence[float]) -> list:
    return [classification.bce(z, q) for z, q in zip(p, y, strict=True)]


def labels_case(name: str, reference: Callable, **options: Any) -> Case:
    """Values per class, of labels with background."""
    return Case(name, draw_labels_background, False, reference, options, form="labels")


def dense_case(name: str, function: Callable, **options: Any) -> Case:
    """Values per class, of a target of 0 and 1."""
    return Case(name, draw_one_hot, False, elements(function), options, form="dense")


def softmax_case(name: str, function: Callable, **options: Any) -> Case:
    """A value per row, of labels without background."""
    return Case(name, draw_labels, True, lambda p, t: [function(p, t)], options, form="labels")


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
    # Focal losses: of a softmax, with alpha per class, and with the poly-1 term.
    labels_case("FocalLoss", per_class(lambda z, y, a: classification.focal(z, y, alpha=a)), alpha=PER_CLASS),
    dense_case("FocalLoss", lambda z, y: 2 * classification.focal(z, y, 1.5, 0.5), alpha=None, gamma=1.5),
    softmax_case("FocalLoss", lambda p, t: classification.softmax_focal(p, t, alpha=0.25), use_sigmoid=False),
    softmax_case(
        "FocalLoss",
        lambda p, t: classification.softmax_focal(p, t, alpha=PER_CLASS[t]),
        use_sigmoid=False,
        alpha=PER_CLASS,
    ),
    Case(
        "FocalLoss",
        draw_distribution,
        True,
        lambda p, t: [classification.softmax_focal_dense(p, t)],
        {"use_sigmoid": False, "alpha": None},
        form="dense",
    ),
    Case(
        "FocalLoss",
        draw_probability_softmax,
        True,
        lambda p, t: [classification.softmax_focal_probability(p, t, alpha=0.25)],
        {"use_sigmoid": False, "activated": True},
        form="labels",
    ),
    labels_case("Poly1FocalLoss", labelled(classification.poly1_focal)),
    dense_case(
        "Poly1FocalLoss",
        lambda z, y: classification.poly1_focal(z, y, 0.5, (0.75, 0.25)),
        epsilon=0.5,
        weigh_poly=True,
    ),
    softmax_case(
        "Poly1FocalLoss",
        lambda p, t: classification.softmax_focal(p, t, alpha=0.25) + classification.softmax_miss(p, t) ** 3,
        use_sigmoid=False,
    ),
    softmax_case("Poly1CrossEntropyLoss", classification.poly1_cross_entropy),
    softmax_case(
        "Poly1CrossEntropyLoss",
        lambda p, t: PER_CLASS[t] * classification.poly1_cross_entropy(p, t, 2.0),
        epsilon=2.0,
        alpha=PER_CLASS,
    ),
    dense_case(
        "Poly1CrossEntropyLoss",
        lambda z, y: classification.bce(z, y) + classification.sigmoid(z if y == 0 else -z),
        use_sigmoid=True,
    ),
    # Smoothed labels.
    softmax_case("CrossEntropyLoss", smoothed(softmax, 0.1, 0.1 / CLASSES), label_smoothing=0.1),
    Case(
        "CrossEntropyLoss",
        draw_distribution,
        True,
        lambda p, t: [softmax(p, classification.smooth(t, 0.1, 0.1 / CLASSES))],
        {"label_smoothing": 0.1},
        form="dense",
    ),
    labels_case("CrossEntropyLoss", smoothed(sigmoids, 0.1, 0.05), use_sigmoid=True, label_smoothing=0.1),
    Case(
        "CrossEntropyLoss",
        draw_soft,
        False,
        lambda p, t: sigmoids(p, classification.smooth(t, 0.1, 0.1 / CLASSES)),
        {"use_sigmoid": True, "label_smoothing": 0.1, "smoothing_mode": "uniform"},
        form="dense",
    ),
    softmax_case("LabelSmoothLoss", smoothed(softmax, 0.1, 0.1 / CLASSES)),
    softmax_case(
        "LabelSmoothLoss",
        lambda p, t: softmax(p, [(y + 0.25 / CLASSES) / 1.25 for y in classification.one_hot(t, CLASSES)]),
        label_smooth_val=0.25,
        mode="classy_vision",
    ),
    dense_case("LabelSmoothLoss", lambda z, y: classification.bce(z, 0.8 * y + 0.1), mode="multi_label"),
    # Asymmetric, of a heat map, and for long tails.
    labels_case("AsymmetricLoss", labelled(classification.asymmetric)),
    dense_case(
        "AsymmetricLoss",
        lambda z, y: classification.asymmetric(z, y, 2.0, 0.0, 0.0),
        gamma_neg=2.0,
        gamma_pos=0.0,
        clip=0.0,
    ),
    Case(
        "AsymmetricLoss",
        draw_labels_background,
        False,
        labelled(lambda z, y: classification.asymmetric(z, y, detach=True)),
        {"detach_focus": True},
        frozen=True,
        form="labels",
    ),
    Case(
        "AsymmetricLoss",
        draw_probability_labels,
        False,
        labelled(classification.asymmetric_probability),
        {"activated": True},
        form="labels",
    ),
    Case("GaussianFocalLoss", draw_heat, False, elements(classification.gaussian_focal), {"activated": True}),
    Case(
        "GaussianFocalLoss",
        draw_heat_logits,
        False,
        elements(
            lambda z, y: (
                (0.25 if y == 1 else 0.75) * classification.gaussian_focal(classification.sigmoid(z), y, 1.5, 3.0)
            )
        ),
        {"activated": False, "alpha": 1.5, "gamma": 3.0, "pos_weight": 0.25, "neg_weight": 0.75},
    ),
    labels_case(
        "EqualizationLoss",
        lambda p, t: classification.equalization(p, classification.one_hot(t, CLASSES), FREQUENCY),
        class_frequency=FREQUENCY,
    ),
    Case(
        "EqualizationLoss",
        draw_one_hot,
        False,
        lambda p, t: classification.equalization(p, t, FREQUENCY, 0.3),
        {"class_frequency": FREQUENCY, "lambda_": 0.3},
        form="dense",
    ),
    # With hooks for heads.
    softmax_case("CrossEntropyCustomLoss", classification.softmax_cross_entropy, num_classes=CLASSES),
    labels_case("CrossEntropyCustomLoss", labelled(classification.bce), use_sigmoid=True, num_classes=CLASSES),
    labels_case("FocalCustomLoss", labelled(classification.focal), num_classes=CLASSES),
]

REQUIRED = {
    "CrossEntropyCustomLoss": {"num_classes": CLASSES},
    "EqualizationLoss": {"class_frequency": FREQUENCY},
    "FocalCustomLoss": {"num_classes": CLASSES},
    "SumLoss": {"losses": ["CIoULoss", "NWDLoss"]},
}
"""Options without a default that could be used."""
