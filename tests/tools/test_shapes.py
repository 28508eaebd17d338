"""The drawn data set: what is in it, and that it appears whole or not at all."""

import json
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from mmdet_losses.data.drawings import CLASSES, ShapesSpec, draw, ensure_shapes  # noqa: E402

SMALL = ShapesSpec(num_images=4, image_size=(96, 80), num_objects=(1, 3), object_size=(12, 40), seed=5)


def segment(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Pixels that belong to the single object of an image, found by its colour alone."""
    x, y, w, h = box
    blurred = cv2.medianBlur(image, 5).astype(int)
    centre = blurred[y + h // 2 - 2 : y + h // 2 + 3, x + w // 2 - 2 : x + w // 2 + 3]
    near = (np.abs(blurred - np.median(centre, axis=(0, 1))).max(axis=2) < 24).astype(np.uint8)
    _, labels = cv2.connectedComponents(cv2.morphologyEx(near, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    return labels == labels[y + h // 2, x + w // 2]


def test_boxes_and_classes_are_what_the_picture_shows():
    """Found again in the pixels: box within 3 pixels; the share of the box that is filled gives the class."""
    spec = ShapesSpec(num_images=60, num_objects=(1, 1), object_size=(30, 100), seed=3)
    fill = {name: [] for name in CLASSES}
    for index in range(spec.num_images):
        image, [(label, box)] = draw(spec, index)
        pixels = segment(image, box)
        found = cv2.boundingRect(pixels.astype(np.uint8))
        corners = [(b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in (found, box)]
        assert np.abs(np.subtract(*corners)).max() <= 3, index
        fill[CLASSES[label]].append(pixels.sum() / (box[2] * box[3]))
    assert all(len(shares) >= 5 for shares in fill.values())
    assert np.allclose(fill["circle"], np.pi / 4, atol=0.08)
    assert max(fill["triangle"]) < 0.68
    assert np.mean(fill["triangle"]) < 0.55 < np.mean(fill["rectangle"])


def test_content_of_the_default_data():
    """Sizes from 12 to 120 pixels, inside the image, all classes, overlaps, and a background that is noisy."""
    spec = ShapesSpec()
    drawn = [draw(spec, index) for index in range(100)]
    width, height = spec.image_size
    boxes = np.array([box for _, objects in drawn for _, box in objects])
    assert boxes[:, 2:].min() in range(12, 15) and boxes[:, 2:].max() in range(100, 121)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (width, height)).all()
    counts = np.bincount([label for _, objects in drawn for label, _ in objects])
    assert len(counts) == len(CLASSES) and counts.min() > 0.2 * counts.sum()
    overlapping = sum(
        abs(2 * a[0] + a[2] - 2 * b[0] - b[2]) < a[2] + b[2] and abs(2 * a[1] + a[3] - 2 * b[1] - b[3]) < a[3] + b[3]
        for _, objects in drawn
        for (_, a), (_, b) in combinations(objects, 2)
    )
    assert overlapping > 20
    corner_noise = [image[:8, :8].astype(float).std(axis=(0, 1)).max() for image, _ in drawn]
    assert min(corner_noise) > 1


def test_image_depends_on_seed_and_index_alone():
    """Not on the number of images or the order of drawing; another seed draws other images."""
    few, many = ShapesSpec(num_images=5, seed=7), ShapesSpec(num_images=50, seed=7)
    image, objects = draw(few, 3)
    draw(many, 0)
    again, same_objects = draw(many, 3)
    assert np.array_equal(image, again) and objects == same_objects
    other, _ = draw(ShapesSpec(seed=8), 3)
    assert not np.array_equal(image, other)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (dict(num_images=0), "num_images"),
        (dict(num_images=True), "num_images"),
        (dict(image_size=200), "image_size"),
        (dict(image_size=(100, 100)), "object_size"),
        (dict(num_objects=(5, 2)), "num_objects"),
        (dict(object_size=(2, 20)), "object_size"),
        (dict(object_size=(12.5, 20)), "object_size"),
        (dict(seed=-1), "seed"),
    ],
)
def test_wrong_spec_names_the_argument(wrong, named):
    """Each impossible value is refused by name."""
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        ShapesSpec(**wrong)


def test_written_folder_is_coco_and_matches_the_drawing(tmp_path):
    """pycocotools reads it; images decode to their declared size."""
    coco_api = pytest.importorskip("pycocotools.coco")
    folder = ensure_shapes(tmp_path / "data" / "train", SMALL)
    coco = coco_api.COCO(str(folder / "annotations.json"))
    assert [cat["name"] for cat in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.imgs) == 4
    for index, info in enumerate(coco.loadImgs(sorted(coco.imgs))):
        image = cv2.imread(str(folder / "images" / info["file_name"]))
        assert image.shape == (info["height"], info["width"], 3) == (80, 96, 3)
        drawn, objects = draw(SMALL, index)
        assert np.abs(image.astype(int) - drawn).mean() < 8
        annotations = coco.loadAnns(coco.getAnnIds(info["id"]))
        assert [(a["category_id"] - 1, tuple(a["bbox"])) for a in annotations] == objects
    assert sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) == ["train"]


def test_kept_when_equal_and_redrawn_when_the_spec_differs(tmp_path):
    """A second call touches nothing; another seed replaces the folder."""
    lines: list[str] = []
    folder = ensure_shapes(tmp_path / "train", SMALL, log=lines.append)
    stamp = (folder / "annotations.json").stat().st_mtime_ns
    ensure_shapes(folder, SMALL, log=lines.append)
    assert (folder / "annotations.json").stat().st_mtime_ns == stamp and len(lines) == 2
    before = (folder / "annotations.json").read_text()
    ensure_shapes(folder, ShapesSpec(**{**vars(SMALL), "seed": 6}), log=lines.append)
    assert (folder / "annotations.json").read_text() != before and len(lines) == 4


def test_foreign_folder_is_left_alone(tmp_path):
    """Somebody's own data under that name stays, and the error says what to do."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"Nothing was changed.*data_root"):
        ensure_shapes(tmp_path / "train", SMALL)
    assert (tmp_path / "train" / "mine.txt").read_text() == "precious"
    assert len(list((tmp_path / "train").iterdir())) == 1


def test_interruption_leaves_nothing_half_made(tmp_path):
    """Ctrl-C while redrawing keeps the old folder and removes the new one."""
    folder = ensure_shapes(tmp_path / "train", SMALL)
    before = json.loads((folder / "shapes.json").read_text())

    def stop_at_two(indices):
        for index in indices:
            if index == 2:
                raise KeyboardInterrupt
            yield index

    with pytest.raises(KeyboardInterrupt):
        ensure_shapes(folder, ShapesSpec(**{**vars(SMALL), "seed": 6}), progress=stop_at_two)
    assert json.loads((folder / "shapes.json").read_text()) == before
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


# The module alone: importing the package brings MMDetection, which takes seconds in every process.
CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, "mmdet_losses/data")
from drawings import ShapesSpec, ensure_shapes
def slow(indices):
    for index in indices:
        Path(sys.argv[2]).touch()
        time.sleep(float(sys.argv[3]))
        yield index
spec = ShapesSpec(num_images=4, image_size=(96, 80), num_objects=(1, 3), object_size=(12, 40), seed=5)
ensure_shapes(sys.argv[1], spec, progress=slow, log=print)
"""


def start(folder: Path, sign: Path, pause: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(sign), str(pause)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_process_does_not_block_or_litter(tmp_path):
    """After SIGKILL in the middle, the next call draws the folder and removes what was left."""
    process = start(tmp_path / "train", tmp_path / "sign", 60)
    deadline = time.monotonic() + 60
    while not (tmp_path / "sign").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not (tmp_path / "train").exists() and list(tmp_path.glob(".train.tmp-*"))
    ensure_shapes(tmp_path / "train", SMALL)
    assert len(list((tmp_path / "train" / "images").iterdir())) == 4
    assert not list(tmp_path.glob(".train.tmp-*"))


def test_processes_at_once_draw_once(tmp_path):
    """Three processes start together: one draws, all of them find the folder complete."""
    processes = [start(tmp_path / "train", tmp_path / "sign", 0.2) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum(out.count("Drawing") for out, _ in outputs) == 1
    assert len(list((tmp_path / "train" / "images").iterdir())) == 4
