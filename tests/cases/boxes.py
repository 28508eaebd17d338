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
