"""Looks at the losses of a head where the head is built.

Stops the commonest mistakes, boxes asked for where deltas come and a loss in a slot that it is not made for, and warns
where a loss trains on something, but hardly on what is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from .heads.flags import misplaced, sigmoid_mismatch, softmax_of_sigmoids
from .heads.kinds import BELONGS, BOXES, COORDINATES, DESCRIBED, SCORES, kind_of, ranks
from .heads.mmdetection import known, passed_to
from .heads.passed import DECODED, UNUSED, Passed
from .log import warn
from .mmrotate import check_rotated_head
from .modules import Loss
from .slots import check_slots, slots_of

DEFAULTS = ("CrossEntropyLoss", "FocalLoss", "IoULoss", "SmoothL1Loss")
"""What the constructors of MMDetection's bases put into slots that a head does not use."""


def check_head(head: Any) -> None:
    """Check that a head passes its losses what they are made for; anything that is no head passes through.

    What could be meant is logged as a warning: a coordinate loss on decoded boxes, a loss with a length in pixels on
    boxes in another unit, a mean where the head expects a sum, a ranking within a level.

    Raises:
        ValueError: For what cannot be meant, such as an IoU-type loss on deltas or a classification loss on boxes.
    """
    if not isinstance(head, nn.Module) or isinstance(head, Loss):
        return
    found = [*said_of_slots(head), *said_of_flags(head)]
    for message, certain in found:
        if certain:
            raise ValueError(message)
    check_slots(head)
    check_rotated_head(head)
    for message, _ in found:
        warn(message)


def said_of_flags(head: Any) -> Iterator[tuple[str, bool]]:
    """Sentences on sigmoid and softmax, each with whether it is certain."""
    for message, certain in (sigmoid_mismatch(head), (softmax_of_sigmoids(head), False)):
        if message:
            yield message, certain


def said_of_slots(head: Any) -> Iterator[tuple[str, bool]]:
    """Sentences on the losses in the slots of a head, each with whether it is certain."""
    for slot, loss in slots_of(head):
        passed = passed_to(head, slot)
        message, certain = misplaced(head, slot, loss) if passed is None else against(head, slot, loss, passed)
        if message:
            yield message, certain
        elif passed is not None:
            said = (other_unit(head, slot, loss, passed), parted(head, slot, loss, passed), reduced(head, slot, loss))
            yield from ((text, False) for text in said if text)


def named(head: Any, slot: str, loss: Any) -> str:
    """A loss in its slot, as a message begins with it."""
    return f"{slot}={type(loss).__name__} of {type(head).__name__}"


def against(head: Any, slot: str, loss: Any, passed: Passed) -> tuple[str, bool]:
    """What speaks against a loss in a slot of which it is known what it gets, and whether it is certain."""
    names, kind = named(head, slot, loss), kind_of(loss)
    if passed is UNUSED:
        own = kind is not None and type(loss).__name__ not in DEFAULTS
        return (f"{names} is never called: the head passes it nothing. Leave it out." if own else ""), False
    if kind is None or kind in passed.fits:
        return "", False
    if kind in passed.odd and kind == COORDINATES and BOXES in passed.fits:
        deltas = "Set reg_decoded_bbox=False for deltas, or choose" if passed is DECODED else "Choose"
        return (
            f"{names} {DESCRIBED[kind]}, but the head passes it {passed.what}: its value depends on the size of the "
            f"objects. {deltas} an IoU-type loss such as GIoULoss.",
            False,
        )
    if kind in passed.odd:
        return "", False
    to_boxes = kind == BOXES and SCORES not in passed.fits
    remedy = passed.instead if to_boxes else instead_of(kind, passed)
    remedy = remedy.format(head=type(head).__name__, slot=slot)
    return f"{names} {DESCRIBED[kind]}, but the head passes it {passed.what}. {remedy}.", True


def instead_of(kind: str, passed: Passed) -> str:
    """What to choose in place of a loss that is not one of boxes."""
    if BOXES in passed.fits:
        choice = "Choose an IoU-type loss such as GIoULoss"
    elif passed.fits == (COORDINATES,):
        choice = "Choose a coordinate loss such as L1Loss"
    else:
        choice = passed.instead
    return f"{choice}. {BELONGS[kind][:-1]}"


def other_unit(head: Any, slot: str, loss: Any, passed: Passed) -> str:
    """A sentence where a box loss whose options hold a length in pixels gets boxes in another unit."""
    unit = loss.unit if isinstance(loss, Loss) else ""
    if not (unit and passed.unit):
        return ""
    return (
        f"{named(head, slot, loss)} compares boxes with a length in {unit}, but the head {passed.unit}: the length "
        "means another one on every level. For another loss, choose one that is the same in every unit, such as "
        f"GIoULoss; to keep this one, {passed.in_pixels}."
    )


def parted(head: Any, slot: str, loss: Any, passed: Passed) -> str:
    """A sentence where a loss ranks the logits of a call, and a call gets a part of the batch."""
    if not (passed.calls and ranks(loss)):
        return ""
    return (
        f"{named(head, slot, loss)} ranks all logits of a call, but the head calls it once per {passed.calls}: objects "
        f"are ranked within their {passed.calls} alone, and their scores do not compare. Use a head that passes the "
        "whole batch at once, FCOSHead or VFNetHead, or a loss that does not rank, such as FocalLoss."
    )


def reduced(head: Any, slot: str, loss: Any) -> str:
    """A sentence where a head needs one value per element, though its constructor does not say so."""
    entry = known(type(head))
    if entry is None or entry.reduces != "none" or getattr(loss, "reduction", "none") == "none":
        return ""
    return (
        f"{named(head, slot, loss)} returns one number (reduction={loss.reduction!r}), but this head needs one value "
        f'per element, and stops without it. Add reduction="none" to the config of {slot}.'
    )


def wants_boxes(loss: Any) -> bool | None:
    """True for a loss of boxes, False for one of coordinates, None for one that is not known."""
    return {BOXES: True, COORDINATES: False}.get(kind_of(loss))
