"""Losses of boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle import boxes

from .case import Case
from .draw import draw_boxes


def box_case(name: str, function: Callable, frozen: bool = False, **options: Any) -> Case:
    return Case(name, draw_boxes, True, lambda p, t: [function(p, t)], options, frozen, kind="box")


def alpha_base(base: str) -> Callable:
    return lambda p, t: boxes.alpha_iou(p, t, base=base)


def with_options(function: Callable, **options: Any) -> Callable:
    return lambda p, t: function(p, t, **options)


def modes_of_nwd() -> list[Case]:
    modes = ("sqrt", "log", "norm_sqrt", "w2")
    return [box_case("NWDLoss", with_options(boxes.wasserstein, mode=mode), mode=mode) for mode in modes]


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
    box_case("InnerIoULoss", with_options(boxes.inner, ratio=0.7)),
    box_case("InnerIoULoss", with_options(boxes.inner, ratio=1.2, base=boxes.siou), ratio=1.2, base="siou"),
    box_case("FocalerIoULoss", boxes.focaler),
    box_case(
        "FocalerIoULoss",
        with_options(boxes.focaler, d=0.1, u=0.8, base=boxes.ciou),
        frozen=True,
        d=0.1,
        u=0.8,
        base="ciou",
    ),
    box_case("WIoULoss", boxes.wise_iou, frozen=True),
    box_case("WIoULoss", with_options(boxes.wise_iou, version=2), frozen=True, version=2),
    box_case("WIoULoss", with_options(boxes.wise_iou, version=1), frozen=True, version=1),
    box_case("MPDIoULoss", boxes.mpdiou),
    box_case("MPDIoULoss", with_options(boxes.mpdiou, height=50.0, width=100.0), img_shape=(50, 100)),
    box_case("ShapeIoULoss", boxes.shape_iou),
    box_case("ShapeIoULoss", with_options(boxes.shape_iou, scale=1.5), scale=1.5),
    box_case("PowerfulIoULoss", boxes.powerful_iou, frozen=True),
    box_case("PowerfulIoULoss", with_options(boxes.powerful_iou, detach=False), detach=False),
    box_case("PowerfulIoULoss", with_options(boxes.powerful_iou, version=1), version=1),
    box_case("UnifiedIoULoss", with_options(boxes.unified_iou, ratio=2.0), frozen=True),
    box_case("UnifiedIoULoss", with_options(boxes.unified_iou, ratio=0.5), frozen=True, ratio=0.5),
    box_case(
        "UnifiedIoULoss",
        with_options(boxes.unified_iou, ratio=1.3, focal="focal", base=boxes.giou),
        frozen=True,
        ratio=1.3,
        focal="focal",
        base="giou",
    ),
    box_case(
        "UnifiedIoULoss",
        with_options(boxes.unified_iou, ratio=1.3, focal="focal-inv"),
        frozen=True,
        ratio=1.3,
        focal="focal-inv",
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
