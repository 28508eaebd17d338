"""AP of a run's predictions in full precision, by size and class, and what each kind of error costs.

MMDetection rounds to three digits, which is coarser than many differences of losses.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from mmdet.evaluation import CocoMetric
from pycocotools.cocoeval import COCOeval

from .results import AP90, METRICS
from .tide import dap


def measure(metric: CocoMetric, file: Path) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return AP, AP by class, and dAP by kind of error.

    Args:
        metric: After its last evaluation, with the annotations.
        file: The predictions of that evaluation, in COCO's format.
    """
    coco = metric._coco_api
    predictions = json.loads(file.read_text())
    names = {category: coco.cats[category]["name"] for category in metric.cat_ids}
    known = {
        **coco.dataset,
        "annotations": [entry for entry in coco.dataset["annotations"] if entry["category_id"] in names],
    }
    if not predictions:  # pycocotools takes no empty list
        return dict.fromkeys(METRICS, 0.0), dict.fromkeys(names.values(), 0.0), dap([], known)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(predictions), "bbox")
        evaluation.params.catIds = metric.cat_ids
        evaluation.params.imgIds = metric.img_ids
        evaluation.params.maxDets = list(metric.proposal_nums)
        evaluation.params.iouThrs = metric.iou_thrs
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # (IoU, recall, class, size, boxes per image): all sizes, most boxes
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    strict = np.isclose(evaluation.params.iouThrs, 0.9)
    values = iter(evaluation.stats)
    metrics = {name: mean(precision[strict]) if name == AP90 else float(next(values)) for name in METRICS}
    by_class = {name: mean(precision[:, :, number]) for number, name in enumerate(names.values())}
    return metrics, by_class, dap(predictions, known)


def mean(precision: np.ndarray) -> float:
    """Return the mean of precisions, NaN where no object counts; COCO has -1 there."""
    values = precision[precision > -1]
    return float(np.mean(values)) if values.size else float("nan")
