"""Curves and fields of the losses, drawn once for each state of the code."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from loss_views.choice import Chosen
from loss_views.examples import example
from loss_views.pictures import can_draw, can_draw_field, curves_picture, field_picture, save
from matplotlib.figure import Figure

from mmdet_losses.modules import Loss

from .links import ROOT
from .tables import in_file_order

CODE = ("mmdet_losses/functional", "mmdet_losses/modules", "mmdet_losses/rotated", "tools/loss_views")
EXAMPLES = ROOT / "tools/loss_pages/tables.py"


class Drawn(NamedTuple):
    """The pictures of a loss.

    Attributes:
        pictures: Each picture with its description.
        sentence: Why there is none.
    """

    pictures: list[tuple[Path, str]]
    sentence: str


def draw_all(folder: Path) -> dict[str, Drawn]:
    """The pictures of every loss, by the name of its class.

    Args:
        folder: Where pictures are kept from one build to the next.
    """
    now = folder / state()
    for old in folder.glob("*"):
        if old != now:
            shutil.rmtree(old)
    now.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left at its default is said below the picture
        return {cls.__name__: draw(cls, now) for cls in in_file_order()}


def state() -> str:
    """A name of all that decides what the pictures look like."""
    code = hashlib.sha256(f"{torch.__version__} {matplotlib.__version__}".encode())
    for path in [EXAMPLES, *sorted(path for name in CODE for path in (ROOT / name).rglob("*.py"))]:
        code.update(path.read_bytes())
    return code.hexdigest()[:16]


def draw(cls: type[Loss], folder: Path) -> Drawn:
    """The pictures of a loss."""
    name = cls.__name__
    chosen = example(name)
    sentence = can_draw(chosen)
    if sentence:
        return Drawn([], sentence)
    of_boxes = not can_draw_field(chosen)
    pictures = []
    for number, paths in enumerate(rows(chosen) if of_boxes else [None], 1):
        words = f"Values and derivatives of {chosen.label}, {number}."
        pictures.append(keep(folder / f"{name}-curves-{number}.svg", words, curves_picture, chosen, paths=paths))
    if of_boxes:
        words = f"Where {chosen.label} pushes the centre of a predicted box, with contours of the value."
        pictures.append(keep(folder / f"{name}-field.svg", words, field_picture, chosen))
    return Drawn(pictures, "")


def rows(chosen: Chosen) -> tuple[tuple[str, str], ...]:
    """Names of the paths of a loss of boxes, two in a picture: four beside each other are not legible on a page."""
    return ("away", "grows"), ("aspect", "turns" if chosen.cls.slot == "rbox" else "scales")


def keep(path: Path, words: str, picture: Callable[..., Figure], *chosen: Chosen, **options: Any) -> tuple[Path, str]:
    """A picture that is drawn where an earlier build has not left it."""
    if not path.exists():
        unfinished = path.with_suffix(f".part{path.suffix}")
        save(picture(chosen, **options), unfinished)
        unfinished.replace(path)
    return path, words
