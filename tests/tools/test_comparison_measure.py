"""AP of a run's predictions, against what two boxes are worth by hand."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mmdet")

import numpy as np
from comparison.measure import measure
from pycocotools.coco import COCO

THRESHOLDS = np.linspace(0.5, 0.95, 10)


def evaluated(annotations: dict[str, Any], thresholds: np.ndarray = THRESHOLDS) -> Any:
    """What ``measure`` reads of MMDetection's metric."""
    coco = COCO()
    coco.dataset = annotations
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    names = sorted(coco.cats)
    return SimpleNamespace(
        _coco_api=coco, cat_ids=names, img_ids=[1], proposal_nums=(100, 300, 1000), iou_thrs=thresholds
    )


def scene(tmp_path: Path, **widths: float) -> tuple[dict[str, Any], Path]:
    """An object of 100 x 10 pixels for each class, found with a box of another width: IoU is the width over 100."""
    annotations, predictions = [], []
    for number, width in enumerate(widths.values(), 1):
        common = {"image_id": 1, "category_id": number}
        box = [0.0, 20.0 * number, 100.0, 10.0]
        annotations.append({"id": number, "bbox": box, "area": 1000.0, "iscrowd": 0, **common})
        predictions.append({"bbox": [*box[:2], width, 10.0], "score": 0.9, **common})
    categories = [{"id": number, "name": name} for number, name in enumerate(widths, 1)]
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(predictions))
    return {
        "images": [{"id": 1, "width": 200, "height": 200}],
        "annotations": annotations,
        "categories": categories,
    }, file


def test_two_boxes(tmp_path: Path) -> None:
    """With an IoU of 0.92 a box counts at nine of ten thresholds, with 0.86 at eight; both are small to COCO."""
    annotations, file = scene(tmp_path, narrow=92.0, narrower=86.0)
    metrics, by_class, _ = measure(evaluated(annotations), file)
    assert by_class == pytest.approx({"narrow": 0.9, "narrower": 0.8})
    assert metrics == pytest.approx(
        {
            "bbox_mAP": 0.85,
            "bbox_mAP_50": 1.0,
            "bbox_mAP_75": 1.0,
            "bbox_mAP_90": 0.5,
            "bbox_mAP_s": 0.85,
            "bbox_mAP_m": -1.0,
            "bbox_mAP_l": -1.0,
        }
    )


def test_thresholds_without_090(tmp_path: Path) -> None:
    annotations, file = scene(tmp_path, narrow=92.0)
    metrics, _, _ = measure(evaluated(annotations, np.array([0.5, 0.75])), file)
    assert np.isnan(metrics["bbox_mAP_90"]) and metrics["bbox_mAP"] == pytest.approx(1.0)


def test_no_prediction(tmp_path: Path) -> None:
    annotations, file = scene(tmp_path, narrow=92.0)
    file.write_text("[]")
    metrics, by_class, _ = measure(evaluated(annotations), file)
    assert set(metrics.values()) == {0.0} and by_class == {"narrow": 0.0}
