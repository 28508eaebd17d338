"""Objectives of grid detectors for one image, with loops over cells, anchors and classes.

Written from the papers and from what darknet's layers do. A map is ``map[channel][row][column]`` of numbers, a truth is
``(x1, y1, x2, y2, label)`` in pixels. Every function returns the named terms of one image.
"""

import math
from collections.abc import Callable, Sequence

from . import boxes as box_oracle
from .classification import bce, sigmoid
from .distribution import dfl
from .dual import Number, exp, freeze, log, sqrt

Map = Sequence[Sequence[Sequence[Number]]]
Truth = Sequence[float]


def objects(truths: Sequence[Truth]) -> list[Truth]:
    """Truths that are objects: with a label, and with an area."""
    return [t for t in truths if t[4] >= 0 and t[2] > t[0] and t[3] > t[1]]


def centre(t: Sequence[Number]) -> tuple[Number, Number, Number, Number]:
    return (t[0] + t[2]) / 2, (t[1] + t[3]) / 2, t[2] - t[0], t[3] - t[1]


def cell_of(t: Truth, stride: float, height: int, width: int) -> tuple[int, int]:
    """Row and column of the cell that holds the centre."""
    cx, cy, _, _ = centre(t)
    return min(max(math.floor(cy / stride), 0), height - 1), min(max(math.floor(cx / stride), 0), width - 1)


def iou(a: Sequence[Number], b: Sequence[Number]) -> float:
    """IoU as a constant."""
    a, b = [freeze(x) for x in a[:4]], [freeze(x) for x in b[:4]]
    if a[2] <= a[0] or a[3] <= a[1]:
        return 0.0
    return box_oracle.pair(a, b).iou


def shape_iou(t: Truth, anchor: Sequence[float]) -> float:
    _, _, w, h = centre(t)
    shared = min(w, anchor[0]) * min(h, anchor[1])
    return shared / (w * h + anchor[0] * anchor[1] - shared)


def offset(value: float, stride: float, index: int) -> float:
    return min(max(value / stride - index, 0.0), 1.0)


def softmax(z: Sequence[Number]) -> list[Number]:
    top = max(freeze(x) for x in z)
    powers = [exp(x - top) for x in z]
    total = sum(powers)
    return [x / total for x in powers]


def yolo_v1(
    m: Map,
    truths: Sequence[Truth],
    stride: float,
    boxes: int = 2,
    activation: str = "linear",
    predict_sqrt: bool = True,
    rescore: bool = True,
    half: float = 1.0,
    lambdas: Sequence[float] = (5.0, 1.0, 0.5, 1.0),
) -> dict[str, Number]:
    """1506.02640, equation 3; ``half`` is 0.5 for darknet's detection layer."""
    height, width = len(m[0]), len(m[0][0])
    classes = len(m) - 5 * boxes
    image_w, image_h = width * stride, height * stride
    owner: dict[tuple[int, int], Truth] = {}
    for t in objects(truths):
        owner.setdefault(cell_of(t, stride, height, width), t)  # a later object of the same cell is lost
    coord = obj = noobj = cls = 0.0
    for i in range(height):
        for j in range(width):
            raw = [m[k][i][j] for k in range(len(m))]
            drawn = []
            for b in range(boxes):
                x, y, w, h, c = raw[5 * b : 5 * b + 5]
                if activation == "logistic":
                    x, y, c = sigmoid(x), sigmoid(y), sigmoid(c)
                    rw, rh = sigmoid(w), sigmoid(h)
                    if not predict_sqrt:
                        rw, rh = sqrt(rw), sqrt(rh)
                elif predict_sqrt:
                    rw, rh = w, h
                else:
                    rw = sqrt(w) if w > 1e-6 else math.sqrt(1e-6)
                    rh = sqrt(h) if h > 1e-6 else math.sqrt(1e-6)
                drawn.append((x, y, rw, rh, c))
            score = raw[5 * boxes :]
            if activation == "logistic":
                score = softmax(score)
            t = owner.get((i, j))
            best = -1
            if t is not None:
                cx, cy, w, h = centre(t)
                overlaps, distances = [], []
                for x, y, rw, rh, _ in drawn:
                    px, py = (freeze(x) + j) * stride, (freeze(y) + i) * stride
                    pw, ph = freeze(rw) ** 2 * image_w, freeze(rh) ** 2 * image_h
                    overlaps.append(iou((px - pw / 2, py - ph / 2, px + pw / 2, py + ph / 2), t))
                    distances.append(
                        math.hypot((px - cx) / image_w, (py - cy) / image_h, (pw - w) / image_w, (ph - h) / image_h)
                    )
                overlap = max(overlaps)
                best = overlaps.index(overlap) if overlap > 0 else distances.index(min(distances))
                x, y, rw, rh, c = drawn[best]
                coord += (x - offset(cx, stride, j)) ** 2 + (y - offset(cy, stride, i)) ** 2
                coord += (rw - math.sqrt(w / image_w)) ** 2 + (rh - math.sqrt(h / image_h)) ** 2
                obj += (c - (overlaps[best] if rescore else 1.0)) ** 2
                for k in range(classes):
                    cls += (score[k] - float(k == t[4])) ** 2
            for b, (*_, c) in enumerate(drawn):
                if b != best:
                    noobj += c**2
    names = ("loss_coord", "loss_obj", "loss_noobj", "loss_cls")
    sums = (coord, obj, noobj, cls)
    return {name: weight * half * value for name, weight, value in zip(names, lambdas, sums, strict=True)}


Place = tuple[int, int, int, int]  # level, row, column, anchor


def places(maps: Sequence[Map], anchors: Sequence[Sequence], strides: Sequence[float]) -> list[Place]:
    return [
        (level, i, j, a)
        for level, m in enumerate(maps)
        for i in range(len(m[0]))
        for j in range(len(m[0][0]))
        for a in range(len(anchors[level]))
    ]


def raw_of(maps: Sequence[Map], anchors: Sequence[Sequence], place: Place) -> list[Number]:
    level, i, j, a = place
    entries = len(maps[level]) // len(anchors[level])
    return [maps[level][a * entries + k][i][j] for k in range(entries)]


def decoded(maps, anchors, strides, place: Place, scale_x_y: float = 1.0) -> list[Number]:
    """Predicted box in pixels."""
    level, i, j, a = place
    tx, ty, tw, th = raw_of(maps, anchors, place)[:4]
    shift = (scale_x_y - 1) / 2
    cx = (sigmoid(tx) * scale_x_y - shift + j) * strides[level]
    cy = (sigmoid(ty) * scale_x_y - shift + i) * strides[level]
    w, h = anchors[level][a][0] * exp(tw), anchors[level][a][1] * exp(th)
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def assigned(maps, truths: Sequence[Truth], anchors, strides, iou_thr: float | None = None) -> dict[Place, list[Truth]]:
    """Objects that each prediction is to find, in the order of the truths: the best of all anchors, and those above."""
    found: dict[Place, list[Truth]] = {}
    for t in objects(truths):
        every = [(level, a) for level in range(len(anchors)) for a in range(len(anchors[level]))]
        overlaps = [shape_iou(t, anchors[level][a]) for level, a in every]
        best = overlaps.index(max(overlaps))
        for number, (level, a) in enumerate(every):
            if number == best or (iou_thr is not None and overlaps[number] > iou_thr):
                i, j = cell_of(t, strides[level], len(maps[level][0]), len(maps[level][0][0]))
                found.setdefault((level, i, j, a), []).append(t)
    return found


def t_space(t: Truth, maps, anchors, strides, place: Place) -> tuple[float, float, float, float]:
    level, i, j, a = place
    cx, cy, w, h = centre(t)
    stride = strides[level]
    return (
        offset(cx, stride, j),
        offset(cy, stride, i),
        math.log(w / anchors[level][a][0]),
        math.log(h / anchors[level][a][1]),
    )


def size_scale(t: Truth, maps, strides, place: Place) -> float:
    """2 - W H, of the truth, as shares of the image."""
    level = place[0]
    _, _, w, h = centre(t)
    return 2 - (w / (len(maps[level][0][0]) * strides[level])) * (h / (len(maps[level][0]) * strides[level]))


def yolo_v2(
    maps,
    truths: Sequence[Truth],
    anchors,
    strides,
    darknet: bool = True,
    ignore_thr: float | None = 0.6,
    rescore: bool = True,
    units: str = "offset",
    class_loss: str | None = None,
    lambdas: Sequence[float] = (1.0, 5.0, 1.0, 1.0),
    lambda_prior: float = 0.0,
) -> dict[str, Number]:
    """darknet's region layer."""
    half = 0.5 if darknet else 1.0
    class_loss = class_loss or ("cross_entropy" if darknet else "squared")
    found = assigned(maps, truths, anchors, strides)
    coord = obj = noobj = cls = prior = 0.0
    for place in places(maps, anchors, strides):
        raw = raw_of(maps, anchors, place)
        box = decoded(maps, anchors, strides, place)
        score = sigmoid(raw[4])
        if place not in found:
            best = max([iou(box, t) for t in objects(truths)], default=0.0)
            if ignore_thr is None or best <= ignore_thr:
                noobj += score**2
            prior += (sigmoid(raw[0]) - 0.5) ** 2 + (sigmoid(raw[1]) - 0.5) ** 2 + raw[2] ** 2 + raw[3] ** 2
            continue
        t = found[place][-1]  # a later object takes the place of an earlier
        if units == "offset":
            x, y, w, h = t_space(t, maps, anchors, strides, place)
            error = (sigmoid(raw[0]) - x) ** 2 + (sigmoid(raw[1]) - y) ** 2 + (raw[2] - w) ** 2 + (raw[3] - h) ** 2
        else:
            level = place[0]
            unit_x = strides[level] * (len(maps[level][0][0]) if units == "image" else 1)
            unit_y = strides[level] * (len(maps[level][0]) if units == "image" else 1)
            error = 0.0
            for p, q, unit in zip(centre(box), centre(t), (unit_x, unit_y) * 2, strict=True):
                error += ((p - q) / unit) ** 2
        coord += size_scale(t, maps, strides, place) * error
        obj += ((iou(box, t) if rescore else 1.0) - score) ** 2
        share = softmax(raw[5:])
        for k, p in enumerate(share):
            if class_loss == "squared":
                cls += half * (p - float(k == t[4])) ** 2
            elif k == t[4]:
                cls += -log(p)
    result = {
        "loss_coord": lambdas[0] * half * coord,
        "loss_obj": lambdas[1] * half * obj,
        "loss_noobj": lambdas[2] * half * noobj,
        "loss_cls": lambdas[3] * cls,
    }
    return result | {"loss_prior": lambda_prior * half * prior} if lambda_prior else result


def prior_box(anchors, strides, place: Place) -> list[float]:
    level, i, j, a = place
    cx, cy = (j + 0.5) * strides[level], (i + 0.5) * strides[level]
    w, h = anchors[level][a]
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def yolo_v3(
    maps,
    truths: Sequence[Truth],
    anchors,
    strides,
    darknet: bool = True,
    ignore_thr: float | None = None,
    coord_scale: bool = True,
    lambdas: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0),
) -> dict[str, Number]:
    """darknet's yolo layer; the paper's: squared errors of t, and ignored by the overlap of the prior."""
    ignore_thr = (0.7 if darknet else 0.5) if ignore_thr is None else ignore_thr
    found = assigned(maps, truths, anchors, strides)
    xy = wh = obj = noobj = cls = 0.0
    for place in places(maps, anchors, strides):
        raw = raw_of(maps, anchors, place)
        if place not in found:
            box = decoded(maps, anchors, strides, place) if darknet else prior_box(anchors, strides, place)
            if max([iou(box, t) for t in objects(truths)], default=0.0) <= ignore_thr:
                noobj += bce(raw[4], 0.0)
            continue
        t = found[place][-1]
        x, y, w, h = t_space(t, maps, anchors, strides, place)
        scale = size_scale(t, maps, strides, place) if coord_scale else 1.0
        if darknet:
            xy += scale * (bce(raw[0], x) + bce(raw[1], y))
            wh += scale * 0.5 * ((raw[2] - w) ** 2 + (raw[3] - h) ** 2)
        else:
            for z, p in ((raw[0], x), (raw[1], y)):
                p = min(max(p, 1e-6), 1 - 1e-6)
                xy += scale * (z - math.log(p / (1 - p))) ** 2
            wh += scale * ((raw[2] - w) ** 2 + (raw[3] - h) ** 2)
        obj += bce(raw[4], 1.0)
        labels = {t[4] for t in found[place]}  # classes accumulate
        for k, z in enumerate(raw[5:]):
            cls += bce(z, float(k in labels))
    names = ("loss_xy", "loss_wh", "loss_obj", "loss_noobj", "loss_cls")
    return {n: weight * v for n, weight, v in zip(names, lambdas, (xy, wh, obj, noobj, cls), strict=True)}


def yolo_v4(
    maps,
    truths: Sequence[Truth],
    anchors,
    strides,
    box_loss: Callable = box_oracle.ciou,
    darknet: bool = True,
    iou_thr: float | None = 0.213,
    scale_x_y: Sequence[float] = (1.05, 1.1, 1.2),
    smoothing: float = 0.0,
    ignore_thr: float = 0.7,
    lambda_box: float | None = None,
) -> dict[str, Number]:
    """AlexeyAB's yolo layer, with the gradient of the box loss itself."""
    lambda_box = (0.07 if darknet else 1.0) if lambda_box is None else lambda_box
    found = assigned(maps, truths, anchors, strides, iou_thr)
    box_sum = obj = noobj = cls = 0.0
    for place in places(maps, anchors, strides):
        raw = raw_of(maps, anchors, place)
        box = decoded(maps, anchors, strides, place, scale_x_y[place[0]])
        if place not in found:
            best = max([iou(box, t) for t in objects(truths)], default=0.0)
            likely = not darknet or any(freeze(sigmoid(z)) > 0.25 for z in raw[5:])
            if not (best > ignore_thr and likely):
                noobj += bce(raw[4], 0.0)
            continue
        labels = {t[4] for t in found[place]}
        for t in found[place] if darknet else found[place][-1:]:
            box_sum += box_loss(box, t[:4]) / (len(labels) if darknet else 1)
        obj += bce(raw[4], 1.0)
        for k, z in enumerate(raw[5:]):
            cls += bce(z, float(k in labels) * (1 - smoothing) + smoothing / 2)
    return {"loss_bbox": lambda_box * box_sum, "loss_obj": obj, "loss_noobj": noobj, "loss_cls": cls}


def grid(
    m: Map,
    truths: Sequence[Truth],
    stride: float,
    objectness: Callable = bce,
    box_loss: Callable | None = box_oracle.ciou,
    coordinate_loss: Callable | None = None,
    lambda_box: float = 1.0,
    negative_weight: float = 1.0,
    average: str = "cells",
    reg_max: int | None = None,
    dfl_weight: float = 0.25,
) -> dict[str, Number]:
    """Objectness of every cell and boxes of object cells, each on its own mean."""
    height, width = len(m[0]), len(m[0][0])
    box_channels = 4 if reg_max is None else 4 * (reg_max + 1)
    found: dict[tuple[int, int], list[Truth]] = {}
    for t in objects(truths):
        found.setdefault(cell_of(t, stride, height, width), []).append(t)
    obj = noobj = box_sum = dfl_sum = 0.0
    for i in range(height):
        for j in range(width):
            here = found.get((i, j), [])
            labels = {t[4] for t in here}
            logits = [m[k][i][j] for k in range(box_channels, len(m))]
            for k, z in enumerate(logits):
                if here and (len(logits) == 1 or k in labels):
                    obj += objectness(z, 1.0)
                else:
                    noobj += objectness(z, 0.0)
            if not here:
                continue
            t = here[0]  # the first has the box, every class counts
            raw = [m[k][i][j] for k in range(box_channels)]
            if reg_max is None:
                cx, cy, w, h = centre(t)
                mine = [sigmoid(raw[0]), sigmoid(raw[1]), raw[2], raw[3]]
                true = [offset(cx, stride, j), offset(cy, stride, i), math.log(w / stride), math.log(h / stride)]
                px, py = (mine[0] + j) * stride, (mine[1] + i) * stride
                pw, ph = stride * exp(raw[2]), stride * exp(raw[3])
                box = [px - pw / 2, py - ph / 2, px + pw / 2, py + ph / 2]
            else:
                true = [j + 1 - t[0] / stride, i + 1 - t[1] / stride, t[2] / stride - j, t[3] / stride - i]
                mine = []
                for side in range(4):
                    bins = raw[side * (reg_max + 1) : (side + 1) * (reg_max + 1)]
                    mine.append(sum(k * p for k, p in enumerate(softmax(bins))))
                    dfl_sum += dfl(bins, min(max(true[side], 0.0), reg_max)) / 4
                box = [(j + 1 - mine[0]) * stride, (i + 1 - mine[1]) * stride]
                box += [(j + mine[2]) * stride, (i + mine[3]) * stride]
            if coordinate_loss is None:
                box_sum += box_loss(box, t[:4])
            else:
                box_sum += sum(coordinate_loss(p - q) for p, q in zip(mine, true, strict=True))
    count = max(len(found), 1)
    divisor = {"cells": height * width, "objects": count, "sum": 1}[average]
    result = {
        "loss_obj": obj / divisor,
        "loss_noobj": negative_weight * noobj / divisor,
        "loss_bbox": lambda_box * box_sum / count,
    }
    return result if reg_max is None else result | {"loss_dfl": dfl_weight * dfl_sum / count}
