"""The size of an image as an option: what it has to be, and what is said where it cannot be right."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ...functional.reduce import mean_of_columns
from ..declared import Check, are_numbers
from ..inputs import check_rows

YOLO_SHAPE = (640, 640)
"""The default; as an object, which tells it from the same size that somebody wrote."""

SIZE = Check(lambda size: are_numbers(size) and len(size) == 2 and min(size) > 0, "(height, width), both more than 0")


def image_shape(given: tuple[float, float], name: str) -> tuple[float, float]:
    """The size as a tuple, with a warning where it is not given."""
    if given is YOLO_SHAPE:
        warnings.warn(
            f"img_shape is not given, so {name} measures distances by the diagonal of an image of 640 x 640: write "
            "img_shape=(height, width), the size that images have in the network.",
            stacklevel=4,
        )
    return tuple(given)


def check_inside(name: str, boxes: Tensor, shape: tuple[float, float], weight: Tensor | None) -> None:
    """Raise for the first box beyond an image of a size whose weight is not 0. Reads values back."""
    height, width = shape
    inside = boxes[:, 2:] <= torch.tensor([width, height], device=boxes.device)
    weight = None if weight is None else mean_of_columns(weight)
    check_rows(name, boxes, inside, weight, f"boxes in an image of img_shape={shape}, (height, width) in the network")
