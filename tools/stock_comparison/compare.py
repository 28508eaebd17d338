"""This package's losses beside MMDetection's own of the same names, with the same config, seed and data order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tool_runtime.trial import Trial, run_all

SIDES = ("ours", "stock")


def run_pairs(
    configs: Sequence[str],
    seeds: Sequence[int],
    work_dir: str,
    *,
    iters: int,
    lr: float | None = None,
    threads: int | None = None,
    parallel: bool = False,
    fresh: bool = False,
    options: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Train every config with every seed on both sides.

    Args:
        configs: Paths of configs.
        seeds: Values of ``randomness.seed``.
        work_dir: Where the runs are kept; complete ones are reused.
        iters, lr, threads, options: See :class:`~tool_runtime.trial.Trial`.
        parallel: Whether to run the two sides at the same time.
        fresh: Whether to ignore earlier results.

    Returns:
        One dict per config and seed: ``config`` (its name), ``seed``, and the record of each side.
    """
    trials = {}
    for config in configs:
        for seed in seeds:
            for side in SIDES:
                folder = Path(work_dir) / Path(config).stem / f"iters{iters}-seed{seed}-{side}"
                trials[label(config, seed, side)] = Trial(
                    config, str(folder), side, seed, iters, lr, threads=threads, options=options or {}
                )
    results = run_all(trials, jobs=2 if parallel else 1, fresh=fresh)
    return [
        {
            "config": Path(config).stem,
            "seed": seed,
            **{side: results[label(config, seed, side)] for side in SIDES},
        }
        for config in configs
        for seed in seeds
    ]


def label(config: str, seed: int, side: str) -> str:
    """Return the name of a trial in the progress output."""
    return f"{Path(config).stem} seed {seed} {side}"


def relative_differences(ours: list[dict[str, float]], stock: list[dict[str, float]]) -> list[float]:
    """Return, per iteration, the largest ``|ours - stock| / |stock|`` over the total loss and all its parts.

    Args:
        ours, stock: Losses per iteration, of equal length and with equal keys.

    Raises:
        ValueError: Where lengths or keys differ, as they cannot between two runs of one config.
    """
    if len(ours) != len(stock):
        raise ValueError(f"ours and stock: expected as many iterations, got {len(ours)} and {len(stock)}")
    differences = []
    for iteration, (a, b) in enumerate(zip(ours, stock, strict=True)):
        if a.keys() != b.keys():
            raise ValueError(f"iteration {iteration}: expected the same losses, got {sorted(a)} and {sorted(b)}")
        differences.append(
            max(0.0 if a[key] == b[key] else abs(a[key] - b[key]) / max(abs(b[key]), 1e-12) for key in a)
        )
    return differences


def iteration_table(pairs: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the differences between the losses of the first iterations."""
    rows = [
        "| config | seed | iterations | loss of the first, ours | stock | rel. difference of the first | largest |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        ours, stock = (pair[side]["losses"] for side in SIDES)
        differences = relative_differences(ours, stock)
        rows.append(
            f"| {pair['config']} | {pair['seed']} | {len(ours)} | {ours[0]['loss']:.6f} | {stock[0]['loss']:.6f} "
            f"| {differences[0]:.1e} | {max(differences):.1e} |"
        )
    return "\n".join(rows) + "\n"


def write_json(pairs: list[dict[str, Any]], file: str | Path) -> None:
    """Write the records, without paths of this machine."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    published = [{**pair, **{side: portable(pair[side]) for side in SIDES}} for pair in pairs]
    Path(file).write_text(json.dumps(published, indent=1) + "\n")


def portable(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what :func:`write_json` leaves out."""
    trial = {key: value for key, value in record["trial"].items() if key != "work_dir"}
    trial["options"] = {key: value for key, value in trial["options"].items() if key != "data_root"}
    trial["config"] = Path(trial["config"]).name
    kept = {key: value for key, value in record.items() if key not in ("fingerprint", "trial", "metrics")}
    return {"trial": trial, **kept}
