"""Measures losses: every subject in each of its shapes, providers interleaved, results written as they come."""

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
from tool_runtime.trial import provenance
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
"""Version of the JSON; raised where a reader of the former one would misread it."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MODES = ("forward", "both")
QUICK_ROWS = 200
"""Rows of a call with ``--quick``, at the most."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        losses, shapes, providers: Names; all where there are none.
        sizes: Further shapes of so many rows.
        device: ``'cpu'`` or ``'cuda'``.
        dtype: Of predictions and targets.
        threads: CPU threads of torch; None leaves its default.
        seconds: Time for a case, see :class:`~.clock.Budget`.
        quick: A few rounds of small inputs: whether it runs, and no figure.
        seed: Of the input.
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
        return QUICK if self.quick else Budget(self.seconds)

    def cases(self) -> list[tuple[Subject, Shape]]:
        """Every loss in each of its shapes."""
        found = shapes.select(self.shapes, self.sizes, shapes.IMAGES[self.device])
        if self.quick:
            found = [reduced(shape) for shape in found]
        chosen = subjects.select(self.losses)
        pairs = [(subject, shape) for subject in chosen for shape in subject.shapes(found)]
        if not pairs:
            raise ToolError("none of these losses is called in any of these shapes: leave one of the two out.")
        return pairs


def reduced(shape: Shape) -> Shape:
    """The shape with few rows."""
    return Shape(**{**vars(shape), "rows": tuple(min(n, QUICK_ROWS) for n in shape.rows)})


@dataclass
class Report:
    """The JSON of a run, written after each case.

    Attributes:
        file: Where.
        content: What.
    """

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(self.file.name + ".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(part, self.file)


def machine(device: str) -> dict[str, Any]:
    """What the figures are of."""
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
    """Head of a run's JSON."""
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
    """Checks the device, sets threads, and has memory kept."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ToolError("no GPU is visible: use --device cpu.")
    if threads is not None:
        if threads < 1:
            raise ToolError(f"--threads is 1 or more, got {threads}.")
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_memory()


def measure(settings: Settings, file: str | Path) -> dict[str, Any]:
    """Measure, show progress, and write the JSON; an interruption leaves what was measured so far.

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
        probe.medians.clear()  # the first one also waits for the pages
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
    """Measures one case after the other, and writes the report and times a copy after each."""
    before, generated = None, 0
    bar = tqdm(cases, file=sys.stderr, unit="case", dynamic_ncols=True)
    for subject, shape in bar:
        bar.set_description(f"{subject.name} {shape.name}")
        if subject != before and "fused" in chosen:
            # Each loss compiles for itself, so that its kernels can be counted and none uses up another's limit.
            torch._dynamo.reset()
            generated = 0
        case = measure_case(subject, shape, settings, chosen)
        before = subject
        fused = case["providers"].get("fused", {})
        # a shape that needed no graph of its own runs the kernels of one before it
        generated = fused.get("generated_kernels") or generated
        if "generated_kernels" in fused and not fused.get("by_hand") and max(shape.rows) > 1:
            fused["generated_kernels"] = generated
        case["copy_16mb_ms"] = probe()
        report.content["cases"].append(case)
        report.content["copy"] = probe.verdict()
        report.write()


def measure_case(subject: Subject, shape: Shape, settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """One loss in one shape by every provider that has it.

    Args:
        subject: The loss.
        shape: The shape.
        settings: Device, dtype and time.
        names: Providers.
    """
    device = settings.device
    calls = draw_calls(subject, shape, device, DTYPES[settings.dtype], settings.seed)
    moved = traffic(calls)
    entries: dict[str, dict[str, Any]] = {}
    units: dict[str, Unit] = {}
    for name in names:
        if not PROVIDERS[name].offers(subject, device):
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
        except Exception as error:  # whatever a provider raises is its result
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
    """Times of a mode into ``entries``; returns those of ``bare``, what no loss can do without, of the same rounds.

    A provider that fails is written down and taken out, and the others are measured again without it.
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
    """Notes who failed."""
    try:
        action()
    except Exception as error:
        failed[name] = failure(error)
        raise


def failure(error: Exception) -> str:
    """The first line of what a provider raised, and what that began with."""
    lines = str(error).strip().splitlines()
    return with_cause(f"{type(error).__name__}: {lines[0] if lines else ''}".strip(), error)
