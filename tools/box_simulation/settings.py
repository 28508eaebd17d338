"""What a simulation is to be: cases, rule and device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from tool_runtime.errors import ToolError

from .descent import PIXELS
from .protocol import CENTRES, STEPS, random_centres, sunflower


@dataclass(frozen=True)
class Settings:
    """What a simulation is to be.

    Attributes:
        rule: One of :data:`~box_simulation.descent.RULES`.
        centres: Number of centres on a sunflower; None for the 5,000 random ones.
        seed: Of the random centres.
        pixels: What one unit is for losses that compare boxes with a length in pixels; None where that does not matter.
        device: ``'cpu'`` or a CUDA device.
        processes: On a CPU; None for one per available core.
        stop: Iterations that are run, of those that the learning rate is made for.
    """

    rule: str = "xywh"
    centres: int | None = None
    seed: int = 0
    pixels: float | None = PIXELS
    device: str = "cpu"
    processes: int | None = None
    stop: int = STEPS

    @property
    def places(self) -> np.ndarray:
        """The centres, ``(n, 2)``."""
        return random_centres(self.seed) if self.centres is None else sunflower(self.centres)

    @property
    def scale(self) -> float:
        """What a total is multiplied by, to be that of 5,000 centres."""
        return 1.0 if self.centres is None else CENTRES / self.centres

    def check(self) -> None:
        """
        Raises:
            ToolError: For the first setting that cannot be.
        """
        for name, least in (("centres", 1), ("processes", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ToolError(f"--{name} must be {least} or more, got {value}")
        if self.pixels is not None and not 0 < self.pixels < math.inf:
            raise ToolError(f"--pixels must be more than 0 and finite, got {self.pixels:g}")
        try:
            device = torch.device(self.device)
        except RuntimeError:
            raise ToolError(f"--device must be cpu or cuda, got {self.device!r}") from None
        if device.type not in ("cpu", "cuda"):
            raise ToolError(f"--device must be cpu or cuda, since the simulation needs float64, got {self.device!r}")
        if device.type == "cuda" and not (device.index or 0) < torch.cuda.device_count():
            raise ToolError(
                f"--device {self.device} needs an NVIDIA GPU that torch sees, and it sees {torch.cuda.device_count()}: "
                "leave it out to run on the CPU"
            )
