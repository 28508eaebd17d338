"""What can reach the loss in a slot of a head, and which losses it can be meant for."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import BINS, BOXES, COORDINATES, SCORES

ANY_COORDINATE = "choose a coordinate loss such as L1Loss"
ANOTHER_HEAD = "use a head that passes pixels, such as ATSSHead"


@dataclass(frozen=True)
class Passed:
    """What a head passes to a slot.

    Args:
        what: Completes "the head passes it ...".
        fits: Kinds of losses that it is made for; none where the slot is never called.
        odd: Kinds that train on something, so that they are only warned of.
        instead: What to do with an IoU-type loss, completes "{instead}."; of other kinds see :data:`kinds.BELONGS`.
        unit: What a loss with a length in pixels is told of boxes that are in another unit.
        in_pixels: How to get pixels.
        calls: Part of the batch that one call gets, ``'level'`` or ``'image'``; empty for all of it.
    """

    what: str
    fits: tuple[str, ...]
    odd: tuple[str, ...] = ()
    instead: str = f"C{ANY_COORDINATE[1:]}"
    unit: str = ""
    in_pixels: str = ANOTHER_HEAD
    calls: str = ""


DELTAS = Passed(
    "deltas (reg_decoded_bbox=False)",
    (COORDINATES,),
    instead=f"Add reg_decoded_bbox=True to the config of {{head}}, or {ANY_COORDINATE}",
)
DECODED = Passed("decoded boxes in pixels (reg_decoded_bbox=True)", (BOXES,), odd=(COORDINATES,))
ALWAYS_DELTAS = Passed(
    "deltas, whatever reg_decoded_bbox is",
    (COORDINATES,),
    instead=f"C{ANY_COORDINATE[1:]}, or another head, such as RetinaHead or Shared2FCBBoxHead with "
    "reg_decoded_bbox=True",
)
PIXELS = Passed("decoded boxes in pixels", (BOXES,), odd=(COORDINATES,))
STRIDES = Passed(
    "decoded boxes in strides of their level",
    (BOXES,),
    odd=(COORDINATES,),
    unit="divides them by the stride of their level",
)
MIXED = Passed(
    "decoded boxes",
    (BOXES,),
    odd=(COORDINATES,),
    unit="passes points in pixels and sizes in strides",
)
MIXED_BY_FLAG = Passed(MIXED.what, MIXED.fits, MIXED.odd, unit=MIXED.unit, in_pixels="set norm_on_bbox=False")
POINTS = Passed(
    "the boxes around its points, over the stride of their level",
    (BOXES, COORDINATES),
    unit="divides them by the stride of their level",
)
PARTS = Passed(
    "corners as parts of the image",
    (COORDINATES, BOXES),
    unit="divides them by the size of the image",
    in_pixels="put it in loss_iou, which gets pixels",
)
CENTRES = Passed(
    "centres and sizes (cx, cy, w, h) as parts of the image",
    (COORDINATES,),
    instead="Put it in loss_iou, which gets corner boxes, and keep a coordinate loss such as L1Loss in {slot}",
)
SIDES = Passed("logarithms of the distances from a point to the four sides", (COORDINATES,))
OFFSETS = Passed("offsets from a cell and logarithms of sizes", (COORDINATES,))
SIZES = Passed("logarithms of sizes (b, n, 2)", (COORDINATES,))
PLACES = Passed("logits of the place within a cell (b, n, 2)", (SCORES, COORDINATES), instead="Choose CrossEntropyLoss")
MAPS = Passed("maps (b, 2, h, w) of offsets or sizes", (COORDINATES,))
BUCKETS = Passed("offsets from the nearest buckets", (COORDINATES,))
QUALITIES_OF_MASKS = Passed("predicted and true IoUs of masks (n,)", (COORDINATES, SCORES), instead="Choose MSELoss")

LABELS = Passed("class scores and labels", (SCORES,), instead="Choose CrossEntropyLoss or FocalLoss")
LABELS_BY_LEVEL = Passed(LABELS.what, LABELS.fits, instead=LABELS.instead, calls="level")
LABELS_BY_IMAGE = Passed(LABELS.what, LABELS.fits, instead=LABELS.instead, calls="image")
QUALITIES_BY_LEVEL = Passed(
    "class scores, labels and qualities", (SCORES,), instead="Choose QualityFocalLoss", calls="level"
)
DENSE = Passed(
    "class scores and a target of their shape", (SCORES,), odd=(COORDINATES,), instead="Choose CrossEntropyLoss"
)
DENSE_BY_LEVEL = Passed(DENSE.what, DENSE.fits, DENSE.odd, DENSE.instead, calls="level")
HEAT_MAP = Passed(
    "a heat map of probabilities and its target", (SCORES,), odd=(COORDINATES,), instead="Choose GaussianFocalLoss"
)
QUALITIES = Passed(
    "logits and targets from 0 to 1", (SCORES,), odd=(COORDINATES,), instead="Choose CrossEntropyLoss(use_sigmoid=True)"
)
MASKS = Passed(
    "masks and their target", (SCORES,), odd=(COORDINATES,), instead="Choose CrossEntropyLoss(use_sigmoid=True)"
)
DISTRIBUTION = Passed("logits of bins and distances in bins", (BINS,), instead="Choose DistributionFocalLoss")
DISTILLED = Passed("logits of bins of student and teacher", (), odd=(), instead="Choose KnowledgeDistillationKLDivLoss")
UNUSED = Passed("nothing, since it never calls it", ())
