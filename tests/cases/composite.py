"""The objectives of grid detectors: small grids, drawn and made by hand, with their scalar reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from oracle import boxes, classification, coordinates, yolo
from torch import Tensor

import mmdet_losses as ml

CLASSES = 3
ANCHORS = [[(60, 40), (30, 50)], [(14, 20), (24, 12)]]
STRIDES = [32, 16]
SHAPES = [(2, 3), (4, 6)]
"""Two levels over an input of 96 x 64 pixels."""

EMPTY = [0.0, 0.0, 0.0, 0.0, -1.0]
SCENES: dict[str, list[list[float]]] = {
    "no objects": [EMPTY, EMPTY],
    "no entries": [],
    "one object": [[10, 5, 60, 45, 1], EMPTY],
    "empty entry first": [EMPTY, [10, 5, 60, 45, 1]],
    "two objects in a cell": [[36, 4, 62, 30, 0], [33, 10, 61, 27, 2]],
    "two objects of one anchor": [[34, 2, 92, 40, 0], [30, 4, 94, 42, 2]],
    "two objects of one anchor and class": [[34, 2, 92, 40, 2], [30, 4, 94, 42, 2]],
    "centre on a border of cells": [[16, 16, 48, 48, 2], [52, 10, 76, 22, 0]],
    "centre on the image's border": [[80, 40, 112, 88, 1], [-20, -9, 20, 9, 0]],
    "centre outside of the image": [[90, 50, 130, 90, 1], [-50, 10, -10, 30, 0]],
    "whole image": [[0, 0, 96, 64, 0]],
    "no area": [[30, 20, 30, 40, 1], [30, 20, 50, 20, 0], [3, 3, 20, 22, 2], [40, 40, 30, 50, 1]],
    "full": [
        [16.0 * j + 1.5, 16.0 * i + 2.5, 16.0 * j + 13.0 + 2 * i, 16.0 * i + 14.5 + j, float((i + j) % CLASSES)]
        for i in range(4)
        for j in range(6)
    ],
}


def drawn_truths(g: torch.Generator, count: int) -> list[list[float]]:
    """Objects anywhere in the image, of any size."""
    share = torch.rand(count, 4, generator=g, dtype=torch.float64)
    middle, size = share[:, :2] * torch.tensor([96.0, 64.0]), 3 + share[:, 2:] ** 2 * 60
    label = torch.randint(0, CLASSES, (count, 1), generator=g).double()
    return torch.cat([middle - size / 2, middle + size / 2, label], 1).tolist()


@dataclass(frozen=True)
class CompositeCase:
    """An objective in one of its forms.

    Attributes:
        name: Public name of the class.
        channels: Channels of the map of each level.
        shapes: Rows and columns of each level.
        reference: ``(maps, truths) -> terms`` of one image, from the scalar reference.
        options: Options of the constructor.
        frozen: Whether a factor or target is detached, so that finite differences do not give the gradient.
        single: Whether ``pred`` is one map, and not a list.
    """

    name: str
    channels: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    reference: Callable[[Any, Any], dict]
    options: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    single: bool = False

    @property
    def id(self) -> str:
        skip = ("anchors", "strides", "stride")
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items() if key not in skip)])

    def build(self, **more: Any) -> torch.nn.Module:
        return getattr(ml, self.name)(**{**self.options, **more})

    def maps(self, batch: int, seed: int = 0, spread: float = 1.0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        g = torch.Generator().manual_seed(seed)
        drawn = [
            torch.randn(batch, count, *shape, generator=g, dtype=torch.float64) * spread
            for count, shape in zip(self.channels, self.shapes, strict=True)
        ]
        return [one.to(dtype) for one in drawn]

    def pred(self, maps: list[Tensor]) -> Tensor | list[Tensor]:
        return maps[0] if self.single else maps

    def batch(self, n: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
        """Maps and drawn objects, some images with fewer than others, one with none."""
        g = torch.Generator().manual_seed(seed + 100)
        truths = torch.tensor([drawn_truths(g, 5) for _ in range(n)], dtype=torch.float64).reshape(n, 5, 5)
        for image in range(n):
            truths[image, (5 - image) % 6 :, 4] = -1
        return self.maps(n, seed, dtype=dtype), truths.to(dtype)


def anchored(name: str, function: Callable, frozen: bool = False, options: dict | None = None, **reference: Any):
    channels = tuple(len(level) * (5 + CLASSES) for level in ANCHORS)
    return CompositeCase(
        name,
        channels,
        tuple(SHAPES),
        lambda maps, truths: function(maps, truths, ANCHORS, STRIDES, **reference),
        {"anchors": ANCHORS, "strides": STRIDES, **(options or {})},
        frozen,
    )


def celled(name: str, function: Callable, channels: int, frozen: bool = False, options=None, **reference: Any):
    return CompositeCase(
        name,
        (channels,),
        (SHAPES[0],),
        lambda maps, truths: function(maps[0], truths, 32, **reference),
        {"stride": 32, **(options or {})},
        frozen,
        single=True,
    )


def smooth_l1(difference):
    return coordinates.smooth_l1(difference)


FOCAL = {"type": "FocalLoss", "gamma": 2.0, "alpha": 0.25}
DFL = {"type": "DistributionFocalLoss", "loss_weight": 0.25}

COMPOSITE_CASES = [
    celled("GridObjectnessLoss", yolo.grid, 5, frozen=True),
    celled(
        "GridObjectnessLoss",
        yolo.grid,
        4 + CLASSES,
        options={"loss_box": "SmoothL1Loss", "lambda_box": 2.0, "negative_weight": 0.5, "average": "sum"},
        coordinate_loss=smooth_l1,
        lambda_box=2.0,
        negative_weight=0.5,
        average="sum",
    ),
    celled(
        "GridObjectnessLoss",
        yolo.grid,
        4 + CLASSES,
        options={"loss_box": {"type": "GIoULoss"}, "loss_obj": FOCAL, "average": "objects"},
        box_loss=boxes.giou,
        objectness=classification.focal,
        average="objects",
    ),
    celled(
        "GridObjectnessLoss",
        yolo.grid,
        4 * 5 + CLASSES,
        options={"loss_box": "DIoULoss", "loss_dfl": DFL, "reg_max": 4},
        box_loss=boxes.diou,
        reg_max=4,
    ),
    celled(
        "GridObjectnessLoss",
        yolo.grid,
        4 * 5 + 1,
        options={"loss_box": "SmoothL1Loss", "loss_dfl": DFL, "reg_max": 4},
        coordinate_loss=smooth_l1,
        reg_max=4,
    ),
    celled("YOLOv1Loss", yolo.yolo_v1, 10 + CLASSES, frozen=True),
    celled("YOLOv1Loss", yolo.yolo_v1, 10 + CLASSES, options={"rescore": False}, rescore=False),
    celled(
        "YOLOv1Loss",
        yolo.yolo_v1,
        15 + CLASSES,
        frozen=True,
        options={"boxes": 3, "flavor": "darknet", "activation": "logistic"},
        boxes=3,
        half=0.5,
        activation="logistic",
    ),
    celled(
        "YOLOv1Loss",
        yolo.yolo_v1,
        10 + CLASSES,
        options={"activation": "logistic", "predict_sqrt": False, "rescore": False},
        activation="logistic",
        predict_sqrt=False,
        rescore=False,
    ),
    celled(
        "YOLOv1Loss",
        yolo.yolo_v1,
        10 + CLASSES,
        frozen=True,
        options={"predict_sqrt": False, "lambda_coord": 2.0, "lambda_obj": 3.0, "lambda_class": 0.7},
        predict_sqrt=False,
        lambdas=(2.0, 3.0, 0.5, 0.7),
    ),
    anchored("YOLOv2Loss", yolo.yolo_v2, frozen=True),
    anchored("YOLOv2Loss", yolo.yolo_v2, frozen=True, options={"flavor": "paper"}, darknet=False),
    anchored(
        "YOLOv2Loss",
        yolo.yolo_v2,
        options={"rescore": False, "ignore_thr": None, "lambda_prior": 0.01},
        rescore=False,
        ignore_thr=None,
        lambda_prior=0.01,
    ),
    anchored(
        "YOLOv2Loss",
        yolo.yolo_v2,
        options={"flavor": "paper", "units": "image", "loss_class": "cross_entropy", "rescore": False},
        darknet=False,
        units="image",
        class_loss="cross_entropy",
        rescore=False,
    ),
    anchored(
        "YOLOv2Loss",
        yolo.yolo_v2,
        options={"units": "grid", "loss_class": "squared", "rescore": False, "ignore_thr": 0.1},
        units="grid",
        class_loss="squared",
        rescore=False,
        ignore_thr=0.1,
    ),
    anchored("YOLOv3Loss", yolo.yolo_v3),
    anchored("YOLOv3Loss", yolo.yolo_v3, options={"flavor": "paper"}, darknet=False),
    anchored(
        "YOLOv3Loss",
        yolo.yolo_v3,
        options={"coord_scale": False, "ignore_thr": 0.2, "lambda_xy": 2.0, "lambda_wh": 4.0, "lambda_class": 0.5},
        coord_scale=False,
        ignore_thr=0.2,
        lambdas=(2.0, 4.0, 1.0, 1.0, 0.5),
    ),
    anchored(
        "YOLOv3Loss",
        yolo.yolo_v3,
        options={"flavor": "paper", "ignore_thr": 0.1, "lambda_obj": 2.0, "lambda_noobj": 0.3},
        darknet=False,
        ignore_thr=0.1,
        lambdas=(1.0, 1.0, 2.0, 0.3, 1.0),
    ),
    anchored("YOLOv4Loss", yolo.yolo_v4, frozen=True, options={"scale_x_y": [1.05, 1.2]}, scale_x_y=[1.05, 1.2]),
    anchored(
        "YOLOv4Loss",
        yolo.yolo_v4,
        frozen=True,
        options={"flavor": "paper", "scale_x_y": 1.1},
        darknet=False,
        scale_x_y=[1.1, 1.1],
    ),
    anchored(
        "YOLOv4Loss",
        yolo.yolo_v4,
        options={
            "loss_box": {"type": "GIoULoss"},
            "scale_x_y": 1.0,
            "label_smoothing": 0.1,
            "ignore_thr": 0.15,
            "lambda_box": 2.0,
            "iou_thr": 0.1,
        },
        box_loss=boxes.giou,
        scale_x_y=[1.0, 1.0],
        smoothing=0.1,
        ignore_thr=0.15,
        lambda_box=2.0,
        iou_thr=0.1,
    ),
    anchored(
        "YOLOv4Loss",
        yolo.yolo_v4,
        options={"loss_box": "DIoULoss", "flavor": "paper", "scale_x_y": 1.05, "iou_thr": None, "ignore_thr": 0.15},
        box_loss=boxes.diou,
        darknet=False,
        scale_x_y=[1.05, 1.05],
        iou_thr=None,
        ignore_thr=0.15,
    ),
]


def over_composites(cases=COMPOSITE_CASES):
    """Parametrise a test by cases, each under its own name."""
    import pytest

    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def run(case, loss, maps, target, *args, **call):
    """Value and gradients of the maps."""
    leaves = [one.detach().clone().requires_grad_() for one in maps]
    value = loss(case.pred(leaves), target, *args, **call)
    value.sum().backward()
    return value.detach(), [leaf.grad for leaf in leaves]
