#!/usr/bin/env python
"""Convert the blood-cell data set BCCD from its public VOC layout to the COCO layout of the configs.

    git clone https://github.com/Shenggan/BCCD_Dataset /tmp/BCCD_Dataset
    python tools/dataset_converters/bccd.py /tmp/BCCD_Dataset data/bccd

Reads ``BCCD/Annotations/*.xml``, ``BCCD/JPEGImages/*.jpg`` and ``BCCD/ImageSets/Main/{train,val,test}.txt``;
writes ``annotations/{train,val,test}.json``, ``images/`` and ``LICENSE``. Boxes are kept as they are, the
two of zero size too. Needs the standard library alone.
"""

import argparse
import filecmp
import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

SPLITS = ("train", "val", "test")
CLASSES = ("RBC", "WBC", "Platelets")


class ConversionError(ValueError):
    """The input is not what was expected, or the output would overwrite something."""


def find_voc(source: Path) -> Path:
    """Return the folder with ``Annotations``, ``JPEGImages`` and ``ImageSets``: ``source/BCCD`` or ``source``."""
    for folder in (source / "BCCD", source):
        if (folder / "Annotations").is_dir():
            break
    else:
        raise ConversionError(
            f"{source.absolute()}: expected a clone of https://github.com/Shenggan/BCCD_Dataset, "
            "with a folder BCCD/Annotations in it"
        )
    for needed in ("JPEGImages", *(f"ImageSets/Main/{split}.txt" for split in SPLITS)):
        if not (folder / needed).exists():
            raise ConversionError(f"{folder / needed} is missing: is the clone complete?")
    return folder


def read_xml(file: Path) -> tuple[int, int, list[tuple[str, list[int]]]]:
    """Return width, height and objects ``(class, [xmin, ymin, xmax, ymax])`` of one VOC annotation."""
    try:
        root = ET.parse(file).getroot()
        width, height = (int(root.findtext(f"size/{key}")) for key in ("width", "height"))
        objects = [
            (
                obj.findtext("name"),
                [int(obj.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")],
            )
            for obj in root.iter("object")
        ]
    except FileNotFoundError:
        raise ConversionError(f"{file} is missing: is the clone complete?") from None
    except (ET.ParseError, TypeError, ValueError) as error:
        raise ConversionError(f"{file} is not a complete VOC annotation: {error}") from error
    if width < 1 or height < 1:
        raise ConversionError(f"{file}: expected a positive image size, got {width}x{height}")
    for name, box in objects:
        if name not in CLASSES:
            raise ConversionError(f"{file}: expected a class of {CLASSES}, got {name!r}")
        if box[2] < box[0] or box[3] < box[1]:
            raise ConversionError(f"{file}: expected xmin <= xmax and ymin <= ymax, got {box}")
    return width, height, objects


def convert_split(voc: Path, split: str) -> dict:
    """Return a split as a COCO dictionary; images and annotations are numbered from 1 in the split's order."""
    names = (voc / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").split()
    if not names:
        raise ConversionError(f"{voc}/ImageSets/Main/{split}.txt names no image")
    images: list[dict] = []
    annotations: list[dict] = []
    for image_id, name in enumerate(names, start=1):
        width, height, objects = read_xml(voc / "Annotations" / f"{name}.xml")
        if not (voc / "JPEGImages" / f"{name}.jpg").is_file():
            raise ConversionError(f"{voc}/JPEGImages/{name}.jpg is missing: is the clone complete?")
        images.append({"id": image_id, "file_name": f"{name}.jpg", "width": width, "height": height})
        for cls, (xmin, ymin, xmax, ymax) in objects:
            w, h = xmax - xmin, ymax - ymin
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CLASSES.index(cls) + 1,
                    "bbox": [xmin, ymin, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    return {
        "info": {"description": "BCCD blood cells, converted to COCO format"},
        "licenses": [{"id": 1, "name": "MIT"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
    }


def convert(source: Path, out: Path) -> dict[str, dict]:
    """Convert ``source`` into ``out``. What is there already and equal is kept; nothing is overwritten.

    Args:
        source: Clone of the public repository.
        out: Folder to write; made where it is missing.

    Returns:
        The COCO dictionary of each split.

    Raises:
        ConversionError: a part of the input is missing or malformed, or ``out`` holds a different file
            under a name that would be written. Nothing has been written then.
    """
    voc = find_voc(source)
    splits = {split: convert_split(voc, split) for split in SPLITS}
    texts = {out / "annotations" / f"{split}.json": json.dumps(coco).encode() for split, coco in splits.items()}
    copies = {
        out / "images" / image["file_name"]: voc / "JPEGImages" / image["file_name"]
        for coco in splits.values()
        for image in coco["images"]
    }
    if (source / "LICENSE").is_file():
        copies[out / "LICENSE"] = source / "LICENSE"

    try:
        written = [path for path in (*texts, *copies) if path.exists()]
        for path in written:
            same = path.is_file() and (
                path.read_bytes() == texts[path] if path in texts else filecmp.cmp(path, copies[path], shallow=False)
            )
            if not same:
                raise ConversionError(
                    f"{path} exists and differs from what would be written. Nothing was changed. "
                    "Move it away, or choose another output folder."
                )
        for folder in (out / "annotations", out / "images"):
            folder.mkdir(parents=True, exist_ok=True)
        # Annotations last: where they are, the images are complete.
        for path in copies:
            if path not in written:
                replace(path, copies[path].read_bytes())
        for path, text in texts.items():
            if path not in written:
                replace(path, text)
    except OSError as error:
        raise ConversionError(f"{out.absolute()} cannot be read or written: {error}") from error
    return splits


def replace(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="clone of https://github.com/Shenggan/BCCD_Dataset")
    parser.add_argument("out", type=Path, help="folder to write, such as data/bccd")
    args = parser.parse_args()
    try:
        splits = convert(args.source, args.out)
    except ConversionError as error:
        sys.exit(f"bccd.py: {error}")
    for split, coco in splits.items():
        empty = sum(min(annotation["bbox"][2:]) == 0 for annotation in coco["annotations"])
        print(f"{split}: {len(coco['images'])} images, {len(coco['annotations'])} boxes, {empty} of them of zero size")
    print(f"written to {args.out.absolute()}")


if __name__ == "__main__":
    main()
