"""Single boxes on their way to a target, as a moving picture."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from loss_views.choice import Chosen
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tool_runtime.errors import ToolError
from tool_runtime.provenance import provenance
from torch import tensor
from tqdm import tqdm

from .descent import Movement, descend
from .pictures import COLOURS
from .protocol import MIDDLE, STEPS
from .record import save

TARGET = (*MIDDLE, 1.0, 1.0)
STARTS = ((11.9, 11.4, 1.0, 1.5), (7.6, 10.2, 1.2, 0.6), (10.5, 11.6, 2.2, 3.0))
"""Where boxes begin unless it is said: apart from the target in two directions, and around a part of it."""
DASHES = ("-", "--", "-.", ":")
FRAMES_PER_SECOND = 15
EVERY = 2


def kind_of(file: Path) -> str:
    """The ending of a moving picture, checked together with what it needs.

    Raises:
        ToolError: For another ending, and for MP4 without ffmpeg.
    """
    ending = file.suffix.lower()
    if ending not in (".gif", ".mp4"):
        raise ToolError(f"--animate takes a file that ends in .gif or .mp4, got {str(file)!r}")
    if ending == ".mp4" and shutil.which("ffmpeg") is None:
        raise ToolError("--animate FILE.mp4 needs the program ffmpeg on PATH: install it, or write a .gif")
    return ending


def ways(losses: Sequence[Chosen], starts: Sequence[Sequence[float]], rule: str, pixels: float) -> list[np.ndarray]:
    """For each loss the boxes over the iterations, ``(steps + 1, starts, 4)``."""
    found = []
    for chosen in losses:
        unit = pixels if Movement(chosen, rule).in_pixels else 1.0
        way = descend(chosen, tensor(starts) * unit, tensor(TARGET) * unit, rule, STEPS, unit=unit)
        found.append((way / unit).numpy())
    return found


class Scene:
    """A panel for each loss, with a box for each start and its error so far.

    Args:
        labels: Names of the losses.
        paths: What :func:`ways` gave.
        title: Stands above.
    """

    def __init__(self, labels: Sequence[str], paths: Sequence[np.ndarray], title: str) -> None:
        self.paths = paths
        columns = min(len(paths), 2 if len(paths) == 4 else 3)
        rows = math.ceil(len(paths) / columns)
        self.figure = Figure(figsize=(3.2 * columns + 0.4, 3.4 * rows + 0.6), layout="constrained")
        self.heading, self.title = self.figure.suptitle(" ", fontsize=10), title
        grid = self.figure.subplots(rows, columns, squeeze=False).ravel()
        low, high = self.limits()
        self.boxes: list[list[Rectangle]] = []
        self.trails: list[list[Any]] = []
        self.notes: list[Any] = []
        for axes, label, path in zip(grid, labels, paths, strict=False):
            axes.set(aspect="equal", xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
            axes.set_title(label, fontsize=10)
            x, y, w, h = TARGET
            axes.add_patch(Rectangle((x - w / 2, y - h / 2), w, h, facecolor="0.88", edgecolor="0.5", hatch="//"))
            looks: list[dict[str, Any]] = [
                {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}
                for index in range(path.shape[1])
            ]
            frames = [Rectangle((0, 0), 1, 1, fill=False, linewidth=2, **look) for look in looks]
            self.boxes.append([axes.add_patch(frame) for frame in frames])
            self.trails.append([axes.plot([], [], linewidth=1, **look)[0] for look in looks])
            self.notes.append(axes.set_xlabel(" ", fontsize=9))
        for axes in grid[len(paths) :]:
            axes.axis("off")
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # the panels stay where they are, whatever their notes say

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of what is shown: target and starts, with a margin; a box that leaves it is cut off."""
        begin = np.concatenate((self.paths[0][0], np.array([TARGET])))
        low, high = (begin[:, :2] - begin[:, 2:] / 2).min(0), (begin[:, :2] + begin[:, 2:] / 2).max(0)
        middle, reach = (low + high) / 2, 0.58 * (high - low).max()
        return middle - reach, middle + reach

    def show(self, iteration: int) -> None:
        """Put every box where it is at an iteration."""
        self.heading.set_text(f"{self.title}, iteration {iteration}")
        for path, boxes, trails, note in zip(self.paths, self.boxes, self.trails, self.notes, strict=True):
            for index, (box, trail) in enumerate(zip(boxes, trails, strict=True)):
                x, y, w, h = path[iteration, index]
                box.set(x=x - w / 2, y=y - h / 2, width=w, height=h)
                trail.set_data(path[: iteration + 1, index, 0], path[: iteration + 1, index, 1])
            note.set_text(f"error {np.abs(path[iteration] - TARGET).sum(-1).mean():.3f} per box")


def animate(file: Path, labels: Sequence[str], paths: Sequence[np.ndarray], title: str, progress: bool = True) -> None:
    """Write a moving picture.

    Raises:
        ToolError: Where that fails.
    """
    ending = kind_of(file)
    scene = Scene(labels, paths, title)
    writer = (PillowWriter if ending == ".gif" else FFMpegWriter)(fps=FRAMES_PER_SECOND)
    last = len(paths[0]) - 1
    shown = [*range(0, last + 1, EVERY), *[last] * FRAMES_PER_SECOND]

    def write() -> None:
        with writer.saving(scene.figure, str(file), dpi=80):
            for iteration in tqdm(shown, desc=file.name, unit=" frames", disable=None if progress else True):
                scene.show(iteration)
                writer.grab_frame()

    save(file, write)


def write_ways(picture: Path, losses: Sequence[Chosen], paths: Sequence[np.ndarray], rule: str, pixels: float) -> Path:
    """Write the boxes of a moving picture into a JSON beside it."""
    file = picture.with_suffix(".json")
    runs = [
        {"loss": chosen.line, "label": chosen.label, "boxes": path.round(6).tolist()}
        for chosen, path in zip(losses, paths, strict=True)
    ]
    about = {"kind": "box descent", **provenance(), "rule": rule, "pixels": pixels, "target": TARGET, "runs": runs}
    save(file, lambda: file.write_text(json.dumps(about) + "\n", encoding="utf-8"))
    return file
