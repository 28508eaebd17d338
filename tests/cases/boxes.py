"""Losses of boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oracle import boxes
from oracle.dual import freeze

from .case import Case, Sum
from .draw import draw_boxes

PENALTIES = boxes.PENALTIES


def box_case(name: str, function: Callable, frozen: bool = False, **options: Any) -> Case:
    return Case(name, draw_boxes, True, lambda p, t: [function(p, t)], options, frozen, kind="box")


def member(
    name: str, penalties: Callable | Sum, closed: Callable | None = None, frozen: bool = False, **options: Any
) -> Case:
    """A member of the IoU family, with every modifier tested on it.

    Args:
        name: Its class.
        penalties: What it adds to ``1 - IoU``, or all that it is made of.
        closed: Its published formula, where the reference has one; otherwise the sum of its parts.
        frozen: As of :class:`Case`.
        **options: Of the constructor.
    """
    parts = penalties if isinstance(penalties, Sum) else Sum(penalties)
    case = box_case(name, closed or parts.reference(), frozen, **options)
    return replace(case, sum=parts)


def alpha_base(base: str) -> Callable:
    return lambda p, t: boxes.alpha_iou(p, t, base=base)


def with_options(function: Callable, **options: Any) -> Callable:
    return lambda p, t: function(p, t, **options)


def iou_log_cost(x: Any) -> Any:
    return -boxes.log(x) if x > 1e-6 else -boxes.log(1e-6)


def iou_quality(p: Any, t: Any) -> Any:
    return freeze(boxes.pair(p, t).iou) ** 0.5


def wise(p: Any, t: Any) -> Any:
    return boxes.wise_factor(p, t, 3) * boxes.wise_attention(p, t)


def modes_of_nwd() -> list[Case]:
    modes = ("sqrt", "log", "norm_sqrt", "w2")
    return [box_case("NWDLoss", with_options(boxes.wasserstein, mode=mode), mode=mode) for mode in modes]


BOX_CASES = [
    member("IoULoss", Sum(PENALTIES["iou"], iou_log_cost), boxes.iou_log),
    member("IoULoss", PENALTIES["iou"], boxes.iou_linear, mode="linear"),
    member("IoULoss", Sum(PENALTIES["iou"], lambda x: 1 - x * x), boxes.iou_square, mode="square"),
    member("GIoULoss", PENALTIES["giou"], boxes.giou),
    member("DIoULoss", PENALTIES["diou"], boxes.diou),
    member("CIoULoss", PENALTIES["ciou"], boxes.ciou, frozen=True),
    box_case("CIoULoss", lambda p, t: boxes.ciou(p, t, gate=0.5), frozen=True, alpha_gate=0.5),
    member("EIoULoss", PENALTIES["eiou"], boxes.efficient_iou),
    box_case("ExtendedIoULoss", boxes.extended_iou),
    member("FocalEIoULoss", Sum(PENALTIES["eiou"], own=(iou_quality,)), boxes.focal_efficient_iou, frozen=True),
    box_case("FocalEIoULoss", lambda p, t: boxes.focal_efficient_iou(p, t, detach=False), detach=False),
    box_case("AlphaIoULoss", boxes.alpha_iou),
    member("AlphaIoULoss", Sum(PENALTIES["giou"], fixed={"power": 3.0}), alpha_base("giou"), base="giou"),
    box_case("AlphaIoULoss", alpha_base("diou"), base="diou"),
    box_case("AlphaIoULoss", alpha_base("ciou"), frozen=True, base="ciou"),
    box_case("DIoULoss", lambda p, t: boxes.alpha_iou(p, t, 0.5, "diou"), power=0.5),
    member("SIoULoss", PENALTIES["siou"], boxes.siou),
    box_case("InnerIoULoss", with_options(boxes.inner, ratio=0.7)),
    member(
        "InnerIoULoss",
        Sum(PENALTIES["siou"], fixed={"ratio": 1.2}),
        with_options(boxes.inner, ratio=1.2, base=boxes.siou),
        ratio=1.2,
        base="siou",
    ),
    box_case("FocalerIoULoss", boxes.focaler),
    member(
        "FocalerIoULoss",
        Sum(PENALTIES["ciou"], fixed={"interval": (0.1, 0.8)}),
        with_options(boxes.focaler, d=0.1, u=0.8, base=boxes.ciou),
        frozen=True,
        d=0.1,
        u=0.8,
        base="ciou",
    ),
    member("WIoULoss", Sum(PENALTIES["iou"], own=(wise,)), boxes.wise_iou, frozen=True),
    box_case("WIoULoss", with_options(boxes.wise_iou, version=2), frozen=True, version=2),
    box_case("WIoULoss", with_options(boxes.wise_iou, version=1), frozen=True, version=1),
    member("MPDIoULoss", PENALTIES["mpdiou"], boxes.mpdiou),
    box_case("MPDIoULoss", with_options(boxes.mpdiou, height=50.0, width=100.0), img_shape=(50, 100)),
    member("ShapeIoULoss", PENALTIES["shape"], boxes.shape_iou),
    box_case("ShapeIoULoss", with_options(boxes.shape_iou, scale=1.5), scale=1.5),
    member(
        "PowerfulIoULoss", Sum(PENALTIES["powerful"], own=(boxes.powerful_attention,)), boxes.powerful_iou, frozen=True
    ),
    box_case("PowerfulIoULoss", with_options(boxes.powerful_iou, detach=False), detach=False),
    member("PowerfulIoULoss", PENALTIES["powerful"], with_options(boxes.powerful_iou, version=1), version=1),
    box_case("UnifiedIoULoss", with_options(boxes.unified_iou, ratio=2.0), frozen=True),
    member(
        "UnifiedIoULoss",
        Sum(PENALTIES["ciou"], zoom=0.5),
        with_options(boxes.unified_iou, ratio=0.5),
        frozen=True,
        ratio=0.5,
    ),
    box_case(
        "UnifiedIoULoss",
        with_options(boxes.unified_iou, ratio=1.3, focal="focal", base=boxes.giou),
        frozen=True,
        ratio=1.3,
        focal="focal",
        base="giou",
    ),
    member(
        "UnifiedIoULoss",
        Sum(PENALTIES["ciou"], own=(iou_quality,), zoom=1.3),
        with_options(boxes.unified_iou, ratio=1.3, focal="focal-inv"),
        frozen=True,
        ratio=1.3,
        focal="focal-inv",
    ),
    member("InterpIoULoss", boxes.interp_penalties),
    member("InterpIoULoss", with_options(boxes.interp_penalties, alpha=0.5), alpha=0.5),
    box_case("GCDLoss", boxes.gaussian_combined),
    box_case("SDIoULoss", boxes.scale_dynamic, frozen=True),
    box_case(
        "SDIoULoss",
        with_options(boxes.scale_dynamic, delta=0.8, reference=2e4),
        frozen=True,
        delta=0.8,
        area_ref=2e4,
    ),
    box_case(
        "SumLoss",
        lambda p, t: boxes.ciou(p, t) + boxes.wasserstein(p, t),
        frozen=True,
        losses=["CIoULoss", "NWDLoss"],
    ),
    box_case("NWDLoss", boxes.wasserstein),
    *modes_of_nwd(),
]

SIDE_CASES = [
    Case("BoundedIoULoss", draw_boxes, False, boxes.bounded_iou, kind="sides"),
    Case(
        "BoundedIoULoss",
        draw_boxes,
        False,
        with_options(boxes.bounded_iou, beta=0.5, eps=0.0),
        {"beta": 0.5, "eps": 0.0},
        kind="sides",
    ),
]
"""Losses of boxes with one value for each of x, y, width and height."""
