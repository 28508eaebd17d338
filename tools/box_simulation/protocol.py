"""What the DIoU paper's simulation consists of: targets, anchors, centres and learning rates.

arXiv 1911.08287: each of 49 anchors at each of 5,000 centres is regressed to each of 7 targets, 1,715,000 cases in all.
Boxes are columns ``(x, y, w, h)`` with the centre first, in units in which the targets have area 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

STEPS = 200
CENTRES = 5000
RADIUS = 3.0
MIDDLE = (10.0, 10.0)
RATIOS = (1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0)
"""Width over height, of the targets and of the anchors."""
AREAS = (0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0)
"""Of the anchors; those of the targets are 1."""
PER_CENTRE = len(AREAS) * len(RATIOS) ** 2
"""Cases of one centre, 343."""


def learning_rate(iteration: int, steps: int = STEPS) -> float:
    """Of iteration 1, 2, ...: 0.1, after 80 % of the steps 0.01, and after 90 % of them 0.001."""
    return 0.1 if iteration * 10 <= steps * 8 else 0.01 if iteration * 10 <= steps * 9 else 0.001


def random_centres(seed: int, count: int = CENTRES) -> np.ndarray:
    """Centres of anchors, uniform by area in the disk, ``(count, 2)``."""
    first, second = np.random.default_rng(seed).random((2, count))
    return on_disk(RADIUS * np.sqrt(first), 2 * math.pi * second)


def sunflower(count: int) -> np.ndarray:
    """Centres spread over the disk like the seeds of a sunflower, ``(count, 2)``."""
    index = np.arange(count)
    return on_disk(RADIUS * np.sqrt((index + 0.5) / count), index * math.pi * (3 - math.sqrt(5)))


def on_disk(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack((MIDDLE[0] + radius * np.cos(angle), MIDDLE[1] + radius * np.sin(angle)), 1)


def cases(centres: np.ndarray) -> tuple[Tensor, Tensor]:
    """Anchors and targets of all cases at some centres, centre by centre: ``(4, 343 n)`` each, float64."""
    ratio = torch.tensor(RATIOS, dtype=torch.float64)
    area = torch.tensor(AREAS, dtype=torch.float64).unsqueeze(1)
    anchors = torch.stack(((area * ratio).sqrt(), (area / ratio).sqrt())).flatten(1)
    targets = torch.stack((ratio.sqrt(), ratio.rsqrt()))
    shape = (-1, len(centres), anchors.shape[1], targets.shape[1])
    place = torch.from_numpy(centres).t().contiguous()
    boxes = torch.cat((place[:, :, None, None].expand(shape), anchors[:, None, :, None].expand(shape)))
    middle = torch.tensor(MIDDLE, dtype=torch.float64)
    wanted = torch.cat((middle[:, None, None, None].expand(shape), targets[:, None, None].expand(shape)))
    return boxes.flatten(1), wanted.flatten(1)


def errors(boxes: Tensor, targets: Tensor) -> Tensor:
    """Error of each case: ``|x - X| + |y - Y| + |w - W| + |h - H|``."""
    return (boxes - targets).abs_().sum(0)
