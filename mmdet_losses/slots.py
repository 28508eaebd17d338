"""What a head expects of the loss in one of its slots, told from the default that its own constructor gives the slot.

Heads differ in who reduces a loss, and in what else they want of it. ``loss_bbox=dict(type="IoULoss",
reduction="sum")`` as a default says that the head divides the sum itself; ``return_iou=True``, as in MMYOLO's YOLOv5
and YOLOv7 heads, says that it unpacks ``(loss, iou)``. So heads of other toolboxes and of one's own are known without a
list of them, and without importing them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from .log import warn

TENSOR_ALONE = ("mmdet_losses", "mmdet")
"""Packages whose box losses return one tensor."""


def slots_of(head: Any) -> Iterator[tuple[str, nn.Module]]:
    """Every loss that a module holds, with the name of its slot."""
    if isinstance(head, nn.Module):
        yield from ((name, loss) for name, loss in head.named_children() if name.startswith(("loss", "initial_loss")))


def slot_default(kind: type, slot: str) -> tuple[type | None, Mapping[str, Any]]:
    """The class in the line of ``kind`` whose constructor names a slot, and the default that it gives it.

    Returns:
        ``(None, {})`` where none names it; an empty mapping where its default is no config.
    """
    for base in kind.__mro__:
        init = vars(base).get("__init__")
        if inspect.isfunction(init) and slot in (parameters := inspect.signature(init).parameters):
            default = parameters[slot].default
            return base, default if isinstance(default, Mapping) else {}
    return None, {}


def package(obj: Any) -> str:
    """Name of the package that a class or function is written in."""
    return str(getattr(obj, "__module__", "?")).partition(".")[0]


def returns_tensor_alone(loss: nn.Module) -> bool:
    """Whether it is known that a loss returns one tensor: those of this package and of MMDetection do."""
    return getattr(loss, "return_iou", None) is False or package(type(loss).forward) in TENSOR_ALONE


def reduction_mismatch(head: Any) -> Iterator[str]:
    """A sentence for every slot whose loss takes a mean, while the head expects a sum or one value per element."""
    for slot, loss in slots_of(head):
        if getattr(loss, "reduction", None) != "mean":
            continue
        expected = slot_default(type(head), slot)[1].get("reduction")
        if expected in ("sum", "none"):
            what = "a sum" if expected == "sum" else "one value per element"
            yield (
                f"{slot}={type(loss).__name__} of {type(head).__name__} takes a mean (reduction='mean'), but this head "
                f"expects {what}, as the default of its {slot} gives, and divides itself: a mean is divided a second "
                f'time, and counts far too little. Add reduction="{expected}" to the config of {slot}.'
            )


def wants_iou(head: Any) -> tuple[str, bool]:
    """Whether a head unpacks ``(loss, iou)`` from a box loss that returns one tensor.

    Returns:
        A sentence, empty where it does not; and whether that is certain. It is not where a subclass in another package
        computes the loss in a way of its own.
    """
    kind, loss = type(head), getattr(head, "loss_bbox", None)
    if not isinstance(loss, nn.Module) or not returns_tensor_alone(loss):
        return "", False
    base, default = slot_default(kind, "loss_bbox")
    if not default.get("return_iou"):
        return "", False
    boxes = " of boxes (cx, cy, w, h)" if default.get("bbox_format") == "xywh" else ""
    certain = package(getattr(kind, "loss_by_feat", base)) == package(base)
    return (
        f"loss_bbox={type(loss).__name__} of {kind.__name__} returns a loss alone, but this head unpacks (loss, iou)"
        f"{boxes} from it: training would stop with an error about iterating over a 0-d tensor. Keep "
        f'loss_bbox=dict(type="{default.get("type")}", return_iou=True) of {package(base)}, or use a head that takes '
        "the loss alone, such as YOLOv8Head or RTMDetHead.",
        certain,
    )


def refused(head: Any) -> str:
    """A sentence where MMDetection's GroundingDINOHead holds a loss for which it raises in training; else empty."""
    kind, loss = type(head), getattr(head, "loss_cls", None)
    if not any(base.__name__ == "GroundingDINOHead" for base in kind.__mro__) or loss is None:
        return ""
    qualities = {base.__name__ for base in type(loss).__mro__} | {*getattr(loss, "stands_for", ())}
    if "QualityFocalLoss" not in qualities or package(getattr(kind, "loss_by_feat_single", None)) != "mmdet":
        return ""
    return (
        f"loss_cls={type(loss).__name__} of {kind.__name__} is a loss of labels with qualities, and this head raises "
        "in training for every one, an instance of QualityFocalLoss: it has scores of words and no labels. Choose "
        "FocalLoss."
    )


def check_slots(head: Any) -> None:
    """Stop or warn where a head refuses a loss, or where that returns another thing than the head's default does."""
    if message := refused(head):
        raise ValueError(message)
    message, certain = wants_iou(head)
    if certain:
        raise ValueError(message)
    for warning in filter(None, [message, *reduction_mismatch(head)]):
        warn(warning)
