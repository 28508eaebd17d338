"""The data sets of the configs: what is dropped, what is said when data is missing, and the data root."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mmdet")

import cv2
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.logging import MMLogger

import mmdet_losses.data.datasets  # noqa: F401  registers them
from mmdet_losses.data.data_root import merge_options, set_data_root

ROOT = Path(__file__).parents[2]
BCCD = Path(os.environ.get("MMDET_LOSSES_BCCD") or ROOT / "data" / "bccd")
BOXES = [[10, 10, 30, 20], [40, 5, 0, 0], [40, 5, 0.5, 8], [30, 30, 12, 12]]


def write_coco(root: Path, boxes: list[list[float]], names: tuple[str, ...]) -> Path:
    """A data set of one 64x48 image; every box has the first class."""
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    cv2.imwrite(str(root / "images" / "1.jpg"), np.full((48, 64, 3), 127, np.uint8))
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, box in enumerate(boxes, start=1)
    ]
    coco = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
    }
    (root / "annotations" / "train.json").write_text(json.dumps(coco))
    return root


def build(root: Path, **changes):
    return DATASETS.build(
        {
            "type": "BCCDDataset",
            "data_root": str(root),
            "ann_file": "annotations/train.json",
            "data_prefix": {"img": "images/"},
            "pipeline": [],
            "_scope_": "mmdet",
            **changes,
        }
    )


@pytest.fixture
def log():
    """Messages of MMEngine's current logger, which does not propagate to pytest's."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_boxes_without_area_are_dropped_and_counted(tmp_path, log):
    """Two of four annotations go, with a count; the others are those of CocoDataset."""
    data = write_coco(tmp_path, BOXES, ("RBC", "WBC", "Platelets"))
    ours = build(data)
    assert [line for line in log if "dropped 2 of 4 annotations" in line and "train.json" in line]
    stock = build(data, type="CocoDataset", metainfo={"classes": ("RBC", "WBC", "Platelets")})
    assert ours[0]["instances"] == stock[0]["instances"]
    assert [instance["bbox"] for instance in ours[0]["instances"]] == [[10, 10, 40, 30], [30, 30, 42, 42]]


def test_nothing_is_said_when_nothing_is_dropped(tmp_path, log):
    """No line about zero boxes."""
    build(write_coco(tmp_path, BOXES[:1], ("RBC", "WBC", "Platelets")))
    assert not [line for line in log if "dropped" in line]


def test_zero_size_box_stays_in_the_evaluation(tmp_path):
    """As with MMDetection: CocoMetric reads the file itself, and counts that box as one that was missed."""
    from pycocotools.coco import COCO

    data = write_coco(tmp_path, BOXES[:2], ("RBC", "WBC", "Platelets"))
    recalls = {}
    for name in ("with", "without"):
        if name == "without":
            file = data / "annotations" / "train.json"
            coco = json.loads(file.read_text())
            coco["annotations"] = [ann for ann in coco["annotations"] if ann["area"]]
            file.write_text(json.dumps(coco))
        assert len(COCO(str(data / "annotations" / "train.json")).anns) == (2 if name == "with" else 1)
        metric = METRICS.build(
            {
                "type": "CocoMetric",
                "ann_file": str(data / "annotations" / "train.json"),
                "metric": "bbox",
                "metric_items": ["AR@100"],
                "_scope_": "mmdet",
            }
        )
        metric.dataset_meta = {"classes": ("RBC", "WBC", "Platelets")}
        perfect = {
            "bboxes": torch.tensor([[10.0, 10.0, 40.0, 30.0]]),
            "scores": torch.ones(1),
            "labels": torch.zeros(1, dtype=torch.long),
        }
        metric.process({}, [{"img_id": 1, "ori_shape": (48, 64), "pred_instances": perfect}])
        recalls[name] = metric.evaluate(1)["coco/bbox_AR@100"]
    assert recalls == {"with": 0.5, "without": 1.0}


def test_missing_data_says_what_to_do(tmp_path):
    """Where it looked, how to get it, and how to say where it is."""
    with pytest.raises(FileNotFoundError) as error:
        build(tmp_path / "nowhere")
    text = str(error.value)
    for part in ("nowhere/annotations/train.json", "git clone", "dataset_converters/bccd.py"):
        assert part in text
    assert "MMDET_LOSSES_BCCD" in text and "data_root=" in text


def test_missing_images_are_named(tmp_path):
    """Annotations alone are not enough."""
    data = write_coco(tmp_path, BOXES[:1], ("RBC", "WBC", "Platelets"))
    (data / "images").rename(data / "pictures")
    with pytest.raises(FileNotFoundError, match="images"):
        build(data)


@pytest.mark.parametrize("names", [("cell", "WBC", "Platelets"), ("Platelets", "RBC", "WBC")])
def test_other_class_names_are_an_error(tmp_path, names):
    """CocoDataset would train on nothing, or show wrong names."""
    data = write_coco(tmp_path, BOXES[:1], names)
    with pytest.raises(ValueError, match=rf"metainfo\.classes.*{names[0]}.*'RBC', 'WBC'"):
        build(data)
    assert len(build(data, metainfo={"classes": names})) == 1


def test_shapes_are_drawn_on_first_use(tmp_path, log):
    """Built from a dict, twice; the second time nothing is drawn."""
    cfg = {
        "type": "ShapesDataset",
        "data_root": str(tmp_path / "shapes"),
        "spec": {"num_images": 3, "image_size": [96, 80], "object_size": [12, 40]},
        "ann_file": "val/annotations.json",
        "data_prefix": {"img": "val/images/"},
        "pipeline": [],
        "_scope_": "mmdet",
    }
    for _ in range(2):
        dataset = DATASETS.build(dict(cfg))
        assert len(dataset) == 3 and all(dataset[i]["instances"] for i in range(3))
        assert all(Path(dataset[i]["img_path"]).is_file() for i in range(3))
    assert len([line for line in log if line.startswith("Drawing 3 images")]) == 1


def test_shapes_wrong_spec_is_named():
    """A misspelt or impossible part of spec stops before anything is drawn."""
    with pytest.raises(ValueError, match=r"num_images: expected a positive integer, got -1\."):
        DATASETS.build({"type": "ShapesDataset", "spec": {"num_images": -1}, "_scope_": "mmdet"})


CONFIG = """
data_root = {root!r}
train_dataloader = dict(dataset=dict(type='RepeatDataset', dataset=dict(data_root=data_root, ann_file='a.json')))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='b.json'))
test_dataloader = dict(dataset=dict(data_root='elsewhere', ann_file='c.json'))
val_evaluator = [dict(type='CocoMetric', ann_file=data_root + {slash!r} + 'b.json')]
test_evaluator = dict(type='CocoMetric', ann_file='elsewhere/c.json')
"""


@pytest.mark.parametrize(("root", "slash"), [("data/x", "/"), ("data/x/", "")])
@pytest.mark.parametrize("new", ["/mnt/y", "/mnt/y/"])
def test_data_root_moves_every_path_under_it(root, slash, new):
    """Data sets, wrapped ones too, and evaluators in a list; other places stay."""
    cfg = Config.fromstring(CONFIG.format(root=root, slash=slash), ".py")
    merge_options(cfg, {"data_root": new})
    assert cfg.data_root == cfg.train_dataloader.dataset.dataset.data_root == new
    assert cfg.val_dataloader.dataset.data_root == new
    assert cfg.val_evaluator[0].ann_file == "/mnt/y/b.json"
    assert cfg.train_dataloader.dataset.dataset.ann_file == "a.json"
    assert cfg.test_dataloader.dataset.data_root == "elsewhere"
    assert cfg.test_evaluator.ann_file == "elsewhere/c.json"


def test_explicit_option_wins_over_data_root():
    """Whatever the order on the command line."""
    cfg = Config.fromstring(CONFIG.format(root="data/x", slash="/"), ".py")
    merge_options(cfg, {"val_dataloader.dataset.data_root": "/mine", "data_root": "/mnt/y"})
    assert cfg.val_dataloader.dataset.data_root == "/mine"
    assert cfg.val_evaluator[0].ann_file == "/mnt/y/b.json"


@pytest.mark.parametrize(("text", "value"), [("x = 1", "/y"), ("data_root = 'a'", ""), ("data_root = 'a'", 3)])
def test_data_root_that_cannot_work_is_an_error(text, value):
    """A config without the variable, or a value that is no path."""
    with pytest.raises(ValueError, match=r"^data_root"):
        set_data_root(Config.fromstring(text, ".py"), value)


@pytest.mark.skipif(
    not (BCCD / "annotations").is_dir(), reason="BCCD is not in data/bccd; docs/data.md says how to get it"
)
@pytest.mark.parametrize(
    ("split", "images", "boxes", "dropped"), [("train", 205, 2805, 1), ("val", 87, 1138, 1), ("test", 72, 945, 0)]
)
def test_bccd_itself(split, images, boxes, dropped, log):
    """Numbers of the public repository's files."""
    dataset = build(BCCD.resolve(), ann_file=f"annotations/{split}.json")
    assert len(dataset) == images
    assert sum(len(dataset[i]["instances"]) for i in range(images)) == boxes - dropped
    assert any(f"dropped {dropped} of {boxes}" in line for line in log) == bool(dropped)
