"""What a comparison measured, as one JSON: settings, variants, and a record of each run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tool_runtime.errors import ToolError

VERSION = 1
AP90 = "bbox_mAP_90"
"""AP at an IoU of 0.9, of boxes alone: pycocotools and MMDetection do not say it."""
METRICS = ("bbox_mAP", "bbox_mAP_50", "bbox_mAP_75", AP90, "bbox_mAP_s", "bbox_mAP_m", "bbox_mAP_l")
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
"""TIDE's kinds of error, in its order."""
STATES = ("done", "failed", "missing")


@dataclass
class Settings:
    """What all runs have in common.

    Attributes:
        config: Name or path of the config.
        baseline: The variant that the others are compared with.
        seeds: The seeds that every variant is trained with.
        metric: Name in ``Run.metrics`` of what is compared.
        cfg_options: Options of all variants.
    """

    config: str
    baseline: str
    seeds: list[int]
    metric: str = METRICS[0]
    cfg_options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """A variant trained with a seed.

    An AP that does not exist, such as that of a size without objects, is None: COCO's -1 and NaN become it.

    Attributes:
        variant: Name of the variant.
        seed: Its seed.
        status: ``'done'``, ``'failed'`` or ``'missing'``.
        error: Why it failed, in a sentence.
        metrics: AP by the names in ``METRICS``, 0 to 1, after the last epoch.
        per_class: AP of each class.
        curve: A dictionary per evaluation: ``epoch`` and metrics.
        errors: dAP of each of ``KINDS``, see :func:`comparison.tide.dap`.
        seconds: Time of the training.
        peak_memory_mb: Largest memory, in MiB.
        versions: Version of Python and of each package that matters.
        commit: Commit of the code, with a ``+`` where files were not committed.
        config_sha256: Digest of the complete config.
    """

    variant: str
    seed: int
    status: str = "missing"
    error: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)
    per_class: dict[str, float | None] = field(default_factory=dict)
    curve: list[dict[str, float | None]] = field(default_factory=list)
    errors: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    config_sha256: str = ""

    def __post_init__(self) -> None:
        self.metrics = {name: existing(value) for name, value in self.metrics.items()}
        self.per_class = {name: existing(value) for name, value in self.per_class.items()}
        self.curve = [
            {name: value if name == "epoch" else existing(value) for name, value in entry.items()}
            for entry in self.curve
        ]
        self.errors = {name: finite(value) for name, value in self.errors.items()}
        self.seconds, self.peak_memory_mb = finite(self.seconds), finite(self.peak_memory_mb)

    @property
    def short_commit(self) -> str:
        """The commit's first twelve letters, and its ``+``."""
        return self.commit[:12] + "+" * self.commit.endswith("+")


@dataclass
class Results:
    """A comparison.

    Attributes:
        settings: What all runs have in common.
        variants: The options of each variant, by its name, in the order of the report.
        runs: One for each variant and seed; a pair that has none counts as missing.
    """

    settings: Settings
    variants: dict[str, dict[str, Any]]
    runs: list[Run]

    def __post_init__(self) -> None:
        if self.settings.baseline not in self.variants:
            raise ToolError(f"baseline: expected one of {', '.join(self.variants)}, got {self.settings.baseline}.")
        seen = set()
        for run in self.runs:
            if run.variant not in self.variants:
                raise ToolError(f"A run is of variant {run.variant}, expected one of {', '.join(self.variants)}.")
            name = f"Run of {run.variant}, seed {run.seed}"
            if run.status not in STATES:
                raise ToolError(f"{name}: expected a status of {', '.join(STATES)}, got {run.status}.")
            if (run.variant, run.seed) in seen:
                raise ToolError(f"{name}: expected once, got twice.")
            seen.add((run.variant, run.seed))

    @property
    def others(self) -> list[str]:
        """The variants beside the baseline."""
        return [name for name in self.variants if name != self.settings.baseline]

    def run(self, variant: str, seed: int) -> Run:
        """The run of a variant with a seed, missing where there is none."""
        for run in self.runs:
            if (run.variant, run.seed) == (variant, seed):
                return run
        return Run(variant, seed)

    def done(self, variant: str) -> dict[int, Run]:
        """The complete runs of a variant by their seed."""
        runs = {seed: self.run(variant, seed) for seed in self.settings.seeds}
        return {seed: run for seed, run in runs.items() if run.status == "done"}

    def absent(self) -> list[Run]:
        """The failed and the missing runs."""
        runs = [self.run(variant, seed) for variant in self.variants for seed in self.settings.seeds]
        return [run for run in runs if run.status != "done"]


def finite(value: float | None) -> float | None:
    """Return a number, None where it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def existing(value: float | None) -> float | None:
    """Return an AP, None where it does not exist: pycocotools says -1, MMDetection NaN for a class."""
    value = finite(value)
    return value if value is not None and value >= 0 else None


def to_dict(results: Results) -> dict[str, Any]:
    """Return the results as what JSON can hold."""
    return {"version": VERSION, **asdict(results)}


def from_dict(content: Any, name: str = "results") -> Results:
    """Return the results of :func:`to_dict`.

    Args:
        content: The content of a JSON.
        name: Its name, for messages.

    Raises:
        ToolError: Where it is something else.
    """
    if not isinstance(content, Mapping) or not {"settings", "variants", "runs"} <= set(content):
        raise ToolError(f"{name} was not written by tools/compare.py: expected settings, variants and runs.")
    if content.get("version") != VERSION:
        raise ToolError(
            f"{name} is of version {content.get('version')}, expected version {VERSION}: compare again with this tool."
        )
    if not isinstance(content["variants"], Mapping) or not isinstance(content["runs"], list):
        raise ToolError(f"{name}: expected variants by name and a list of runs.")
    return Results(
        record(Settings, content["settings"], f"{name}, settings"),
        {variant: dict(options) for variant, options in content["variants"].items()},
        [record(Run, run, f"{name}, run {number}") for number, run in enumerate(content["runs"])],
    )


def record(kind: type, content: Any, name: str) -> Any:
    """Return a dataclass of a dictionary, whose names are those of its fields."""
    if not isinstance(content, Mapping):
        raise ToolError(f"{name}: expected an object, got {content!r}.")
    known = [field.name for field in fields(kind)]
    if odd := [key for key in content if key not in known]:
        raise ToolError(f"{name}: unknown {', '.join(odd)}; expected some of {', '.join(known)}.")
    try:
        return kind(**content)
    except (TypeError, AttributeError) as error:
        raise ToolError(f"{name}: {error}.") from None


def read(file: str | Path) -> Results:
    """Read the JSON of a comparison.

    Raises:
        ToolError: Where it is missing or something else.
    """
    path = Path(file)
    if not path.is_file():
        raise ToolError(f"{file}: there is no such file; expected the JSON that tools/compare.py wrote.")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ToolError(f"{file} is no JSON: {error}.") from None
    return from_dict(content, str(file))


def write(results: Results, file: str | Path) -> None:
    """Write the JSON of a comparison; who reads it meanwhile finds the old one or the new one."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(to_dict(results), indent=1, allow_nan=False) + "\n")
    part.replace(path)
