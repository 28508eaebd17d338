#!/usr/bin/env python
"""Draw a sheet of sample images of the embedded data set, with their boxes, into one picture.

tools/run python tools/draw_shapes.py docs/shapes.jpg
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from mmdet_losses.data.drawings import CLASSES, ShapesSpec, draw

COLOURS = dict(zip(CLASSES, [(0, 0, 255), (0, 255, 0), (255, 80, 0)], strict=True))  # BGR


def annotated(spec: ShapesSpec, index: int) -> np.ndarray:
    """Return an image with a box around every object, coloured by class."""
    image, objects = draw(spec, index)
    for label, (x, y, w, h) in objects:
        cv2.rectangle(image, (x, y), (x + w - 1, y + h - 1), COLOURS[CLASSES[label]], 1)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="picture to write, .png or .jpg")
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), default=ShapesSpec.image_size)
    parser.add_argument("--seed", type=int, default=ShapesSpec.seed)
    args = parser.parse_args()
    if args.rows < 1 or args.columns < 1:
        parser.error("--rows and --columns: expected positive numbers")
    try:
        spec = ShapesSpec(image_size=tuple(args.size), seed=args.seed)
    except ValueError as error:
        parser.error(str(error))
    rows = [
        np.hstack([annotated(spec, row * args.columns + column) for column in range(args.columns)])
        for row in range(args.rows)
    ]
    try:
        written = cv2.imwrite(str(args.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
    except cv2.error:
        written = False
    if not written:
        sys.exit(f"draw_shapes.py: {args.out} could not be written: expected .png or .jpg in an existing folder")


if __name__ == "__main__":
    main()
