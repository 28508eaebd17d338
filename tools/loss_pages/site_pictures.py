"""Curves and fields of the losses, drawn once for each state of the code."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from loss_views.choice import Chosen
from loss_views.examples import example
from loss_views.pictures import can_draw, save
from loss_views.plots_apart import plots_apart

from mmdet_losses.modules import Loss

from .links import ROOT
from .tables import in_file_order

CODE = ("mmdet_losses/functional", "mmdet_losses/modules", "mmdet_losses/rotated", "tools/loss_views")
ALSO = ("tools/loss_pages/tables.py", "tools/loss_pages/site_pictures.py")


class Drawn(NamedTuple):
    """The pictures of a loss.

    Attributes:
        pictures: Each picture with its description.
        words: Sentences that go with them, or the one that says why there is none.
    """

    pictures: list[tuple[Path, str]]
    words: list[str]


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
        warnings.simplefilter("ignore")  # what is left at its default is said below the pictures
        return {cls.__name__: kept(cls, now) for cls in in_file_order()}


def state() -> str:
    """A name of all that decides what the pictures look like."""
    code = hashlib.sha256(f"{torch.__version__} {matplotlib.__version__}".encode())
    also = [ROOT / name for name in ALSO]
    for path in [*also, *sorted(path for name in CODE for path in (ROOT / name).rglob("*.py"))]:
        code.update(path.read_bytes())
    return code.hexdigest()[:16]


def kept(cls: type[Loss], folder: Path) -> Drawn:
    """The pictures of a loss, which are drawn where an earlier build has not left all of them."""
    name = cls.__name__
    listed = folder / f"{name}.json"
    if not listed.exists():
        drawn = draw(example(name), name, folder)
        content = {"pictures": [(path.name, words) for path, words in drawn.pictures], "words": drawn.words}
        unfinished = listed.with_suffix(".part")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(listed)
    content = json.loads(listed.read_text())
    return Drawn([(folder / name, words) for name, words in content["pictures"]], content["words"])


def draw(chosen: Chosen, name: str, folder: Path) -> Drawn:
    """Draw a loss, each plot by itself: beside each other they are not legible in a narrow window."""
    sentence = can_draw(chosen)
    if sentence:
        return Drawn([], [sentence])
    plots = plots_apart(chosen)
    pictures = []
    for number, (words, figure) in enumerate(plots.figures, 1):
        path = folder / f"{name}-{number}.svg"
        save(figure, path)
        pictures.append((path, f"{name}, {words}"))
    return Drawn(pictures, [*([f"Drawn: `{chosen.label}`."] if chosen.options else []), *plots.notes])
