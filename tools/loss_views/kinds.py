"""Kinds of losses: what facts tell one, and what is drawn of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tool_runtime.errors import ToolError
from torch import nn

from mmdet_losses.modules import AssociativeEmbeddingLoss, Loss, MarginL2Loss, MultiPosCrossEntropyLoss, TripletLoss

from .box_curves import box_panels, rotated_panels
from .choice import Chosen
from .curves import Panel, joined, ready
from .logit_curves import logit_panels
from .other_curves import (
    coordinate_panels,
    corner_panels,
    distribution_panels,
    mask_panels,
    similarity_panels,
    teacher_panels,
    triplet_panels,
)

Panels = Callable[[Sequence[Chosen], Sequence[str] | None], tuple[Panel, ...]]


@dataclass(frozen=True)
class Kind:
    """Losses that can be drawn together.

    Attributes:
        name: What they are of.
        holds: Whether a loss is of this kind, unless one before it holds.
        panels: What is drawn; None where nothing is.
        caption: What is said of all of them.
        instead: Where nothing is drawn, why, and what can be; ``{}`` is the loss.
    """

    name: str
    holds: Callable[[nn.Module], bool]
    panels: Panels | None = None
    caption: str = ""
    instead: str = ""


BOX_CAPTION = (
    "The target is {} pixels{}. The gradient is that with respect to the predicted box, in sides of the target{}."
)
KINDS = (
    Kind(
        "whole objectives",
        lambda loss: loss.slot == "composite",
        instead="{0} takes a head's raw maps and all objects of an image, so there is no curve of it; draw its terms: "
        "a loss of boxes such as CIoULoss, and of logits such as \"dict(type='CrossEntropyLoss', use_sigmoid=True)\"",
    ),
    Kind("boxes", lambda loss: loss.boxes, box_panels, BOX_CAPTION.format("32 x 32", "", "")),
    Kind(
        "rotated boxes",
        lambda loss: loss.slot == "rbox",
        rotated_panels,
        BOX_CAPTION.format("45 x 23", ", its side the root of its area", ", angles in radians"),
    ),
    Kind("coordinates", lambda loss: loss.slot == "bbox", coordinate_panels),
    Kind("logits", lambda loss: loss.slot == "cls", logit_panels),
    Kind(
        "distributions",
        lambda loss: loss.slot == "dfl",
        distribution_panels,
        "The prediction is a normal distribution over the bins, its deviation one bin; what stays is in the middle.",
    ),
    Kind("masks", lambda loss: loss.slot == "mask", mask_panels, "A mask of 64 pixels, 16 of them the object's."),
    Kind(
        "a teacher's logits",
        lambda loss: loss.slot == "ld",
        teacher_panels,
        "The teacher has a normal distribution over 9 bins whose deviation is one bin.",
    ),
    Kind(
        "triplets",
        lambda loss: isinstance(loss, TripletLoss),
        triplet_panels,
        "A batch of three: the anchor, one of its identity and one of another; the loss is the anchor's.",
    ),
    Kind(
        "similarities",
        lambda loss: isinstance(loss, (MarginL2Loss, MultiPosCrossEntropyLoss)),
        similarity_panels,
    ),
    Kind("embeddings of corners", lambda loss: isinstance(loss, AssociativeEmbeddingLoss), corner_panels),
)
"""The first that holds is the kind of a loss."""


def kind_of(chosen: Chosen) -> Kind:
    """The kind of a loss, which its facts as an object tell.

    Raises:
        ToolError: For a loss of a slot of its own, which is registered by somebody else.
    """
    loss = ready(chosen)
    if not isinstance(loss, Loss):
        return kind_of_stock(chosen)
    for kind in KINDS:
        if kind.holds(loss):
            return kind
    raise ToolError(f"{chosen.name} is of no kind that is drawn: its slot is {loss.slot!r}")


def kind_of_stock(chosen: Chosen) -> Kind:
    """The kind of a loss of MMDetection, which has no facts: that of this package's class of its name.

    Raises:
        ToolError: Where its calls are not this package's.
    """
    for kind in KINDS:
        if kind.name in ("boxes", "coordinates") and kind.holds(chosen.cls):
            return kind
    raise ToolError(f"{chosen.line}: of MMDetection's own, losses of boxes and of coordinates are drawn")


def common_kind(chosen: Sequence[Chosen]) -> Kind:
    """The kind of losses that are to be drawn together.

    Raises:
        ToolError: Where they are of several, or there is none.
    """
    if not chosen:
        raise ToolError("LOSS: name one or more losses")
    by_kind: dict[str, list[str]] = {}
    kinds = {}
    for one in chosen:
        kind = kind_of(one)
        kinds[kind.name] = kind
        by_kind.setdefault(kind.name, []).append(one.label)
    if len(kinds) > 1:
        said = "; ".join(f"{joined(names)}: {kind}" for kind, names in by_kind.items())
        raise ToolError(f"losses of one picture have to be of one kind, got {said}: draw them one kind at a time")
    return next(iter(kinds.values()))
