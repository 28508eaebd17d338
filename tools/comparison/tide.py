"""What kind of error costs how much AP: TIDE's dAP of boxes (https://arxiv.org/abs/2008.08115).

AP is that of COCO at an IoU of 0.5. A kind's dAP is what AP gains where every error of that kind is put right and all
else stays as it is, so the kinds do not add up to ``1 - AP``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask
from tool_runtime.errors import ToolError

from .results import KINDS

FOREGROUND = 0.5
"""IoU from which on a box finds an object."""
BACKGROUND = 0.1
"""IoU up to which a box touches none."""
MOST = 100
"""Boxes of an image that count, those of the highest scores."""
GONE = -1
"""In place of the class of a box that a correction takes away."""


@dataclass
class Found:
    """A predicted box and what became of it.

    Attributes:
        category: Its class.
        score: Its score.
        hit: Whether it found an object; None where it lies in a crowd, and so does not count.
        kind: Kind of its error, empty where it has none.
        fixed: Class of the object that it finds once its error is put right, ``GONE`` where it then goes.
    """

    category: int
    score: float
    hit: bool | None
    kind: str = ""
    fixed: int = GONE


def dap(
    predictions: Sequence[dict[str, Any]],
    dataset: dict[str, Any],
    *,
    foreground: float = FOREGROUND,
    background: float = BACKGROUND,
    most: int = MOST,
) -> dict[str, float]:
    """Return the dAP of each kind of error, in the unit of AP, 0 to 1.

    As ``tidecv`` computes it, but for classes without an object, which are left out of the mean as COCO does; and boxes
    of equal score stay in the order of their images.

    Args:
        predictions: Boxes in COCO's format of results: ``image_id``, ``category_id``, ``bbox`` and ``score``.
        dataset: COCO's annotations, of the images that were predicted.
        foreground: IoU from which on a box finds an object.
        background: IoU up to which a box touches none.
        most: Boxes of an image that count.

    Returns:
        dAP by the names in ``KINDS``; NaN where putting the errors right leaves nothing to measure.

    Raises:
        ToolError: Where a prediction is of an image that the data set does not have.
    """
    boxes, objects = by_image(predictions, dataset), by_image(dataset["annotations"], dataset)
    found: list[Found] = []
    positives: Counter[int] = Counter()
    missed: Counter[int] = Counter()
    for image in dataset["images"]:
        best = sorted(boxes[image["id"]], key=lambda box: -box["score"])[:most]
        real = [entry for entry in objects[image["id"]] if not entry.get("iscrowd")]
        crowds = [entry for entry in objects[image["id"]] if entry.get("iscrowd")]
        positives.update(entry["category_id"] for entry in real)
        found += judge(best, real, crowds, missed, foreground, background)
    base = mean_ap(found, positives)
    gains = {}
    for kind in KINDS[:-1]:
        gains[kind] = mean_ap([corrected(box) if box.kind == kind else box for box in found], positives) - base
    gains[KINDS[-1]] = mean_ap(found, positives, missed) - base
    # What is put right never costs AP; less than 0 is rounding.
    return {kind: gain if math.isnan(gain) else max(gain, 0.0) for kind, gain in gains.items()}


def by_image(entries: Sequence[dict[str, Any]], dataset: dict[str, Any]) -> dict[Any, list[dict[str, Any]]]:
    """Return boxes by the image that they are in."""
    groups = defaultdict(list)
    for entry in entries:
        groups[entry["image_id"]].append(entry)
    if strangers := groups.keys() - {image["id"] for image in dataset["images"]}:
        raise ToolError(f"Boxes of image {min(strangers)}, which the annotations do not have.")
    return groups


def overlaps(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]], crowd: bool = False) -> np.ndarray:
    """Return the IoU of every pair, ``(len(a), len(b))``; of crowds the share of ``a`` that lies inside."""
    if not a or not b:
        return np.zeros((len(a), len(b)))
    return mask.iou([box["bbox"] for box in a], [box["bbox"] for box in b], [crowd] * len(b))


def judge(
    boxes: Sequence[dict[str, Any]],
    real: Sequence[dict[str, Any]],
    crowds: Sequence[dict[str, Any]],
    missed: Counter[int],
    foreground: float,
    background: float,
) -> list[Found]:
    """Return what became of the boxes of an image, and count the objects that nothing comes near.

    Args:
        boxes: The predictions, best first.
        real: The objects.
        crowds: Regions of objects that were not annotated one by one.
        missed: Counts the missed objects of each class.
        foreground, background: See :func:`dap`.
    """
    iou = overlaps(boxes, real)
    classes = np.array([entry["category_id"] for entry in real])
    same = np.array([[box["category_id"]] for box in boxes]).reshape(-1, 1) == classes.reshape(1, -1)
    taken = np.zeros(len(real), dtype=bool)
    found = []
    for box, row in zip(boxes, iou * same, strict=True):
        free = np.where(taken, 0.0, row)
        hit = bool(len(real)) and free.max() >= foreground
        if hit:
            taken[free.argmax()] = True
        found.append(Found(box["category_id"], box["score"], hit))
    within = overlaps(boxes, crowds, crowd=True) > foreground
    for one, row in zip(found, within, strict=True):
        alike = [crowd["category_id"] == one.category for crowd in crowds]
        if not one.hit and (row & np.array(alike, dtype=bool)).any():
            one.hit = None
    wanted: set[int] = set()
    for number, one in enumerate(found):
        if not one.hit:
            one.kind, target = kind_of(iou[number], same[number], taken, foreground, background)
            # An object has room for one box: the one of the highest score.
            if target is not None and not taken[target] and target not in wanted:
                wanted.add(target)
                one.fixed = real[target]["category_id"]
    missed.update(int(classes[i]) for i in range(len(real)) if not taken[i] and i not in wanted)
    return found


def kind_of(
    iou: np.ndarray, same: np.ndarray, taken: np.ndarray, foreground: float, background: float
) -> tuple[str, int | None]:
    """Return the kind of a box's error, and the object that it should have found.

    Args:
        iou: Its IoU with every object of the image.
        same: Which of them are of its class.
        taken: Which of them other boxes have found.
        foreground, background: See :func:`dap`.
    """
    if not len(iou):
        return "background", None
    own, other = iou * same, iou * ~same
    if background <= own.max() <= foreground:
        return "localisation", int(own.argmax())
    if other.max() >= foreground:
        return "classification", int(other.argmax())
    if (own * taken).max() >= foreground:
        return "duplicate", None
    return ("background" if iou.max() <= background else "both"), None


def corrected(box: Found) -> Found:
    """Return a box without its error."""
    return Found(box.fixed, box.score, None if box.fixed == GONE else True)


def mean_ap(found: Sequence[Found], positives: Counter[int], less: Counter[int] | None = None) -> float:
    """Return the mean AP over the classes that have objects.

    Args:
        found: All boxes.
        positives: The objects of each class.
        less: Of these, how many are not to be found.
    """
    groups = defaultdict(list)
    for box in found:
        if box.hit is not None:
            groups[box.category].append(box)
    left = {category: count - (less or Counter())[category] for category, count in positives.items()}
    return mean_of([ap(groups[category], count) for category, count in left.items() if count or groups[category]])


def mean_of(values: Sequence[float]) -> float:
    """Return the mean, NaN of nothing."""
    return float(np.mean(values)) if values else math.nan


def ap(boxes: Sequence[Found], positives: int) -> float:
    """Return COCO's AP of a class: the mean precision at 101 recalls."""
    if not positives or not boxes:
        return 0.0
    hits = np.array([box.hit for box in sorted(boxes, key=lambda box: -box.score)], dtype=bool)
    true = np.cumsum(hits)
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    reached = np.searchsorted(true / positives, np.arange(101) / 100)
    return float(np.append(precision, 0.0)[reached].mean())
