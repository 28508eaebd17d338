"""Measuring losses: every subject in each of its shapes, providers interleaved, results written as they come."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tool_runtime.errors import ToolError, with_cause
from tool_runtime.provenance import provenance
from tqdm import tqdm

from . import shapes, subjects
from .arithmetic import computing
from .clock import QUICK, TIMERS, Action, Budget, interleave, spread
from .heap import keep_memory
from .inputs import draw_calls
from .kernels import compiled_graphs, generated_kernels
from .probe import Probe
from .providers import PROVIDERS
from .shapes import Shape, choose
from .subjects import Subject
from .traffic import copying, gradient_bytes, traffic
from .unit import Unit

FORMAT = 1
"""Version of the JSON, higher where a reader of the former one would misread it."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MODES = ("forward", "both")
QUICK_ROWS = 200
"""Most rows of a call with ``--quick``."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        losses, shapes, providers: Names; empty for all.
        sizes: Numbers of rows of further shapes.
        device: ``'cpu'`` or ``'cuda'``.
        dtype: Dtype of predictions and targets.
        threads: CPU threads of torch, None for its default.
        seconds: Time for a case, see :class:`~.clock.Budget`.
        quick: Whether to run a few rounds of small inputs, as a smoke test.
        seed: Seed of the inputs.
    """

    losses: Sequence[str] = ()
    shapes: Sequence[str] = ()
    providers: Sequence[str] = ()
    sizes: Sequence[int] = ()
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None
    seconds: float = 3.0
    quick: bool = False
    seed: int = 0

    @property
    def budget(self) -> Budget:
        """Time for a case."""
        return QUICK if self.quick else Budget(self.seconds)

    def cases(self) -> list[tuple[Subject, Shape]]:
        """Return every loss in each of its shapes."""
        found = shapes.select(self.shapes, self.sizes, shapes.IMAGES[self.device])
        if self.quick:
            found = [reduced(shape) for shape in found]
        chosen = subjects.select(self.losses)
        pairs = [(subject, shape) for subject in chosen for shape in subject.shapes(found)]
        if not pairs:
            raise ToolError("none of these losses is called in any of these shapes: leave one of the two out.")
        return pairs


def reduced(shape: Shape) -> Shape:
    """Return a shape with few rows."""
    return Shape(**{**vars(shape), "rows": tuple(min(n, QUICK_ROWS) for n in shape.rows)})


@dataclass
class Report:
    """The JSON of a run, written after each case."""

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Write the content atomically."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(self.file.name + ".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(part, self.file)


def machine(device: str) -> dict[str, Any]:
    """Return the machine that figures come from."""
    name = platform.processor()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    found: dict[str, Any] = {
        "cpu": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


def start(kind: str, settings: dict[str, Any], device: str) -> dict[str, Any]:
    """Return the head of a run's JSON."""
    return {
        "format": FORMAT,
        "kind": kind,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "command": " ".join(["tools/benchmark.py", *sys.argv[1:]]),
        "settings": json.loads(json.dumps(settings)),
        "machine": machine(device),
        **provenance(),
    }


def prepare(device: str, threads: int | None) -> None:
    """Check the device, set the threads, and keep freed memory."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ToolError("no GPU is visible: use --device cpu.")
    if threads is not None:
        if threads < 1:
            raise ToolError(f"--threads is 1 or more, got {threads}.")
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_memory()


def measure(settings: Settings, file: str | Path) -> dict[str, Any]:
    """Measure, show progress, and write the JSON; an interrupt leaves what was measured so far.

    Returns:
        The JSON's content.
    """
    cases = settings.cases()
    chosen = choose(settings.providers, PROVIDERS, "provider")
    if not any(PROVIDERS[name].offers(subject, settings.device) for name in chosen for subject, _ in cases):
        raise ToolError(f"none of {', '.join(chosen)} has any of these losses here: choose other providers.")
    prepare(settings.device, settings.threads)
    report = Report(Path(file), start("losses", asdict(settings), settings.device))
    report.content |= {"providers": chosen, "planned": len(cases), "complete": False, "copy": None, "cases": []}
    probe = Probe(settings.device)
    probe()
    if settings.device == "cpu":
        probe.medians.clear()  # the first one includes page faults
        probe()
    try:
        measure_cases(cases, chosen, settings, report, probe)
    except KeyboardInterrupt:
        done = len(report.content["cases"])
        report.write()
        raise KeyboardInterrupt(f"interrupted; {done} of {len(cases)} cases are in {file}") from None
    report.content["complete"] = True
    report.content["load_at_end"] = machine(settings.device)["load"]
    report.write()
    return report.content


def measure_cases(
    cases: Sequence[tuple[Subject, Shape]], chosen: Sequence[str], settings: Settings, report: Report, probe: Probe
) -> None:
    """Measure the cases, and after each write the report and time a copy."""
    before, generated = None, 0
    bar = tqdm(cases, file=sys.stderr, unit="case", dynamic_ncols=True)
    for subject, shape in bar:
        bar.set_description(f"{subject.name} {shape.name}")
        if subject != before and "fused" in chosen:
            # each loss compiles by itself, so that its kernels are counted and none uses up another's limit
            torch._dynamo.reset()
            generated = 0
        case = measure_case(subject, shape, settings, chosen)
        before = subject
        fused = case["providers"].get("fused", {})
        # a shape without a graph of its own runs the kernels of an earlier one
        generated = fused.get("generated_kernels") or generated
        if "generated_kernels" in fused and not fused.get("by_hand") and max(shape.rows) > 1:
            fused["generated_kernels"] = generated
        case["copy_16mb_ms"] = probe()
        report.content["cases"].append(case)
        report.content["copy"] = probe.verdict()
        report.write()


def measure_case(subject: Subject, shape: Shape, settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Measure a loss in a shape by those of the named providers that have it."""
    device = settings.device
    calls = draw_calls(subject, shape, device, DTYPES[settings.dtype], settings.seed)
    moved = traffic(calls)
    entries: dict[str, dict[str, Any]] = {}
    units: dict[str, Unit] = {}
    for name in names:
        if not PROVIDERS[name].offers(subject, device) or (name == "fused" and shape.unreduced):
            continue
        entries[name] = {}
        try:
            units[name] = Unit(PROVIDERS[name].build(subject, device), calls, device)
            kernels, graphs, begin = generated_kernels(), compiled_graphs(), time.perf_counter()
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                units[name].both()
            entries[name]["first_call_seconds"] = time.perf_counter() - begin
            if name == "fused":
                entries[name] |= {
                    "generated_kernels": generated_kernels() - kernels,
                    "graphs": compiled_graphs() - graphs,
                    "by_hand": units[name].by_hand(),
                    "warnings": sorted({str(one.message) for one in said if one.category is UserWarning}),
                }
        except Exception as error:  # a failure is a result, too
            entries[name] = {"error": failure(error)}
            units.pop(name, None)
    floors: dict[str, dict[str, Any]] = {}
    for mode in MODES:
        bare = {"copy": copying(moved[mode], device) if moved[mode] else None}
        if mode == "both" and device == "cpu" and not subject.only:
            bare["arithmetic"] = computing(shape.group, calls)
        floors[mode] = time_mode(mode, units, entries, {name: do for name, do in bare.items() if do}, settings)
    for name, unit in units.items():
        try:
            entries[name]["memory"] = unit.memory()
            if not (name == "fused" and device == "cpu"):
                entries[name]["kernels"] = unit.kernels()
        except Exception as error:
            entries[name]["error"] = failure(error)
        unit.clear()
    if device == "cuda":
        torch.cuda.empty_cache()
    return {
        "loss": subject.loss,
        "name": subject.name,
        "shape": shape.name,
        "group": shape.group,
        "rows": list(shape.rows),
        "columns": shape.columns + subject.extra,
        "weighted": shape.weighted,
        "traffic": moved,
        "gradient_bytes": gradient_bytes(calls),
        "copy": {mode: floors[mode].get("copy") for mode in MODES},
        "arithmetic": floors["both"].get("arithmetic"),
        "providers": entries,
    }


def time_mode(
    mode: str,
    units: dict[str, Unit],
    entries: dict[str, dict[str, Any]],
    bare: dict[str, Action],
    settings: Settings,
) -> dict[str, Any]:
    """Write the times of a mode into ``entries``, and return those of the floors in ``bare``, of the same rounds.

    A provider that fails is noted and removed, and the others are measured again without it.
    """
    while True:
        failed: dict[str, str] = {}
        actions: dict[str, Action] = {
            name: partial(guarded, getattr(unit, mode), name, failed) for name, unit in units.items()
        }
        try:
            samples = interleave(actions | bare, TIMERS[settings.device], settings.budget)
        except Exception:
            if not failed:
                raise
            for name, message in failed.items():
                entries[name]["error"] = message
                del units[name]
            continue
        for name in units:
            entries[name][mode] = spread(samples[name])
        return {name: spread(samples[name]) for name in bare}


def guarded(action: Action, name: str, failed: dict[str, str]) -> None:
    """Run an action, and note its failure."""
    try:
        action()
    except Exception as error:
        failed[name] = failure(error)
        raise


def failure(error: Exception) -> str:
    """Return the first line of an error, and its root cause."""
    lines = str(error).strip().splitlines()
    return with_cause(f"{type(error).__name__}: {lines[0] if lines else ''}".strip(), error)
