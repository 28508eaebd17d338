"""One entry per loss and form: how to build it, valid input for it, junk for it, and its scalar reference."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from oracle import boxes, classification, coordinates, distribution
from torch import Tensor

import mmdet_losses as ml

CLASSES = 5
BINS = 9

Target = Tensor | tuple[Tensor, Tensor]
Draw = Callable[[torch.Generator, int], tuple[Tensor, Target]]


@dataclass(frozen=True)
class Case:
    """A loss in one of its forms.

    Attributes:
        name: Public name of the class.
        options: Options of the constructor.
        draw: Valid input of n rows, float64, away from kinks.
        per_row: Whether an unreduced loss has one value per row; else it has the shape of ``pred``.
        reference: ``(pred row, target row) -> the values of the row``, from the scalar reference.
        frozen: Whether a factor is a constant in the gradient, so that differences of values do not give it.
    """

    name: str
    draw: Draw
    per_row: bool
    reference: Callable[[Sequence, Any], Sequence]
    options: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    form: str = ""

    @property
    def id(self) -> str:
        options = [
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self.options.items()
        ]
        return "-".join([self.name, *options, *([self.form] if self.form else [])])

    @property
    def kind(self) -> str:
        """``box``, ``coordinate``, ``dfl`` or ``cls``."""
        if self.draw is draw_boxes:
            return "box"
        return {draw_deltas: "coordinate", draw_bins: "dfl"}.get(self.draw, "cls")

    @property
    def loss_class(self) -> type:
        return getattr(ml, self.name)

    def build(self, **more: Any) -> torch.nn.Module:
        return self.loss_class(**{**self.options, **more})

    def batch(self, n: int = 7, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, Target]:
        pred, target = self.draw(torch.Generator().manual_seed(seed), n)
        return pred.to(dtype), map_target(target, lambda x: x.to(dtype) if x.is_floating_point() else x)

    def result_shape(self, pred: Tensor) -> torch.Size:
        return pred.shape[:1] if self.per_row else pred.shape

    def weight_like_row(self, rows: Tensor) -> Tensor:
        """Row values in a shape that multiplies the unreduced result."""
        return rows if self.per_row else rows[:, None]


def map_target(target: Target, function: Callable[[Tensor], Tensor]) -> Target:
    return tuple(map(function, target)) if isinstance(target, tuple) else function(target)


def target_rows(target: Target) -> list:
    """The target of each row as plain numbers."""
    return list(zip(*(x.tolist() for x in target), strict=True)) if isinstance(target, tuple) else target.tolist()


def spoil(pred: Tensor, target: Target, rows: Tensor) -> tuple[Tensor, Target]:
    """Copies with NaN, infinities and huge values, in turn, in the floating entries of some rows."""
    junk = torch.tensor([math.nan, math.inf, -math.inf, 3e38, 0.0, -7.0], dtype=torch.float64)

    def spoiled(x: Tensor) -> Tensor:
        x = x.clone()
        if x.is_floating_point():
            for k, row in enumerate(rows.nonzero().flatten().tolist()):
                x[row] = junk[k % len(junk)].to(x.dtype)
        else:
            x[rows] = 10**6
        return x

    return spoiled(pred), map_target(target, spoiled)


def never_select(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the path of a CUDA device on a CPU: rows are replaced and nothing reads a value back."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mmdet_losses.") and hasattr(module, "may_select"):
            monkeypatch.setattr(module, "may_select", lambda tensor: False)


def uniform(g: torch.Generator, n: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(n, *shape, generator=g, dtype=torch.float64) * (high - low) + low


def draw_boxes(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Boxes of 4 to 200 pixels with predictions from close to far off."""
    center, size = uniform(g, n, 2, high=500), uniform(g, n, 2, low=4, high=200)
    target = torch.cat([center - size / 2, center + size / 2], 1)
    center = center + size * uniform(g, n, 2, low=-0.7, high=0.7)
    size = size * torch.exp(uniform(g, n, 2, low=-0.7, high=0.7))
    return torch.cat([center - size / 2, center + size / 2], 1), target


def draw_deltas(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 4, generator=g, dtype=torch.float64), torch.randn(n, 4, generator=g, dtype=torch.float64)


def draw_logits(g: torch.Generator, n: int) -> Tensor:
    return 3 * torch.randn(n, CLASSES, generator=g, dtype=torch.float64)


def draw_labels(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Labels of softmax losses, without background."""
    return draw_logits(g, n), torch.randint(0, CLASSES, (n,), generator=g)


def draw_labels_background(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Labels in which the number of classes stands for background."""
    return draw_logits(g, n), torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_one_hot(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return draw_logits(g, n), (uniform(g, n, CLASSES) < 0.3).double()


def draw_soft(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Qualities between 0 and 1, most of them 0."""
    return draw_logits(g, n), uniform(g, n, CLASSES) * (uniform(g, n, CLASSES) < 0.4)


def draw_probability_labels(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return uniform(g, n, CLASSES, low=0.02, high=0.98), torch.randint(0, CLASSES + 1, (n,), generator=g)


def draw_probability_soft(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    _, target = draw_soft(g, n)
    return uniform(g, n, CLASSES, low=0.02, high=0.98), target


def draw_quality(g: torch.Generator, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    pred, label = draw_labels_background(g, n)
    return pred, (label, uniform(g, n))


def draw_probability_quality(g: torch.Generator, n: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    pred, label = draw_probability_labels(g, n)
    return pred, (label, uniform(g, n))


def draw_bins(g: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(n, BINS, generator=g, dtype=torch.float64), uniform(g, n, high=BINS - 1)


def box_case(name: str, function: Callable, frozen: bool = False, **options: Any) -> Case:
    return Case(name, draw_boxes, True, lambda p, t: [function(p, t)], options, frozen)


def coordinate_case(name: str, function: Callable, **options: Any) -> Case:
    def reference(p, t):
        return [function(a - b) for a, b in zip(p, t, strict=True)]

    return Case(name, draw_deltas, False, reference, options)


def elements(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, t, strict=True)]


def labelled(function: Callable) -> Callable:
    return lambda p, t: [function(z, y) for z, y in zip(p, classification.one_hot(t, len(p)), strict=True)]


def alpha_base(base: str) -> Callable:
    return lambda p, t: boxes.alpha_iou(p, t, base=base)


BOX_CASES = [
    box_case("IoULoss", boxes.iou_log),
    box_case("IoULoss", boxes.iou_linear, mode="linear"),
    box_case("IoULoss", boxes.iou_square, mode="square"),
    box_case("GIoULoss", boxes.giou),
    box_case("DIoULoss", boxes.diou),
    box_case("CIoULoss", boxes.ciou, frozen=True),
    box_case("CIoULoss", lambda p, t: boxes.ciou(p, t, gate=0.5), frozen=True, alpha_gate=0.5),
    box_case("EIoULoss", boxes.efficient_iou),
    box_case("ExtendedIoULoss", boxes.extended_iou),
    box_case("FocalEIoULoss", boxes.focal_efficient_iou, frozen=True),
    box_case("FocalEIoULoss", lambda p, t: boxes.focal_efficient_iou(p, t, detach=False), detach=False),
    box_case("AlphaIoULoss", boxes.alpha_iou),
    box_case("AlphaIoULoss", alpha_base("giou"), base="giou"),
    box_case("AlphaIoULoss", alpha_base("diou"), base="diou"),
    box_case("AlphaIoULoss", alpha_base("ciou"), frozen=True, base="ciou"),
    box_case("DIoULoss", lambda p, t: boxes.alpha_iou(p, t, 0.5, "diou"), power=0.5),
    box_case("SIoULoss", boxes.siou),
]

COORDINATE_CASES = [
    coordinate_case("L1Loss", coordinates.l1),
    coordinate_case("MSELoss", coordinates.mse),
    coordinate_case("SmoothL1Loss", coordinates.smooth_l1),
    coordinate_case("SmoothL1Loss", lambda d: coordinates.smooth_l1(d, 1 / 9), beta=1 / 9),
    coordinate_case("SmoothL1Loss", coordinates.l1, beta=0.0),
    coordinate_case("BalancedL1Loss", coordinates.balanced_l1),
    coordinate_case("BalancedL1Loss", lambda d: coordinates.balanced_l1(d, beta=0.11), beta=0.11),
]

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

DFL_CASES = [Case("DistributionFocalLoss", draw_bins, True, lambda p, t: [distribution.dfl(p, t)])]

CASES = COORDINATE_CASES + BOX_CASES + CLS_CASES + DFL_CASES


def over(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrise a test by cases, each under its own name."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def one_per_class() -> list[Case]:
    """The first case of each class."""
    return list({case.name: case for case in reversed(CASES)}.values())[::-1]
