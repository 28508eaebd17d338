"""tools/dataset_converters/bccd.py on a small VOC folder, with the expected JSON written by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "dataset_converters" / "bccd.py"

OBJECT = (
    "<object><name>{}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
VOC = {
    "a": [("WBC", 260, 177, 491, 376), ("RBC", 78, 336, 184, 435)],
    "b": [("Platelets", 10, 20, 30, 45), ("RBC", 5, 5, 5, 5)],
    "c": [("RBC", 1, 2, 3, 5)],
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone as the public repository lays it out: b and a in train, c in val and test."""
    voc = tmp_path / "clone" / "BCCD"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    for name, objects in VOC.items():
        body = "".join(OBJECT.format(*obj) for obj in objects)
        size = "<size><width>640</width><height>480</height><depth>3</depth></size>"
        (voc / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{body}</annotation>")
        (voc / "JPEGImages" / f"{name}.jpg").write_bytes(b"picture " + name.encode())
    for split, names in {"train": "b\na\n", "val": "c\n", "test": "c\n"}.items():
        (voc / "ImageSets" / "Main" / f"{split}.txt").write_text(names)
    (tmp_path / "clone" / "LICENSE").write_text("MIT")
    return tmp_path / "clone"


def run(source: Path, out: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(source), str(out)], capture_output=True, text=True, check=False
    )


def test_conversion(clone, tmp_path):
    """Order of ids, boxes as x, y, w, h, the zero-size box kept; images and licence copied."""
    out = tmp_path / "data" / "bccd"
    done = run(clone, out)
    assert done.returncode == 0, done.stderr
    assert "train: 2 images, 4 boxes, 1 of them of zero size" in done.stdout
    train = json.loads((out / "annotations" / "train.json").read_text())
    common = {"iscrowd": 0, "segmentation": []}
    assert train["images"] == [
        {"id": 1, "file_name": "b.jpg", "width": 640, "height": 480},
        {"id": 2, "file_name": "a.jpg", "width": 640, "height": 480},
    ]
    assert train["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 20, 20, 25], "area": 500, **common},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [5, 5, 0, 0], "area": 0, **common},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [260, 177, 231, 199], "area": 45969, **common},
        {"id": 4, "image_id": 2, "category_id": 1, "bbox": [78, 336, 106, 99], "area": 10494, **common},
    ]
    assert train["categories"] == [
        {"id": 1, "name": "RBC"},
        {"id": 2, "name": "WBC"},
        {"id": 3, "name": "Platelets"},
    ]
    assert (out / "images" / "c.jpg").read_bytes() == b"picture c"
    assert (out / "LICENSE").read_text() == "MIT"


def test_second_run_changes_nothing(clone, tmp_path):
    """What is there already is kept, file by file."""
    out = tmp_path / "out"
    assert run(clone, out).returncode == 0
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(clone, out).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == stamps


def test_interrupted_run_is_completed(clone, tmp_path):
    """A missing file is added; leftovers of an interruption do not disturb."""
    out = tmp_path / "out"
    assert run(clone, out).returncode == 0
    (out / "images" / "a.jpg").rename(out / "images" / ".a.jpg.part")
    (out / "annotations" / "val.json").unlink()
    assert run(clone, out).returncode == 0
    assert (out / "images" / "a.jpg").read_bytes() == b"picture a"
    assert sorted(path.name for path in (out / "images").iterdir()) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("name", ["annotations/val.json", "images/a.jpg"])
def test_different_file_is_not_overwritten(clone, tmp_path, name):
    """Nothing at all is written then."""
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"\xff precious")
    done = run(clone, out)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert str(out / name) in done.stderr and "Nothing was changed" in done.stderr
    assert [path for path in out.rglob("*") if path.is_file()] == [out / name]
    assert (out / name).read_bytes() == b"\xff precious"


def replace(clone: Path, name: str, old: str, new: str) -> None:
    file = clone / "BCCD" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


BAD = {
    "not a clone": (lambda clone: (clone / "BCCD").rename(clone / "other"), "expected a clone of"),
    "no split": (lambda clone: (clone / "BCCD/ImageSets/Main/val.txt").unlink(), "val.txt is missing"),
    "empty split": (lambda clone: (clone / "BCCD/ImageSets/Main/val.txt").write_text("\n"), "names no image"),
    "no image": (lambda clone: (clone / "BCCD/JPEGImages/c.jpg").unlink(), "c.jpg is missing"),
    "no xml": (lambda clone: (clone / "BCCD/Annotations/c.xml").unlink(), "c.xml is missing"),
    "cut xml": (
        lambda clone: (clone / "BCCD/Annotations/c.xml").write_text("<annotation><size>"),
        "not a complete VOC annotation",
    ),
    "no box": (
        lambda clone: replace(clone, "Annotations/c.xml", "<xmin>1</xmin>", ""),
        "not a complete VOC annotation",
    ),
    "no size": (
        lambda clone: replace(clone, "Annotations/c.xml", "<width>640</width>", "<width>0</width>"),
        "positive image size",
    ),
    "class": (lambda clone: replace(clone, "Annotations/c.xml", "RBC", "rbc"), "got 'rbc'"),
    "inverted": (
        lambda clone: replace(clone, "Annotations/c.xml", "<xmax>3</xmax>", "<xmax>0</xmax>"),
        "xmin <= xmax",
    ),
}


@pytest.mark.parametrize("spoil", BAD)
def test_bad_input_is_one_sentence(clone, tmp_path, spoil):
    """The message names the file; nothing is written."""
    change, message = BAD[spoil]
    change(clone)
    done = run(clone, tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
