"""What a head says of itself in its attributes, whoever wrote it: ``use_sigmoid_cls``, ``reg_decoded_bbox``."""

from __future__ import annotations

from typing import Any

from .kinds import BOXES, SCORES, WHOLE, kind_of
from .mmdetection import decodes, is_stock

SCORE_SLOTS = (
    "initial_loss_cls",
    "loss_center_heatmap",
    "loss_centerness",
    "loss_cls",
    "loss_conf",
    "loss_heatmap",
    "loss_mask",
    "loss_obj",
    "loss_seg",
)
"""Slots whose name says that no boxes come."""

BOX_SLOTS = ("loss_bbox", "loss_box", "loss_reg")

SOFTMAX_FORMS = ("CrossEntropyLoss", "FocalLoss", "LabelSmoothLoss", "Poly1CrossEntropyLoss", "Poly1FocalLoss")
"""Losses with a softmax form too."""


def decides_channels(loss: Any) -> bool:
    """Whether the loss says how many channels its head predicts, and how they are read."""
    return bool(getattr(loss, "custom_cls_channels", False))


def predicts_as_stock(kind: type) -> bool:
    """Whether a head turns its logits into scores as MMDetection does."""
    methods = [getattr(kind, name, None) for name in ("predict_by_feat", "_predict_by_feat_single")]
    found = [method for method in methods if method is not None]
    return bool(found) and all(str(method.__module__).startswith("mmdet.models.") for method in found)


def sigmoid_mismatch(head: Any) -> tuple[str, bool]:
    """Whether a head and its classification loss disagree on sigmoid or softmax.

    Returns:
        A sentence, empty where they agree; and whether that is certain. It is not where the head turns its logits into
        scores in a way of its own.
    """
    kind, loss = type(head), getattr(head, "loss_cls", None)
    flag, form = getattr(head, "use_sigmoid_cls", None), getattr(loss, "use_sigmoid", None)
    if not (isinstance(flag, bool) and isinstance(form, bool)) or flag is form or decides_channels(loss):
        return "", False
    names = f"loss_cls={type(loss).__name__} of {kind.__name__}"
    if form:
        message = (
            f"{names} is a loss of sigmoids, but the head's config of loss_cls does not say so, and the head reads it "
            "there, with False as default (use_sigmoid_cls=False): it predicts one more channel, for background, and "
            "reads its scores with a softmax. Add use_sigmoid=True to the config of loss_cls."
        )
    else:
        message = (
            f"{names} is a loss of a softmax (use_sigmoid=False), but the head has no channel for background and reads "
            "its scores with sigmoids (use_sigmoid_cls=True). Choose a loss of sigmoids, or add use_sigmoid=True to "
            "the config of loss_cls."
        )
    return message, predicts_as_stock(kind)


def softmax_of_sigmoids(head: Any) -> str:
    """A sentence where a two-stage head trains sigmoids of all its channels and is tested with a softmax."""
    kind, loss = type(head), getattr(head, "loss_cls", None)
    lines = [base.__name__ for base in kind.__mro__ if is_stock(base)]
    if "BBoxHead" not in lines or "DIIHead" in lines or not predicts_as_stock(kind):
        return ""
    if getattr(loss, "use_sigmoid", None) is not True or decides_channels(loss) or kind_of(loss) != SCORES:
        return ""
    name = type(loss).__name__
    softmax = f'dict(type="{name}", use_sigmoid=False)' if name in SOFTMAX_FORMS else 'dict(type="CrossEntropyLoss")'
    return (
        f"loss_cls={name} of {kind.__name__} trains a sigmoid for each of its num_classes + 1 channels, but this head "
        "reads its scores with a softmax: two logits of -4, surely background in training, become scores of 0.5. Write "
        f"loss_cls={softmax}, or, for sigmoids in training and in the test, "
        'loss_cls=dict(type="CrossEntropyCustomLoss", use_sigmoid=True, num_classes=...).'
    )


def misplaced(head: Any, slot: str, loss: Any) -> tuple[str, bool]:
    """What the names of a slot and the flags of a head that nobody knows say against a loss.

    Returns:
        A sentence, empty where there is nothing; and whether that is certain.
    """
    kind, names = kind_of(loss), f"{slot}={type(loss).__name__} of {type(head).__name__}"
    if kind == BOXES and slot in SCORE_SLOTS:
        message = f"{names} is a loss of boxes in a slot of scores. Choose a classification loss, such as FocalLoss."
        return message, True
    if kind == WHOLE and slot in SCORE_SLOTS + BOX_SLOTS:
        message = f"{names} is the whole objective of a detector, and takes a head's raw maps: it fits no slot."
        return message, True
    if kind == SCORES and slot in BOX_SLOTS:
        return (
            f"{names} is a classification loss in a slot of boxes. Choose a loss of boxes such as GIoULoss, or one of "
            "coordinates such as L1Loss, as the head passes.",
            False,
        )
    flag = getattr(head, "reg_decoded_bbox", None)
    if kind == BOXES and slot == "loss_bbox" and flag is False and not decodes(type(head)):
        return (
            f"{names} needs decoded boxes, but the head says reg_decoded_bbox=False, and computes its loss in a way of "
            "its own. If it passes deltas, let it decode them, or choose a coordinate loss such as L1Loss; if it "
            "decodes, let it say reg_decoded_bbox=True.",
            False,
        )
    return "", False
