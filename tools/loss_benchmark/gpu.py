"""Checks that need a GPU: share of the memory floor, kernels per call, and that no call synchronises."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tool_runtime.errors import ToolError
from tqdm import tqdm

from mmdet_losses.registry import LOSSES

from . import run, shapes, subjects
from .bars import times_as_fast
from .inputs import draw_calls
from .providers import PROVIDERS
from .report import share_of_copy
from .shapes import CLASSES
from .unit import Unit

ROWS = 16 * 9 * sum(shapes.LEVELS)
"""RetinaNet's anchors in 16 images: 258 million logits of 80 classes."""
COPIES = 12
"""Buffers of the logits' size that the provider with the highest peak holds, with a margin."""
LEAST_SHARE = 0.8
MOST_KERNELS = 2
DENSE = (
    "FocalLoss",
    "QualityFocalLoss",
    "QualityFocalLoss (dense)",
    "VarifocalLoss",
    "CrossEntropyLoss (sigmoid)",
)
OURS = ("eager", "fused")


def rows_that_fit(free_bytes: int, rows: int = ROWS) -> int:
    """Return ``rows``, or as many as fit into memory in float32."""
    fitting = free_bytes // (4 * CLASSES * COPIES)
    if fitting < 1:
        raise ToolError(f"{free_bytes / 2**20:.0f} MB of free memory hold no row of {CLASSES} logits.")
    return min(rows, fitting)


def floor_check(device: str, rows: int, seconds: float, file: Path) -> list[dict[str, Any]]:
    """Compare forward plus backward of the dense losses with a copy, input read in forward and in backward.

    That is three passes over the logits for labels, and five for a dense target.
    """
    content = run.measure(run.Settings(losses=DENSE, sizes=[rows], device=device, seconds=seconds), file)
    # the name of a loss selects all of its forms
    return judged(device, (row for case in content["cases"] if case["name"] in DENSE for row in floor_rows(case)))


def judged(device: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows; a dry run on a CPU passes and fails none, since the bars are those of a GPU."""
    return [row if device == "cuda" else {**row, "passed": None} for row in rows]


def floor_rows(case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per provider; fused passes at 80 % or more of the floor and ahead of mmcv's operator."""
    for name, entry in case["providers"].items():
        row: dict[str, Any] = {"loss": case["name"], "rows": case["rows"][0], "provider": name}
        if "error" in entry:
            yield {**row, "error": entry["error"], "passed": False if name == "fused" else None}
            continue
        share = share_of_copy(case, name, "both_twice")
        ahead = times_as_fast(case, name, peer="mmcv")
        passed = share is not None and share >= LEAST_SHARE and (ahead is None or ahead > 1)
        yield {
            **row,
            "ms": entry["both"]["median"],
            "share_of_floor": share,
            "times_mmcv": ahead,
            "peak_gradients": entry["memory"]["both"] / case["gradient_bytes"] if "memory" in entry else None,
            "passed": passed if name == "fused" else None,
        }


def kernel_check(device: str, rows: int, file: Path) -> list[dict[str, Any]]:
    """Count the kernels per call of each box loss; a sum has those of its members."""
    names = [one.name for one in subjects.subjects() if one.group == "boxes" and LOSSES[one.loss].fusible]
    content = run.measure(run.Settings(losses=names, sizes=[rows], device=device, seconds=0.2), file)
    return judged(device, (row for case in content["cases"] for row in kernel_rows(case)))


def kernel_rows(case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per provider; fused passes with at most two kernels forward and two backward."""
    for name, entry in case["providers"].items():
        row: dict[str, Any] = {"loss": case["name"], "provider": name, **entry.get("kernels", {})}
        if "error" in entry:
            yield {**row, "error": entry["error"], "passed": False if name == "fused" else None}
            continue
        count = entry.get("kernels")
        passed = None if count is None or name != "fused" else max(count.values()) <= MOST_KERNELS
        yield {**row, "passed": passed}


@contextmanager
def no_waiting(device: str) -> Iterator[None]:
    """Context in which synchronising with a CUDA device raises."""
    if device != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def sync_check(device: str, rows: int, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Run every loss, forward and backward, with a number and with a tensor as ``avg_factor``."""
    chosen = subjects.select(names)
    # cells in lists, which have to be copied to the device
    others = [group for group in shapes.GROUPS if group not in (*shapes.SWEPT, "corners")]
    sized = shapes.select(None, [rows]) + shapes.select(others)
    found = []
    for subject in tqdm(chosen, desc="waiting", file=sys.stderr, dynamic_ncols=True):
        for name in OURS:
            if PROVIDERS[name].offers(subject, device):
                for shape in subject.shapes(sized):
                    found.append({"loss": subject.name, "provider": name, **wait_of(subject, shape, name, device)})
    return found


def wait_of(subject: subjects.Subject, shape: shapes.Shape, name: str, device: str) -> dict[str, Any]:
    """Return whether a loss waits for the device after its first call, which compiles and allocates."""
    try:
        compute = PROVIDERS[name].build(subject, device)
        for as_tensor in (False, True):
            calls = draw_calls(subject, shape, device, torch.float32)
            for call in calls:
                if as_tensor and call.avg_factor is not None:
                    call.avg_factor = torch.tensor(float(call.avg_factor), device=device)
            unit = Unit(compute, calls, device)
            unit.both()
            with no_waiting(device):
                unit.both()
    except Exception as error:  # a failure is a result, too
        return {"passed": False, "error": run.failure(error)}
    return {"passed": True if device == "cuda" else None}
