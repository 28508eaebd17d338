"""The matrix of bad inputs: 36 of them, four dtypes, value and gradient.

A cell holds where the loss and its gradient are finite, or where the call raises the documented ``ValueError``. A NaN
or infinity of the input in a row that counts has to show in the loss. What a loss cannot represent is no failure: the
same rounded input in float64 says whether value and gradient fit into the dtype of the result.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from cases import Case, cast, map_target
from cases.bad import BAD_BOXES, DTYPES, LOGITS, PROBABILITIES
from cases.case import Target
from cases.rotated import BAD_ROTATED
from torch import Tensor

from .core import Tally, measured
from .facts import (
    Applies,
    always,
    by_row,
    has_labels,
    has_scores,
    of_positions,
    of_probabilities,
    of_rotated,
    parts,
    rows_apart,
)

N = 10


@dataclass
class Bad:
    """One call with bad input."""

    pred: Tensor
    target: Target
    weight: Tensor | None = None
    visible: bool = False
    """Whether a row that counts holds NaN or infinity, so that a result which is not finite is right."""
    zero: bool = False
    """Whether loss and gradient have to be 0."""
    negative: bool = False
    """Whether the input is so far from valid that a loss below 0 is right."""


Make = Callable[[Case, torch.dtype], Iterator[Bad]]


@dataclass(frozen=True)
class Entry:
    number: int
    title: str
    applies: Applies
    make: Make


ENTRIES: dict[int, Entry] = {}


def bad(number: int, title: str, applies: Applies) -> Callable[[Make], Make]:
    def decorate(make: Make) -> Make:
        ENTRIES[number] = Entry(number, title, applies, make)
        return make

    return decorate


def first(target: Target, n: int) -> Target:
    return map_target(target, lambda x: x[:n])


@bad(1, "no rows", always)
def no_rows(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(3, dtype)
    for weight in (None, torch.zeros(0)):
        yield Bad(pred[:0], first(target, 0), weight, zero=True)


@bad(2, "all weights 0", always)
def no_weights(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield Bad(*case.batch(N, dtype), torch.zeros(N), zero=True)


BOXES = {
    3: ("match, 100", ["equal, 100", "equal, side 3"]),
    4: ("match, 1e-3", ["equal, 1e-3"]),
    5: ("match, 1e5", ["equal, 1e5", "equal, 1e6"]),
    6: ("prediction of width 0", ["width 0", "1e-3 wide, 1e6 high"]),
    7: ("prediction of height 0", ["height 0"]),
    8: ("prediction a point", ["point", "point far off"]),
    9: ("target without area", ["target without area", "target of width 0"]),
    10: ("both the same point", ["both the same point", "both the same line", "two points"]),
    11: ("both zero", ["both zero", "target zero", "prediction zero"]),
    12: ("inverted in x", ["inverted x"]),
    13: ("inverted in both", ["inverted", "inverted far off"]),
    14: ("target inverted", ["target inverted", "both inverted"]),
    15: ("touching edges", ["touching edge"]),
    16: ("touching corners", ["touching corner", "one common corner", "45 degrees"]),
    17: ("contained", ["contained", "containing", "same centre, crossed"]),
    18: ("disjoint, 1e5", ["disjoint, 1e5", "disjoint, 1e6"]),
    19: ("negative coordinates", ["negative"]),
    20: ("1e20", ["1e20", "1e-3 against 1e6", "1e6 against 1e-3"]),
    21: ("subnormal sides", ["subnormal", "subnormal against 1"]),
}


def box_rows(names: list[str]) -> Make:
    def make(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
        boxes = BAD_ROTATED if of_rotated(case) else BAD_BOXES
        pred, target = (
            torch.tensor([boxes[name][i] for name in names], dtype=torch.float64).to(dtype) for i in range(2)
        )
        held = pred.isfinite().all(1) & target.isfinite().all(1)
        if held.any():
            yield Bad(pred[held], target[held])

    return make


for number, (title, names) in BOXES.items():
    # The same numbers are bad for coordinates too, where nothing is a box.
    bad(number, title, of_positions)(box_rows(names))


def with_junk(case: Case, dtype: torch.dtype, junk: float, deleted: bool) -> Bad:
    pred, target = case.batch(N, dtype)
    pred[2] = junk
    weight = torch.ones(N)
    weight[2] = 0.0 if deleted else 1.0
    return Bad(pred, target, weight, visible=not deleted)


@bad(22, "NaN in a row that counts", always)
def nan_counts(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield with_junk(case, dtype, math.nan, False)


@bad(23, "NaN in a row of weight 0", always)
def nan_deleted(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield with_junk(case, dtype, math.nan, True)


@bad(24, "infinity in a row of weight 0", always)
def infinity_deleted(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield with_junk(case, dtype, math.inf, True)
    yield with_junk(case, dtype, -math.inf, True)


def floating_target(case: Case) -> bool:
    return any(x.is_floating_point() for x in parts(case.batch(2)[1]))


@bad(25, "whole-number dtype of the target", floating_target)
def integer_target(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    yield Bad(pred, map_target(target, lambda x: x.round().long()))


@bad(26, "float64 target", floating_target)
def wide_target(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    yield Bad(pred, cast(target, torch.float64))


@bad(27, "target that requires a gradient", floating_target)
def target_with_gradient(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    yield Bad(pred, map_target(target, lambda x: x.requires_grad_() if x.is_floating_point() else x))


def of_scores(case: Case) -> bool:
    """Predictions are logits or probabilities."""
    return not of_positions(case)


def extremes(case: Case, dtype: torch.dtype, finite: bool) -> list[float]:
    if of_probabilities(case):
        # The gradient at p is of the order of 1 / p, which has to be a number of the dtype.
        return [p for p in PROBABILITIES if p == 0 or p > 1 / torch.finfo(dtype).max]
    return LOGITS if finite else [math.inf, -math.inf]


def filled(case: Case, dtype: torch.dtype, numbers: list[float]) -> Iterator[Bad]:
    """Every number in every place, beside every other."""
    pred, target = case.batch(len(numbers) * 4, dtype)
    if pred.ndim == 1:
        place = torch.arange(len(pred))
    else:
        row, column = torch.arange(len(pred))[:, None], torch.arange(pred[0].numel())
        place = (row // 4 + (row % 4) * column).reshape(pred.shape)
    yield Bad(torch.tensor(numbers, dtype=torch.float64)[place % len(numbers)].to(dtype), target)


@bad(28, "logits of +-100, +-1e4, +-inf; probabilities 0 and 1", of_scores)
def extreme_logits(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield from filled(case, dtype, extremes(case, dtype, True))
    if not of_probabilities(case):
        for made in filled(case, dtype, extremes(case, dtype, False)):
            made.visible = True
            yield made


def classes(pred: Tensor) -> int:
    return pred.shape[-1] if pred.ndim > 1 else 1


def relabelled(case: Case, dtype: torch.dtype, label: Callable[[int], int], every: int) -> Bad:
    pred, target = case.batch(N, dtype)

    def change(x: Tensor) -> Tensor:
        return x if x.is_floating_point() else torch.where(torch.arange(len(x)) % every == 0, label(classes(pred)), x)

    return Bad(pred, map_target(target, change))


@bad(29, "label -1, label -100", has_labels)
def negative_label(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield relabelled(case, dtype, lambda c: -1, 3)
    yield relabelled(case, dtype, lambda c: -100, 3)


@bad(30, "label of the background", has_labels)
def background_label(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield relabelled(case, dtype, lambda c: c, 3)


@bad(31, "label beyond the background", has_labels)
def high_label(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    yield relabelled(case, dtype, lambda c: c + 7, 3)


def of_classes(case: Case) -> bool:
    return case.loss_class.slot == "cls" and case.batch(2)[0].ndim > 1


@bad(32, "background alone", of_classes)
def background_alone(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    yield Bad(pred, map_target(target, lambda x: torch.zeros_like(x) if x.is_floating_point() else x))
    if has_labels(case):
        yield relabelled(case, dtype, lambda c: c, 1)


@bad(33, "index, one-hot and soft target", of_classes)
def target_forms(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, _ = case.batch(N, dtype)
    index = torch.arange(N) % classes(pred)
    one_hot = (index[:, None] == torch.arange(classes(pred))).to(dtype)
    for target in (index, one_hot, 0.3 * one_hot, one_hot.bool(), (index, 0.5 * torch.ones(N, dtype=dtype))):
        yield Bad(pred, target)


@bad(34, "quality 0, 1, above 1, NaN", has_scores)
def qualities(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    for quality in (0.0, 1.0, 1.5, math.nan):
        yield Bad(
            pred,
            map_target(target, lambda x, q=quality: torch.full_like(x, q) if x.is_floating_point() else x * 0),
            visible=math.isnan(quality),
            negative=quality > 1,
        )


@bad(35, "distance 0, last bin, beyond, negative, not finite", lambda case: case.loss_class.slot == "dfl")
def distances(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, _ = case.batch(N, dtype)
    last = pred.shape[1] - 1
    for distance in (0.0, 1e-6, last, last - 1e-3, last + 0.5, 1e4, -1e-6, -1.0, math.nan, math.inf):
        finite = math.isfinite(distance)
        yield Bad(pred, torch.full((N,), distance, dtype=torch.float64).to(dtype), visible=not finite)


@bad(36, "one class, no class, as many rows as classes", of_classes)
def class_counts(case: Case, dtype: torch.dtype) -> Iterator[Bad]:
    pred, target = case.batch(N, dtype)
    c = classes(pred)
    for count in (1, 0):

        def narrow(x: Tensor, count: int = count) -> Tensor:
            if x.ndim == 2:
                return x[:, :count]
            return x if x.is_floating_point() else x.clamp(max=0)

        yield Bad(pred[:, :count], map_target(target, narrow))
    yield Bad(*case.batch(c, dtype))


def call(case: Case, made: Bad, pred: Tensor, target: Target) -> tuple[Tensor, Tensor] | None:
    """Unreduced value and its gradient; None for the documented ``ValueError``."""
    loss = case.build(reduction="none")
    leaf = pred.detach().clone().requires_grad_()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = loss(leaf, target, made.weight)
    except ValueError:
        return None
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def judge(case: Case, entry: Entry, dtype: torch.dtype, made: Bad, tally: Tally) -> None:
    what = f"{entry.number} {entry.title}, {str(dtype).removeprefix('torch.')}"
    try:
        result = call(case, made, made.pred, made.target)
        same = dtype == torch.float64
        wide = result if same else call(case, made, made.pred.double(), cast(made.target, torch.float64))
    except Exception as error:
        tally.holds(f"{what}: {type(error).__name__}: {error}", False)
        return
    if result is None or wide is None:
        tally.holds(f"{what}: an error in one dtype only", (result is None) == (wide is None))
        return
    value, gradient = result
    if made.zero:
        tally.holds(f"{what}, value 0", value == 0)
        tally.holds(f"{what}, gradient 0", gradient == 0)
        tally.holds(what, gradient.shape == made.pred.shape)
        return
    if made.visible:
        # Silent is a gradient that is not finite under a loss that is.
        tally.holds(f"{what}, silent", bool(gradient.isfinite().all()) or not bool(value.isfinite().all()))
        if bool(made.pred.isnan().any()):
            tally.holds(f"{what}, hidden", not bool(value.isfinite().all()))
        return
    fits = wide[0].abs() <= torch.finfo(value.dtype).max
    tally.holds(f"{what}, value in float64", wide[0].isfinite())
    tally.holds(f"{what}, value", value.isfinite() | ~fits)
    if fits.all() or rows_apart(case):
        # A row whose value cannot be represented says nothing of its gradient.
        rows = by_row(fits).all(1) if len(fits) == len(gradient) else fits.all().expand(len(gradient))
        slope = wide[1].abs() <= torch.finfo(gradient.dtype).max
        tally.holds(f"{what}, gradient in float64", wide[1].isfinite())
        tally.holds(f"{what}, gradient", by_row(gradient.isfinite() | ~slope)[rows])
    if case.loss_class.bounds[0] == 0 and not made.negative:
        tally.holds(f"{what}, negative", value.isnan() | (value >= 0))


@measured(20, "bad inputs", "36 inputs, four dtypes, value and gradient: finite, or the documented ValueError", always)
def bad_inputs(case: Case, scale: int, tally: Tally) -> None:
    for entry in ENTRIES.values():
        if entry.applies(case):
            for dtype in DTYPES:
                for made in entry.make(case, dtype):
                    judge(case, entry, dtype, made, tally)
