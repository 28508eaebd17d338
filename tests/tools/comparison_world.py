"""Made-up results of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comparison.results import KINDS, METRICS, Results, Run, Settings

BASE = (0.52, 0.53, 0.51, 0.54, 0.5, 0.525, 0.515, 0.535, 0.505, 0.546)
"""AP of a baseline with ten seeds."""
NOISE = (0.004, -0.003, 0.001, -0.006, 0.005, 0.002, -0.004, 0.003, -0.001, -0.001)
"""What a second training of each seed adds; their sum is 0."""
VERSIONS = {"python": "3.11.7", "torch": "2.6.0", "mmdet": "3.3.0"}


def run(variant: str, seed: int, ap: float | None, **changes: Any) -> Run:
    """Return a complete run, in which everything follows from the AP."""
    value = 0.5 if ap is None else ap
    sizes = {"bbox_mAP": ap, "bbox_mAP_50": value + 0.3, "bbox_mAP_75": value - 0.05}
    sizes |= {"bbox_mAP_s": -1.0, "bbox_mAP_m": value - 0.1, "bbox_mAP_l": value + 0.1}
    content = {
        "status": "done",
        "metrics": sizes,
        "per_class": {"cell <a>": value + 0.1, "platelet": value - 0.1, "absent": float("nan")},
        "curve": [{"epoch": epoch, "bbox_mAP": value * epoch / (epoch + 2)} for epoch in (2, 4, 6)],
        "errors": {kind: 0.1 * value + 0.02 * number for number, kind in enumerate(KINDS)},
        "seconds": 60 + 10 * value,
        "peak_memory_mb": 1500.0,
        "versions": VERSIONS,
        "commit": "0123456789abcdef",
        "config_sha256": "fedcba9876543210",
    }
    return Run(variant, seed, **{**content, **changes})


def results(
    aps: Mapping[str, Sequence[float | None]], baseline: str | None = None, without: Sequence[Run] = ()
) -> Results:
    """Return results of complete runs.

    Args:
        aps: AP of each seed, 0, 1, ..., by variant.
        baseline: Its name, the first by default.
        without: Runs that take the place of those of the same variant and seed; missing ones are left out.
    """
    instead = {(run.variant, run.seed): run for run in without}
    runs = [
        instead.get((name, seed), run(name, seed, ap)) for name, values in aps.items() for seed, ap in enumerate(values)
    ]
    count = max(len(values) for values in aps.values())
    settings = Settings("configs/made_up.py", baseline or next(iter(aps)), list(range(count)), METRICS[0], {"a.b": 1})
    options = {name: {"model.bbox_head.loss_bbox.type": name} for name in aps}
    return Results(settings, options, [run for run in runs if run.status != "missing"])


def plus(effect: float, times: float = 1.0) -> list[float]:
    """Return the baseline's AP with an effect and the noise."""
    return [base + effect + times * noise for base, noise in zip(BASE, NOISE, strict=True)]
