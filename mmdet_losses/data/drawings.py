"""A detection data set that draws itself: circles, rectangles and triangles on a noisy background.

An image depends on ``(seed, index)`` alone, through ``numpy.random.RandomState``, whose stream is the same in every
version of NumPy.
"""

from __future__ import annotations

import colorsys
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock

CLASSES = ("circle", "rectangle", "triangle")
FORMAT = 1
"""Version of the drawings; folders of another one are drawn again."""
MARK = "shapes.json"
"""File with the spec that a folder was drawn with."""
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


@dataclass(frozen=True)
class ShapesSpec:
    """Contents of a folder of drawn images.

    Args:
        num_images: Number of images.
        image_size: Width and height in pixels.
        num_objects: Least and most objects per image; a crowded image may get fewer.
        object_size: Shortest and longest side of an object's box in pixels, both inclusive.
        seed: Two folders with different seeds share no image.
    """

    num_images: int = 750
    image_size: tuple[int, int] = (192, 160)
    num_objects: tuple[int, int] = (2, 6)
    object_size: tuple[int, int] = (12, 120)
    seed: int = 0

    def __post_init__(self) -> None:
        """Accept lists as pairs, and raise for what cannot be drawn."""
        for name in ("image_size", "num_objects", "object_size"):
            pair = getattr(self, name)
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(is_int(v) for v in pair):
                raise ValueError(f"{name}: expected two integers, got {pair!r}.")
            object.__setattr__(self, name, tuple(int(v) for v in pair))
        if not is_int(self.num_images) or self.num_images < 1:
            raise ValueError(f"num_images: expected a positive integer, got {self.num_images!r}.")
        if not is_int(self.seed) or not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected an integer from 0 to 2**32 - 1, got {self.seed!r}.")
        low, high = self.num_objects
        if not 1 <= low <= high:
            raise ValueError(f"num_objects: expected 1 <= fewest <= most, got {self.num_objects}.")
        low, high = self.object_size
        if not 4 <= low <= high:
            raise ValueError(f"object_size: expected 4 <= shortest <= longest, got {self.object_size}.")
        if high > min(self.image_size):
            raise ValueError(
                f"object_size: expected at most the shorter side of image_size={self.image_size}, "
                f"got {high}. Draw larger images or smaller objects."
            )


class DrawnObject(NamedTuple):
    """One object: index into ``CLASSES`` and box ``(x, y, w, h)`` in whole pixels."""

    label: int
    box: tuple[int, int, int, int]


def draw(spec: ShapesSpec, index: int) -> tuple[np.ndarray, list[DrawnObject]]:
    """Draw one image.

    Args:
        spec: What to draw.
        index: Number of the image.

    Returns:
        BGR image of shape ``(height, width, 3)``, uint8, and its objects. A box bounds its whole object, also the part
        behind later ones; at least 70 % of every object is visible.
    """
    rng = np.random.RandomState([spec.seed, index])
    width, height = spec.image_size
    image = draw_background(rng, width, height)
    owner = np.full((height, width), -1, np.int16)
    objects: list[DrawnObject] = []
    areas: list[int] = []
    wanted = rng.randint(spec.num_objects[0], spec.num_objects[1] + 1)
    for _ in range(8 * wanted):
        if len(objects) == wanted:
            break
        label = rng.randint(len(CLASSES))
        mask = draw_mask(rng, label, spec.object_size)
        h, w = mask.shape
        x, y = rng.randint(0, width - w + 1), rng.randint(0, height - h + 1)
        colour = pick_colour(rng, label, image[y : y + h, x : x + w][mask])
        patch = owner[y : y + h, x : x + w]
        covered = np.bincount(patch[mask & (patch >= 0)], minlength=len(objects))
        left = np.bincount(owner[owner >= 0], minlength=len(objects)) - covered
        if any(10 * visible < 7 * area for visible, area in zip(left, areas, strict=True)):
            continue
        patch[mask] = len(objects)
        image[y : y + h, x : x + w][mask] = colour
        objects.append(DrawnObject(int(label), (int(x), int(y), w, h)))
        areas.append(int(mask.sum()))
    noise = rng.normal(0, rng.uniform(2, 10), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), objects


def ensure_shapes(
    folder: str | os.PathLike[str],
    spec: ShapesSpec,
    progress: Callable[[range], Iterable[int]] = iter,
    log: Callable[[str], None] = lambda text: None,
) -> Path:
    """Draw the images of ``spec`` and their annotations into ``folder``, unless they are there.

    Atomic: the folder is drawn under a temporary name and renamed. Of several processes that call this at once, one
    draws and the others wait. A folder drawn with another ``spec`` is replaced.

    Args:
        folder: Where ``annotations.json`` (COCO format), ``images/`` and ``shapes.json`` (the spec) go.
        spec: What to draw.
        progress: Wraps the range of image numbers, to show progress.
        log: Called with a line of text when drawing starts and ends.

    Returns:
        ``folder``.

    Raises:
        ValueError: Where ``folder`` holds something else.
    """
    folder = Path(folder)
    mark = {"format": FORMAT, **json.loads(json.dumps(asdict(spec)))}
    if read_mark(folder) == mark:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        found = read_mark(folder)
        if found == mark:
            return folder
        if found is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"{folder.absolute()}: expected a folder of drawn shapes or nothing, got something else "
                f"(there is no {MARK} in it). Nothing was changed. Set another data_root, or move it away."
            )
        # nobody else draws while the lock is held: other temporary folders are left from interrupted runs
        for left_over in folder.parent.glob(f".{folder.name}.tmp-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        log(f"Drawing {spec.num_images} images of shapes into {folder.absolute()}")
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        try:
            write(work / "new", spec, mark, progress)
            if folder.exists():
                os.replace(folder, work / "old")
            os.replace(work / "new", folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        log(f"Drew {spec.num_images} images of shapes.")
    return folder


def write(folder: Path, spec: ShapesSpec, mark: dict, progress: Callable[[range], Iterable[int]]) -> None:
    """Write images, annotations in COCO format and the spec."""
    width, height = spec.image_size
    (folder / "images").mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for index in progress(range(spec.num_images)):
        image, objects = draw(spec, index)
        name = f"{index:06d}.jpg"
        if not cv2.imwrite(str(folder / "images" / name), image, JPEG):
            raise OSError(f"{folder / 'images' / name} could not be written. Is the disk full?")
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        for label, box in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label + 1,
                    "bbox": list(box),
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    coco = {
        "info": {"description": "Drawn shapes"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }
    (folder / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
    (folder / MARK).write_text(json.dumps(mark), encoding="utf-8")


def read_mark(folder: Path) -> dict | None:
    """Return the spec that a folder was drawn with; None where it was not drawn here."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return mark if isinstance(mark, dict) and "format" in mark else None


def is_int(value: object) -> bool:
    """Return whether a value is a whole number; booleans are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def draw_background(rng: np.random.RandomState, width: int, height: int) -> np.ndarray:
    """Return a smooth, greyish field with blurred spots and thin lines, float64."""
    coarse = 128 + rng.uniform(-48, 48) + rng.uniform(-30, 30, (3, 4, 1)) + rng.uniform(-15, 15, (3, 4, 3))
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    spots = rng.normal(0, 10, (max(height // 8, 2), max(width // 8, 2), 3))
    field += cv2.resize(spots, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.randint(0, 4)):
        start, end = ((int(rng.randint(width)), int(rng.randint(height))) for _ in range(2))
        cv2.line(field, start, end, rng.uniform(20, 235, 3).tolist(), int(rng.randint(1, 3)))
    return np.clip(field, 0, 255)


def draw_mask(rng: np.random.RandomState, label: int, object_size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of an object, cropped to its box, whose sides are within ``object_size``."""
    low, high = object_size
    while True:
        # uniform in the logarithm: as many small objects as large ones
        size = np.exp(rng.uniform(np.log(low), np.log(high + 1)))
        side = 2 * int(high) + 3
        centre = side // 2
        canvas = np.zeros((side, side), np.uint8)
        name = CLASSES[label]
        if name == "circle":
            cv2.circle(canvas, (centre, centre), round(size / 2), 1, cv2.FILLED)
        elif name == "rectangle":
            aspect = np.exp(rng.uniform(-0.7, 0.7))
            half = size / 2 * np.array([np.sqrt(aspect), 1 / np.sqrt(aspect)])
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
            fill(canvas, corners, centre, rng.uniform(-0.3, 0.3))
        else:
            angles = np.array([0, 2, 4]) * np.pi / 3 + rng.uniform(-0.35, 0.35, 3)
            corners = size / 1.73 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            fill(canvas, corners, centre, rng.uniform(0, 2 * np.pi))
        x, y, w, h = cv2.boundingRect(canvas)
        if low <= min(w, h) and max(w, h) <= high:
            return canvas[y : y + h, x : x + w].astype(bool)


def fill(canvas: np.ndarray, corners: np.ndarray, centre: int, angle: float) -> None:
    """Draw a rotated polygon into a canvas, in place."""
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cv2.fillPoly(canvas, [np.rint(corners @ rotation + centre).astype(np.int32)], 1)


def pick_colour(rng: np.random.RandomState, label: int, behind: np.ndarray) -> np.ndarray:
    """Return a bright BGR colour, away from the mean colour behind the object.

    Each class has its own range of hues, so that a detector learns in a minute.
    """
    mean = behind.mean(axis=0)
    while True:
        hue = (label / len(CLASSES) + rng.normal(0, 20 / 360)) % 1
        red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(0.5, 1), rng.uniform(0.5, 1))
        colour = 255 * np.array([blue, green, red])
        if np.abs(colour - mean).max() > 60:
            return colour
