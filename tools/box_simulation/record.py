"""Results of the simulation, in files beside the pictures that are drawn of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tool_runtime.errors import ToolError
from tool_runtime.provenance import provenance

from .protocol import PER_CENTRE
from .settings import Settings

CLOSE = 0.1
"""Final error below which a case counts as fitted."""
KIND = "box simulation"


@dataclass(frozen=True)
class Result:
    """The simulation of one loss.

    Attributes:
        loss: Its line of a config.
        label: Its name in legends.
        settings: What was simulated.
        initial: Sum of the errors before the first iteration, for 5,000 centres.
        totals: Sum of the errors after each iteration, for 5,000 centres.
        final: Final error of each centre, the sum over its 343 cases; empty where a file leaves it out.
        fitted: Share of the cases with a final error below :data:`CLOSE`.
        apart: Share of the cases that do not overlap their target at the end.
        seconds: Time it took.
    """

    loss: str
    label: str
    settings: Settings
    initial: float
    totals: tuple[float, ...]
    final: tuple[float, ...]
    fitted: float
    apart: float
    seconds: float

    @property
    def score(self) -> float:
        """Sum of the totals over the iterations."""
        return math.fsum(self.totals)

    @property
    def cases(self) -> int:
        """How many boxes were moved."""
        return len(self.settings.places) * PER_CENTRE

    def as_json(self, final: bool = True) -> dict[str, Any]:
        """For a file; numbers are rounded to what matters.

        Args:
            final: Whether to keep the final error of each centre.
        """
        return {
            "loss": self.loss,
            "label": self.label,
            "settings": asdict(self.settings),
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "initial": round(self.initial, 1),
            "score": round(self.score, 1),
            "fitted": round(self.fitted, 6),
            "apart": round(self.apart, 6),
            "totals": [round(total, 1) for total in self.totals],
            "final": [round(error, 4) for error in self.final] if final else [],
        }


def from_json(run: Mapping[str, Any]) -> Result:
    """The inverse of :meth:`Result.as_json`."""
    return Result(
        loss=str(run["loss"]),
        label=str(run["label"]),
        settings=Settings(**run["settings"]),
        initial=float(run["initial"]),
        totals=tuple(map(float, run["totals"])),
        final=tuple(map(float, run["final"])),
        fitted=float(run["fitted"]),
        apart=float(run["apart"]),
        seconds=float(run["seconds"]),
    )


def write(file: Path, results: Sequence[Result], final: bool = True) -> None:
    """Write results, with the versions of what computed them.

    Raises:
        ToolError: Where the file cannot be written.
    """
    runs = [json.dumps(result.as_json(final), separators=(",", ":")) for result in results]
    about = json.dumps(provenance())[1:-1]
    text = f'{{"kind": "{KIND}", {about}, "runs": [\n' + ",\n".join(runs) + "\n]}\n"
    save(file, lambda: file.write_text(text, encoding="utf-8"))


def save(file: Path, writing: Any) -> None:
    """Write a file into a folder that is made if it is missing.

    Raises:
        ToolError: Where that fails.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        writing()
    except OSError as error:
        raise ToolError(f"{file} cannot be written: {error.strerror or error}") from None


def read(files: Sequence[Path]) -> list[Result]:
    """The results of files that :func:`write` made, one after the other.

    Raises:
        ToolError: For a file that is missing or something else.
    """
    results = []
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["kind"] != KIND:
                raise ValueError
            results += [from_json(run) for run in content["runs"]]
        except OSError as error:
            raise ToolError(f"--from {file}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ToolError(f"--from {file}: not a JSON that tools/simulate.py wrote beside pictures") from None
    return results
