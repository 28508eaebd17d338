"""The likely causes of a loss that is not finite, in words, from what was saved of its call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..modules.look import count, readable
from .batch import Replayed, tensors_of
from .rows import number_of_rows, row_weight

MANY, MOST = 16, 0.5
"""How many weighted targets have to be looked at, and which part of them are no boxes, before deltas are spoken of."""
NOT_FINITE, NO_BOXES = "not finite", "no boxes"
"""What a training is stopped for."""
GROWN = 10.0
"""How many times larger a loss is at the end of a rise that is spoken of."""
LARGEST = 65504.0
"""The largest number in float16."""


class Case:
    """A saved call with the loss that it was made again by.

    Args:
        content: What was saved.
        loss: The loss, on the CPU.
        again: Its result.
    """

    def __init__(self, content: Mapping[str, Any], loss: Any, again: Replayed) -> None:
        self.content, self.loss = content, loss
        given = content["arguments"]
        self.pred = given.get("pred", given.get("cls_score"))
        self.target, self.weight = given.get("target", given.get("label")), given.get("weight")
        self.avg_factor = given.get("avg_factor")
        self.rows = number_of_rows(loss, self.pred) if isinstance(self.pred, Tensor) else 0
        self.row, self.row_is = again.row, "first bad row"
        if content["stopped for"] == NO_BOXES:
            self.row, self.row_is = first_no_box(self), "first target that is no box"
        if self.row is None:
            self.row = self.first_bad_input()
        if self.row is None and again.losses is not None and len(again.losses):
            self.row, self.row_is = int(again.losses.abs().argmax()), "no row is bad by itself; row of the largest loss"

    def first_bad_input(self) -> int | None:
        """The first row whose inputs are not finite, where rows have no loss of their own."""
        bad = [~x.isfinite().all(1) for x in self.by_rows(self.pred, self.target)]
        found = torch.stack(bad).any(0).nonzero() if bad else ()
        return int(found[0]) if len(found) else None

    def by_rows(self, *values: Any) -> list[Tensor]:
        """The tensors of floats among some values that go by the rows of the prediction, ``(n, *)``."""
        floats = [x for x in tensors_of(values) if x.is_floating_point() and x.numel()]
        return [x.reshape(self.rows, -1) for x in floats if self.rows and x.numel() % self.rows == 0]

    def in_row(self, value: Any) -> list[Tensor]:
        """What the bad row has of an argument; all of it where no row is known."""
        if self.row is None:
            return [x.reshape(-1) for x in tensors_of(value) if x.is_floating_point()]
        return [x[self.row] for x in self.by_rows(value)]

    def not_finite(self, value: Any) -> bool:
        """Whether the bad row of an argument is not finite."""
        return any(not x.isfinite().all() for x in self.in_row(value))

    def where(self) -> str:
        """The row in words."""
        return "" if self.row is None else f" in row {self.row}"


def likely(case: Case) -> list[str]:
    """What may have caused it, the likeliest first."""
    rules: Sequence[Callable[[Case], Iterator[str]]] = (deltas, data, rate, precision, spoiled, factors)
    found = [said for rule in rules for said in rule(case)]
    return found or [
        "the inputs are finite, so it is the formula of the loss: one of its values is not defined, or is too large, "
        "for them. The losses of this package are finite for finite inputs; look at what a loss of your own divides "
        "by, takes the root or the logarithm of"
    ]


def deltas(case: Case) -> Iterator[str]:
    """A loss of boxes whose targets are none."""
    weighted, bad = no_boxes(case)
    certain = weighted >= MANY or bad == weighted or case.content["stopped for"] == NO_BOXES
    if bad > MOST * weighted and certain:
        yield (
            f"deltas where boxes are due: {case.content['loss']['class'].rpartition(':')[2]} takes boxes "
            f"(x1, y1, x2, y2), but of the {weighted} weighted targets of this call {bad} end before they begin or are "
            "all zeros. Decode both prediction and target (reg_decoded_bbox=True in heads that derive from AnchorHead "
            "or BBoxHead), or choose a loss of coordinates such as L1Loss"
        )


def no_boxes(case: Case) -> tuple[int, int]:
    """Weighted targets of a loss of boxes, and how many of them are no boxes."""
    if not getattr(case.loss, "boxes", False) or not readable(case.target, case.weight):
        return 0, 0
    _, weighted, bad = count(case.target, case.weight).tolist()
    return weighted, bad


def first_no_box(case: Case) -> int | None:
    """The first row of weight other than 0 whose target ends before it begins or is all zeros."""
    boxes = case.target.reshape(-1, 4)
    bad = (boxes[:, 2:] < boxes[:, :2]).any(1) | (boxes == 0).all(1)
    counting = row_weight(case.loss, case.pred, case.weight)
    found = (bad if counting is None else bad & counting).nonzero()
    return int(found[0]) if len(found) else None


def data(case: Case) -> Iterator[str]:
    """A box of no size among the objects of the batch."""
    if not case.not_finite(case.target) and not flat_target(case):
        return
    target = f"and the target{case.where()} is {said(case.in_row(case.target))}"
    found = list(boxes_of_no_size(case.content["images"]))
    for box in found:
        yield (
            f"{box}, {target}. Take it out of the annotations, or drop such boxes at the end of the pipeline: "
            "FilterAnnotations(min_gt_bbox_wh=(1, 1))"
        )
    if not found and case.not_finite(case.target):
        yield (
            f"the target{case.where()} is {said(case.in_row(case.target))}, though no object of the batch is known to "
            "have a box of no size: it was made by the head, from an anchor or proposal of no size or in half precision"
        )


def boxes_of_no_size(images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every box of no size of a batch in words."""
    for place, image in enumerate(images):
        for one in image["no_size"]:
            yield (
                f"a box of no size in the data: object {one['object']} of image {image.get('img_path') or place} "
                f"(number {place} of the batch, img_id {image.get('img_id')}) has the box {rounded(one['box'])} after "
                "the pipeline"
            )


def flat_target(case: Case) -> bool:
    """Whether the target of the bad row is a box of no size."""
    if not getattr(case.loss, "boxes", False) or case.row is None:
        return False
    return any(len(x) == 4 and not (x[2:] > x[:2]).all() for x in case.in_row(case.target))


def rate(case: Case) -> Iterator[str]:
    """A loss that grew in the iterations before."""
    rise = risen(case.content["history"])
    if case.not_finite(case.target) or len(rise) < 2 or rise[-1] < GROWN * rise[0]:
        return
    end = f"the prediction{case.where()} was not finite" if case.not_finite(case.pred) else "it was too large for a sum"
    yield (
        f"a learning rate that is too high: the loss grew for {len(rise) - 1} iterations before this one, from "
        f"{rise[0]:.4g} to {rise[-1]:.4g} (learning rate {rates(case)}), until {end}. Lower it, warm it up (LinearLR), "
        "or clip gradients (optim_wrapper.clip_grad)"
    )


def rates(case: Case) -> str:
    """The learning rates."""
    return ", ".join(f"{value:.3g}" for value in case.content["rate"]) or "unknown"


def risen(history: Sequence[float]) -> list[float]:
    """The end of a history in which the values rise, a single step back at a time passed over."""
    values = [value for value in history if math.isfinite(value)]
    place = len(values) - 1
    rise = values[place:]
    while place > 0:
        step = next((step for step in (1, 2) if step <= place and values[place - step] < values[place]), None)
        if step is None:
            break
        place -= step
        rise = values[place:]
    return rise


def precision(case: Case) -> Iterator[str]:
    """A prediction that overflowed in float16."""
    halves = [x for x in tensors_of(case.pred) if x.dtype == torch.float16]
    if (halves or case.content["autocast"] == "float16") and case.not_finite(case.pred):
        yield (
            f"a prediction that overflowed in half precision: pred{case.where()} is {said(case.in_row(case.pred))}, "
            f"and float16 ends at {LARGEST:.0f}. Compute the last layers of the head in float32, or train in bfloat16 "
            '(optim_wrapper.dtype="bfloat16"), which reaches as far as float32'
        )


def spoiled(case: Case) -> Iterator[str]:
    """A prediction that is not finite for no reason that this call shows."""
    if not case.not_finite(case.pred) or any(True for rule in (rate, precision) for _ in rule(case)):
        return
    every = case.by_rows(case.pred)
    share = [f"{int((~x.isfinite().all(1)).sum())} of its {len(x)} rows" for x in every]
    yield (
        f"the prediction{case.where()} is not finite ({', '.join(share) or 'no rows'}), though the loss was in the "
        f"iteration before: the network's weights or its input are not. The last step has spoiled the weights, by a "
        f"learning rate that is too high ({rates(case)}) or a gradient that was not finite, or an image is not finite"
    )


def factors(case: Case) -> Iterator[str]:
    """A weight or a divisor that is not finite."""
    if case.not_finite(case.weight):
        yield f"the weight{case.where()} is {said(case.in_row(case.weight))}: the head made it so"
    factor = case.avg_factor
    number = float(factor.sum()) if isinstance(factor, Tensor) else factor
    if isinstance(number, (int, float)) and not math.isfinite(number):
        yield f"avg_factor is {number}: the head divides by a number that is not finite"


def rounded(values: Any) -> list[float]:
    """Numbers for a sentence."""
    return [float(f"{value:.6g}") for value in values]


def said(rows: Sequence[Tensor]) -> str:
    """A row for a sentence: its values, of many the first that are not finite."""
    texts = []
    for row in rows:
        if row.numel() <= 8:
            texts.append(str(rounded(row.tolist())))
        else:
            bad = (~row.isfinite()).nonzero()[:, 0].tolist()
            shown = ", ".join(f"{float(row[place]):.6g} at {place}" for place in (bad or range(8))[:4])
            texts.append(f"{row.numel()} values ({shown}{', ...' if len(bad) > 4 or not bad else ''})")
    return " and ".join(texts) or "no numbers"
