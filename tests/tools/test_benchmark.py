"""tools/benchmark.py: what is computed from inputs and samples, and what is said of them; nothing is timed here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mmdet")

import torch
from command_line import ROOT, TOOLS, run
from loss_benchmark import (
    arithmetic,
    bars,
    clock,
    gpu,
    heap,
    inputs,
    kernels,
    memory,
    probe,
    report,
    shapes,
    step,
    subjects,
)
from loss_benchmark import run as runs
from loss_benchmark.providers import PROVIDERS, TORCHVISION
from loss_benchmark.traffic import gradient_bytes, traffic, weighted_share
from loss_benchmark.unit import Unit
from tool_runtime.errors import ToolError

from mmdet_losses.registry import LOSSES, STOCK

F32 = torch.float32


def subject(name: str) -> subjects.Subject:
    (found,) = (one for one in subjects.subjects() if one.name == name)
    return found


def shape(name: str, images: int = 1) -> shapes.Shape:
    (found,) = shapes.select([name], images=images)
    return found


def small(name: str, rows: int) -> shapes.Shape:
    """A shape with few rows per call."""
    full = shape(name)
    return shapes.Shape(**{**vars(full), "rows": tuple(rows for _ in full.rows)})


# What is measured


def test_every_loss_and_every_class_of_mmdet_that_has_a_peer_here_is_measured() -> None:
    found = subjects.subjects()
    assert {LOSSES[one.loss] for one in found} == set(LOSSES.values())
    assert {one.peer for one in found if one.peer} == set(STOCK)
    assert (subject("ExtendedIoULoss").peer, subject("EIoULoss").peer) == ("EIoULoss", "")


def test_shapes_are_those_of_the_heads() -> None:
    assert shape("cls-retinanet").rows == (201_600,)
    assert shape("cls-retinanet", images=2).rows == (403_200,)
    assert shape("cls-fcos").rows == (22_400,)
    assert shape("cls-levels", images=2).rows == (33_600, 8_400, 2_100, 546, 154)
    assert shape("cls-50k", images=2).rows == (50_000,)
    assert gpu.ROWS * shapes.CLASSES == 258_048_000


@pytest.mark.parametrize("one", subjects.subjects(), ids=lambda one: one.name)
def test_every_loss_has_a_shape_and_runs_with_every_provider(one: subjects.Subject) -> None:
    """Value and gradient are finite, and those of this package and of mmdet's class the same where the ledger has
    nothing to say of them."""
    full = one.shapes(shapes.select())
    assert full
    calls = inputs.draw_calls(one, small(full[0].name, 1 if one.group in ("maps", "heat") else 50), "cpu", F32)
    values = {}
    for provider in ("eager", "mmdet"):
        if PROVIDERS[provider].offers(one, "cpu"):
            unit = Unit(PROVIDERS[provider].build(one, "cpu"), calls, "cpu")
            unit.both()
            values[provider] = unit.forward().item()
            assert all(leaf.grad.isfinite().all() for leaf in unit.leaves)
    same = "mmdet" in values and one.name not in ("SIoULoss", "CIoULoss", "SeesawLoss", "EQLV2Loss")
    if same:
        assert values["eager"] == pytest.approx(values["mmdet"], rel=1e-4)


def test_sizes_make_shapes_of_so_many_rows() -> None:
    found = {one.name: one for one in shapes.select(None, [0, 100])}
    assert set(found) == {f"{group}-{n}" for group in shapes.SWEPT for n in (0, 100)}
    assert found["boxes-100"].rows == (100,) and found["boxes-100"].weighted == 1
    assert [one.name for one in shapes.select(["dfl-20k"], [7]) if one.group == "distances"] == [
        "dfl-20k",
        "distances-7",
    ]


def test_a_loss_that_ranks_has_one_of_the_heads_shapes_and_those_of_a_sweep() -> None:
    found = subject("APLoss").shapes(shapes.select(["dense"], [10]))
    assert [one.name for one in found] == ["cls-fcos", "dense-10"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": ["FocalLos"]}, "unknown loss 'FocalLos'; did you mean 'FocalLoss'?"),
        ({"shapes": ["boxes-50"]}, "unknown shape 'boxes-50'; did you mean 'boxes-500'?"),
        ({"sizes": [-1]}, "sizes are 0 or more, got -1"),
        ({"losses": ["FocalLoss"], "shapes": ["boxes-500"]}, "none of these losses is called in any of these shapes"),
        ({"providers": ["torch"]}, "unknown provider 'torch'; did you mean 'torchvision'?"),
        ({"losses": ["APLoss"], "providers": ["mmdet"]}, "none of mmdet has any of these losses here"),
        ({"losses": ["L1Loss"], "threads": 0}, "--threads is 1 or more, got 0"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as error:
        runs.measure(runs.Settings(**settings), tmp_path / "x.json")
    assert message in str(error.value)
    assert not (tmp_path / "x.json").exists()


def test_an_unknown_word_on_the_command_line_ends_without_a_traceback() -> None:
    output = run("benchmark.py", "losses", "--losses", "Focal", code=2)
    assert "benchmark: error: unknown loss 'Focal'" in output and "Traceback" not in output


# Input


def test_retinanets_box_shape_has_half_a_percent_weighted_and_empty_targets_elsewhere() -> None:
    (call,) = inputs.draw_calls(subject("CIoULoss"), shape("boxes-retinanet"), "cpu", F32)
    assert call.weight.shape == (200_000, 4)
    counted = (call.weight != 0).all(1)
    assert counted.sum() == 1000 == (call.weight != 0).any(1).sum()
    assert (call.target[~counted] == 0).all() and (call.target[counted].abs().sum(1) > 0).all()
    assert call.avg_factor == 1000.0
    assert weighted_share(call) == pytest.approx(0.005)


def test_calls_are_those_of_the_heads() -> None:
    (call,) = inputs.draw_calls(subject("FocalLoss"), small("cls-fcos", 400), "cpu", F32)
    assert call.weight is None and isinstance(call.avg_factor, torch.Tensor)
    (call,) = inputs.draw_calls(subject("FocalLoss"), small("cls-50k", 400), "cpu", F32)
    assert call.weight.shape == (400,) and (call.weight == 0).sum() == 2 and call.target.dtype == torch.long
    assert call.target.max() == shapes.CLASSES and call.target.min() >= 0
    calls = inputs.draw_calls(subject("QualityFocalLoss"), small("cls-levels", 30), "cpu", torch.bfloat16)
    assert len(calls) == 5 and all(isinstance(call.target, tuple) for call in calls)
    assert calls[0].pred.dtype == calls[0].target[1].dtype == torch.bfloat16 and calls[0].weight.dtype == F32
    (call,) = inputs.draw_calls(subject("VarifocalLoss"), small("cls-50k", 4000), "cpu", F32)
    assert call.weight is None and call.target.shape == call.pred.shape
    assert 0 < (call.target > 0).sum() < 60 and ((call.target > 0).sum(1) <= 1).all()


def test_the_same_seed_draws_the_same_input() -> None:
    first, again, other = (
        inputs.draw_calls(subject("GIoULoss"), small("boxes-500", 9), "cpu", F32, seed)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first.pred, again.pred) and torch.equal(first.weight, again.weight)
    assert not torch.equal(first.pred, other.pred)


# Traffic


def test_traffic_by_hand() -> None:
    def call(weight: torch.Tensor | None) -> inputs.Call:
        return inputs.Call(torch.zeros(10, 4), torch.zeros(10, 4), weight, 1.0)

    # 10 rows of 4 floats: 160 bytes each for prediction, target and gradient
    assert traffic([call(None)]) == {"forward": 320, "both": 480, "both_twice": 800}
    weight = torch.ones(10)
    assert traffic([call(weight)]) == {"forward": 360, "both": 520, "both_twice": 880}
    weight[2:] = 0  # two rows of five are read, every weight is read, the whole gradient is written
    assert traffic([call(weight)]) == {"forward": 64 + 40, "both": 64 + 40 + 160, "both_twice": 2 * 104 + 160}
    boxes = weight[:, None].repeat(1, 4)
    assert traffic([call(boxes)]) == {"forward": 64 + 160, "both": 384, "both_twice": 608}
    assert traffic([call(boxes), call(None)])["both"] == 384 + 480
    assert gradient_bytes([call(boxes), call(None)]) == 320


def test_passes_over_the_logits_of_dense_losses() -> None:
    """Three for labels, five for a target as large as the logits, labels and weights aside."""
    for name, passes in {
        "FocalLoss": 3,
        "QualityFocalLoss": 3,
        "VarifocalLoss": 5,
        "QualityFocalLoss (dense)": 5,
    }.items():
        calls = inputs.draw_calls(subject(name), shapes.of_size("dense", 1000), "cpu", F32)
        logits = 1000 * shapes.CLASSES * 4
        assert passes <= traffic(calls)["both_twice"] / logits < passes + 0.13


def test_arithmetic_is_of_every_value_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def count(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        done.append(x.numel())
        assert x.shape == out.shape
        return out

    monkeypatch.setitem(arithmetic.NEEDED, "dense", (count, count))
    monkeypatch.setattr(arithmetic, "GRAIN", 1000 // torch.get_num_threads())
    weight = torch.ones(40)
    weight[:10] = 0
    calls = [inputs.Call(torch.zeros(40, 80), None, weight), inputs.Call(torch.zeros(2, 80), None)]
    arithmetic.computing("dense", calls)()
    assert done == [1000, 1000, 1000, 1000, 560, 560]  # 30 * 80 + 2 * 80, twice
    assert arithmetic.computing("boxes", calls) is None
    assert arithmetic.computing("dense", [inputs.Call(torch.zeros(0, 80), None)]) is None


# Clock


def test_each_round_begins_with_another() -> None:
    assert [clock.order(["a", "b", "c"], n) for n in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_actions_take_turns_until_the_time_is_over() -> None:
    calls: list[str] = []
    actions = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    durations = {"a": 0.5, "b": 0.0004, "c": 1e-9}

    def timer(action: clock.Action, repeats: int) -> float:
        for _ in range(repeats):
            action()
        return durations[calls[-1]]

    ticks = iter(range(100))
    samples = clock.interleave(actions, timer, clock.Budget(seconds=3, least=2, most=50), now=lambda: next(ticks))
    assert samples == {name: [durations[name]] * len(samples["a"]) for name in "abc"}
    assert len(samples["a"]) == 4  # looks at the clock before each round from the third on: 1, 2, 3
    warm, turns = calls[:9], calls[9:]
    assert warm == [*"aaabbbccc"]
    c = "c" * clock.MOST_REPEATS
    # before its turn, what takes little time is called once more
    b, c = "b" + "bbb", "c" + c
    assert "".join(turns) == "a" + b + c + b + c + "a" + c + "a" + b + "a" + b + c


def test_no_fewer_and_no_more_rounds_than_asked_for() -> None:
    for seconds, rounds in ((0.0, 3), (1e9, 5)):
        samples = clock.interleave({"a": lambda: None}, lambda action, n: 1.0, clock.Budget(seconds, 3, 5))
        assert len(samples["a"]) == rounds


def test_who_computes_is_told_apart() -> None:
    giou = subject("GIoULoss")
    calls = inputs.draw_calls(giou, *shapes.select(["boxes-500"]), "cpu", F32, 0)
    found = {name: Unit(PROVIDERS[name].build(giou, "cpu"), calls, "cpu").by_hand() for name in ("eager", "fused")}
    assert found == {"eager": False, "fused": sys.platform == "linux"}


@pytest.mark.skipif(not heap.GLIBC, reason="glibc's malloc")
def test_freed_memory_is_kept() -> None:
    program = """
import ctypes, pathlib, resource
from loss_benchmark.heap import keep_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
resident = lambda: int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
def stays():
    before = resident()
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
    return resident() - before
returned = stays()
assert keep_memory()
print(returned, stays(), stays())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=TOOLS, capture_output=True, text=True, check=True)
    returned, kept, again = map(int, done.stdout.split())
    assert returned < 2**22 and again < 2**22  # the second block is the first one's memory
    assert kept > 2**25


def test_spread_by_hand() -> None:
    found = clock.spread([0.001, 0.002, 0.003, 0.004, 0.009])
    assert found == pytest.approx({"median": 3.0, "q1": 2.0, "q3": 4.0, "least": 1.0, "rounds": 5})
    assert clock.spread([0.5]) == {"median": 500.0, "q1": 500.0, "q3": 500.0, "least": 500.0, "rounds": 1}


@pytest.mark.parametrize(("medians", "counts"), [([0.9, 3.0, 0.8], True), ([0.9, 1.0, 1.1], False), ([2.0], False)])
def test_a_run_counts_where_a_copy_of_16_mb_takes_less_than_a_millisecond(medians: list, counts: bool) -> None:
    assert probe.verdict(medians, "cpu")["counts"] is counts
    assert probe.verdict(medians, "cuda")["counts"] is True


def test_speed_of_a_copy_counts_bytes_read_and_written() -> None:
    assert probe.verdict([1.0], "cpu")["gigabytes_per_second"] == pytest.approx(2 * 16.777216)


# Memory and kernels


def test_highest_level_of_changes() -> None:
    assert memory.highest([10, 5, -10, 8, -13]) == 15
    assert memory.highest([]) == 0


def test_peak_memory_of_an_operation_by_hand() -> None:
    x = torch.zeros(10_000)

    def action() -> torch.Tensor:
        y = x + 1  # 40,000 bytes
        z = y.double()  # 80,000 bytes more
        del y
        return z.sum()

    assert 120_000 <= memory.peak_bytes(action, "cpu") < 121_000


def test_operations_are_counted_without_views_and_empty_tensors() -> None:
    x = torch.zeros(4, 3)

    def action() -> None:
        x.view(12).t().unsqueeze(0).expand(2, 12)
        torch.empty(3)
        (x + 1).detach().mul_(2).sum()

    assert kernels.operations(action) == 3


def test_kernels_of_a_loss_are_counted_forward_and_backward() -> None:
    x = torch.zeros(4, requires_grad=True)
    unit = Unit(lambda call: (call.pred * 2).sum(), [inputs.Call(x, None)], "cpu")
    assert unit.kernels() == {"forward": 2, "backward": 1}  # the gradient of a sum is a view


def test_each_backward_makes_a_new_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    unit = Unit(lambda call: (call.pred**2).sum(), [inputs.Call(x, None)] * 2, "cpu")
    unit.both()
    first = x.grad
    unit.both()
    assert x.grad is not first and x.grad.tolist() == [4.0] * 3


# Providers


def test_providers_that_are_not_here_are_left_out() -> None:
    focal = subject("FocalLoss")
    offered = [name for name, provider in PROVIDERS.items() if provider.offers(focal, "cpu")]
    assert {"mmdet", "eager"} <= set(offered) and "mmcv" not in offered
    assert PROVIDERS["mmcv"].offers(focal, "cuda") and not PROVIDERS["mmcv"].offers(subject("GIoULoss"), "cuda")


@pytest.mark.parametrize(("name", "offered"), [("FocalLoss", True), ("CIoULoss", True), ("RankSortLoss", False)])
def test_fused_is_offered_where_a_loss_has_kernels(name: str, offered: bool) -> None:
    assert PROVIDERS["fused"].offers(subject(name), "cpu") is offered


def test_torchvisions_functions_are_called_on_the_same_weighted_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in that computes what torchvision documents."""

    def focal(pred, target, alpha, gamma, reduction):
        assert (alpha, gamma, reduction) == (0.25, 2.0, "none")
        cross = torch.nn.functional.binary_cross_entropy_with_logits(pred, target, reduction="none")
        p = pred.sigmoid()
        miss = p * (1 - target) + (1 - p) * target
        return (alpha * target + (1 - alpha) * (1 - target)) * miss**gamma * cross

    def giou(pred, target, reduction):
        return LOSSES["GIoULoss"](reduction=reduction)(pred, target)

    module = ModuleType("torchvision.ops")
    module.sigmoid_focal_loss, module.generalized_box_iou_loss = focal, giou
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", module)
    assert TORCHVISION["FocalLoss"] == "sigmoid_focal_loss"
    for name, at in (("FocalLoss", "cls-50k"), ("FocalLoss", "cls-fcos"), ("GIoULoss", "boxes-retinanet")):
        (call,) = inputs.draw_calls(subject(name), small(at, 400), "cpu", F32)
        theirs = PROVIDERS["torchvision"].build(subject(name), "cpu")(call)
        ours = PROVIDERS["eager"].build(subject(name), "cpu")(call)
        assert theirs.item() == pytest.approx(ours.item(), rel=1e-4)


def test_mmcvs_operator_is_called_with_the_losses_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def operator(*arguments: Any) -> torch.Tensor:
        seen.extend(arguments)
        return torch.tensor(10.0)

    monkeypatch.setitem(sys.modules, "mmcv.ops", SimpleNamespace(sigmoid_focal_loss=operator))
    call = inputs.Call("pred", "target", None, 4.0)
    assert PROVIDERS["mmcv"].build(subject("FocalLoss"), "cuda")(call) == 2.5
    assert seen == ["pred", "target", 2.0, 0.25, None, "sum"]


# A run


def test_a_provider_that_fails_is_written_down_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing(subject: subjects.Subject, device: str) -> Any:
        def compute(call: inputs.Call) -> torch.Tensor:
            calls.append(1)
            if len(calls) > 4:
                raise RuntimeError("out of luck\nand more")
            return call.pred.sum()

        return compute

    def unbuilt(subject: subjects.Subject, device: str) -> Any:
        raise TypeError("no such option")

    offers = lambda subject, device: True  # noqa: E731
    monkeypatch.setitem(PROVIDERS, "mmdet", type(PROVIDERS["mmdet"])("mmdet", "", offers, failing))
    monkeypatch.setitem(PROVIDERS, "fused", type(PROVIDERS["mmdet"])("fused", "", offers, unbuilt))
    file = tmp_path / "deep" / "run.json"
    settings = runs.Settings(losses=["L1Loss"], shapes=["deltas-500"], quick=True)
    content = runs.measure(settings, file)
    assert json.loads(file.read_text()) == content and content["complete"] and content["format"] == runs.FORMAT
    (case,) = content["cases"]
    assert case["rows"] == [200] and content["settings"]["quick"] is True
    assert case["providers"]["mmdet"]["error"] == "RuntimeError: out of luck"
    assert case["providers"]["fused"] == {"error": "TypeError: no such option"}
    eager = case["providers"]["eager"]
    assert set(eager) == {"forward", "both", "memory", "kernels", "first_call_seconds"}
    assert eager["both"]["median"] > 0
    assert report.failures([case]) == [
        "L1Loss, deltas-500, mmdet: RuntimeError: out of luck",
        "L1Loss, deltas-500, fused: TypeError: no such option",
    ]


def test_an_interruption_leaves_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_case, done = runs.measure_case, []

    def interrupted(*arguments: Any, **options: Any) -> dict[str, Any]:
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return measure_case(*arguments, **options)

    monkeypatch.setattr(runs, "measure_case", interrupted)
    file = tmp_path / "run.json"
    with pytest.raises(KeyboardInterrupt, match=r"interrupted; 1 of 3 cases are in .*run\.json"):
        runs.measure(runs.Settings(losses=["L1Loss"], quick=True), file)
    content = report.load(file)
    assert len(content["cases"]) == 1 and not content["complete"]
    assert "Incomplete: 1 of 3 cases" in report.setting(content)


# The report


def times(median: float, quarter: float = 0.0) -> dict[str, float]:
    return {"median": median, "q1": median - quarter, "q3": median + quarter, "least": median, "rounds": 9}


def entry(forward: float, both: float, peak: int = 4 * 2**20, **more: Any) -> dict[str, Any]:
    spread = {"forward": times(forward), "both": times(both, both / 10)}
    return {**spread, "memory": {"forward": peak // 2, "both": peak}, **more}


def written(name: str, at: str, **providers: dict[str, Any]) -> dict[str, Any]:
    """A case whose copy of 30 bytes takes 2 ms."""
    full = next(one for one in shapes.SHAPES if one.name == at)
    return {
        "loss": name,
        "name": name,
        "shape": at,
        "group": full.group,
        "rows": list(full.rows),
        "columns": full.columns,
        "weighted": 1.0,
        "traffic": {"forward": 20, "both": 30, "both_twice": 50},
        "gradient_bytes": 2**20,
        "copy": {"forward": times(1.5), "both": times(2.0)},
        "arithmetic": times(4.0) if full.group == "dense" else None,
        "providers": providers,
    }


@pytest.fixture
def content() -> dict[str, Any]:
    """A run as its JSON says, written by hand."""
    count = {"kernels": {"forward": 31, "backward": 22}}
    cases = [
        written("FocalLoss", "cls-50k", mmdet=entry(40, 70, **count), eager=entry(20, 50), fused=entry(4, 10)),
        written("GIoULoss", "boxes-500", mmdet=entry(1.0, 2.0), eager=entry(1.1, 2.5), fused=entry(0.5, 1.6)),
        written("CIoULoss", "boxes-500", mmdet=entry(1.0, 2.0), eager=entry(0.9, 1.9), fused={"error": "E: no"}),
        written("WIoULoss", "boxes-500", eager=entry(1.0, 2.0), fused=entry(0.5, 1.0, generated_kernels=2)),
    ]
    return {
        "format": runs.FORMAT,
        "kind": "losses",
        "date": "2026-01-02 03:04:05 UTC",
        "command": "tools/benchmark.py losses",
        "settings": {"device": "cpu", "dtype": "float32", "quick": False},
        "machine": {"cpu": "A CPU", "cores": 2, "threads": 2},
        "versions": {"torch": "9.9", "mmdet": "3.3.0", "mmcv": "2.1.0"},
        "commit": "abc",
        "planned": 4,
        "complete": True,
        "copy": probe.verdict([0.5, 0.5], "cpu"),
        "cases": cases,
    }


def test_table_of_a_shape(content: dict[str, Any]) -> None:
    head, _, focal = report.shape_table(content["cases"][:1]).splitlines()
    named = dict(zip((x.strip() for x in head.split("|")), (x.strip() for x in focal.split("|")), strict=True))
    assert named["loss"] == "FocalLoss"
    assert named["mmdet, ms"] == "70 ±10 %"
    assert named["eager, speed-up"] == "1.40x"
    assert named["fused, speed-up"] == "7.00x"
    assert named["copy / arithmetic, ms"] == "2 / 4"
    assert named["fused / floor"] == "2.50x"
    assert named["fused, % of copy"] == "20"
    assert named["forward, ms: mmdet / eager / fused"] == "40 / 20 / 4"
    assert named["peak MB: mmdet / eager / fused"] == "4 / 4 / 4"
    assert named["kernels: mmdet / eager / fused"] == "31+22 / - / -"


def test_a_failed_and_a_missing_provider_in_a_table(content: dict[str, Any]) -> None:
    lines = report.shape_table(content["cases"][1:]).splitlines()
    assert "| CIoULoss | 2 ±10 % | 1.9 ±10 % | failed | 1.05x |  | 2 / - |  |  |" in lines[3]
    assert lines[4].startswith("| WIoULoss |  | 2 ±10 % | 1 ±10 % |  |  |") and lines[4].endswith(
        "| - / - / 2 generated |"
    )


def test_floors(content: dict[str, Any]) -> None:
    focal, giou = content["cases"][:2]
    assert report.copy_ms(focal) == 2.0 and report.copy_ms(focal, "both_twice") == pytest.approx(2.0 * 50 / 30)
    assert report.share_of_copy(focal, "fused", "both_twice") == pytest.approx(1 / 3)
    assert report.floor_ms(focal) == 4.0 and report.over_floor(focal, "fused") == 2.5
    assert report.floor_ms(giou) == 2.0 and report.over_floor(giou, "fused") == pytest.approx(0.8)
    giou["copy"] = {"forward": None, "both": None}  # no rows, nothing to copy
    assert report.floor_ms(giou) is None and report.over_floor(giou, "fused") is None
    assert report.share_of_copy(giou, "fused") is None


def test_what_compiling_took(content: dict[str, Any]) -> None:
    assert report.compile_line(content["cases"]) == ""
    for case, graphs, seconds in zip(content["cases"], (2, 1, 0, 1), (9.0, 3.0, 0.1, 4.0), strict=True):
        case["providers"]["fused"] |= {"graphs": graphs, "first_call_seconds": seconds}
    content["cases"][1]["name"] = "FocalLoss"
    assert report.compile_line(content["cases"]) == (
        "Compiling: a first call took 4.0 s (median), 9.0 s at the most; at most 3 graphs for all shapes of a loss "
        "(FocalLoss)."
    )


def test_fused_that_compiles_nothing_is_said(content: dict[str, Any]) -> None:
    assert report.unfused(content["cases"]) == []
    for case, warned in zip(content["cases"][:2], (["no compiler"], []), strict=True):
        case["providers"]["fused"] |= {"generated_kernels": 0, "warnings": warned}
    single = written("FocalLoss", "cls-50k", fused=entry(1, 1, generated_kernels=0))
    single["rows"] = [1]  # one row is not compiled for
    by_hand = written("GIoULoss", "boxes-100k", fused=entry(1, 1, generated_kernels=0, by_hand=True))
    assert report.kernel_count(by_hand["providers"]["fused"]) == "1 by hand"
    found = report.unfused([*content["cases"], single, by_hand])
    assert found == ["FocalLoss, cls-50k: no compiler", "GIoULoss, boxes-500"]


def test_a_shape_without_a_graph_of_its_own_runs_the_kernels_of_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([3, 0, 5])

    def measured(subject: subjects.Subject, shape: shapes.Shape, *_: Any) -> dict[str, Any]:
        return {"shape": shape.name, "providers": {"fused": {"generated_kernels": next(counts)}}}

    monkeypatch.setattr(runs, "measure_case", measured)
    content = runs.measure(runs.Settings(losses=["L1Loss"], quick=True), tmp_path / "run.json")
    assert [case["providers"]["fused"]["generated_kernels"] for case in content["cases"]] == [3, 3, 5]


def test_what_is_slower_is_said(content: dict[str, Any]) -> None:
    assert report.slower_lines(content["cases"]) == [
        "GIoULoss, boxes-500, eager, forward plus backward: 0.80x of mmdet's speed",
        "GIoULoss, boxes-500, eager, forward: 0.91x of mmdet's speed",
    ]


def test_bars(content: dict[str, Any]) -> None:
    found = {(one.loss, one.provider): one for one in bars.judge(content["cases"])}
    assert found["FocalLoss", "fused"].least == 6 and found["FocalLoss", "fused"].reached is True
    assert found["GIoULoss", "fused"].measured == 1.25 and found["GIoULoss", "fused"].reached is False
    assert found["CIoULoss", "fused"].reached is None
    assert found["GIoULoss", "eager"].least == 0.9 and found["GIoULoss", "eager"].reached is False
    assert ("WIoULoss", "eager") not in found
    text = report.bars_table(content["cases"])
    assert "| GIoULoss | boxes-500 | fused | 1.3x | 1.25x | **no** | 0.80x |" in text
    assert "| 0.9x | 0.80x (GIoULoss, boxes-500) or more | **no**, 1 below |  |" in text


def test_bars_name_losses_and_shapes_that_are_measured() -> None:
    pairs = {(one.name, at.name) for one in subjects.subjects() if one.peer for at in one.shapes(shapes.select())}
    assert {(name, bar.shape) for bar in bars.BARS for name in bar.losses} <= pairs


def test_page_says_whether_a_run_counts(content: dict[str, Any]) -> None:
    assert "does not count" not in report.setting(content) and "Incomplete" not in report.setting(content)
    content["copy"] = probe.verdict([1.7], "cpu")
    assert "The machine was busy: this run does not count." in report.setting(content)
    content["settings"]["quick"] = True
    assert "no figures" in report.setting(content)


def step_content() -> dict[str, Any]:
    sides = {
        "mmdet": {"step": times(200.0), "peak_bytes": 2**30, "losses": [2.5, 2.4]},
        "eager": {
            "step": times(190.0),
            "loss": times(19.0),
            "share_of_losses": 0.1,
            "peak_bytes": 2**29,
            "losses": [2.5, 2.4],
        },
        "fused": {"error": "RuntimeError: no compiler"},
    }
    return {
        "format": runs.FORMAT,
        "kind": "step",
        "date": "2026-01-02 03:04:05 UTC",
        "command": "tools/benchmark.py step",
        "settings": {"device": "cuda", "amp": True, "size": [1333, 800], "batch_size": 2},
        "machine": {"gpu": "A GPU"},
        "versions": {},
        "commit": "abc",
        "planned": 1,
        "complete": True,
        "copy": probe.verdict([0.01], "cuda"),
        "cases": [{"config": "gfl", "sides": sides}],
    }


def test_table_of_training_steps() -> None:
    text = report.section(step_content())
    assert "Training step on cuda, mixed precision" in text and "images of 1333 x 800, 2 per batch" in text
    assert "| gfl | mmdet | 200 ±0 % | 100.0 % |  |  | 1.02e+03 | 2.500000 |" in text
    assert "| gfl | eager | 190 ±0 % | 95.0 % | 19 ±0 % | 10 % | 512 | 2.500000 |" in text
    assert "| gfl | fused | failed |  |  |  |  | RuntimeError: no compiler |" in text


def test_report_writes_between_the_marks_with_plots(content: dict[str, Any], tmp_path: Path) -> None:
    for n in (10, 100, 1000):
        swept = written("GIoULoss", "boxes-500", mmdet=entry(1, n / 5), eager=entry(1, n / 10))
        content["cases"].append({**swept, "shape": f"boxes-{n}", "rows": [n]})
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "b.json").write_text(json.dumps(step_content()))
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):  # a second time replaces the first
        report.write([tmp_path / "a.json", tmp_path / "b.json"], page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("### Losses on cpu, float32") == text.count("### Training step on cuda") == 1
    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    assert plots == [f"page-cpu-float32-{name}.png" for name in ("memory", "sizes", "speed")]
    assert all(f"]({name})" in text for name in plots)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist: measure first"),
        ("{", "is no JSON"),
        ("[]", "was not written by tools/benchmark.py"),
        ('{"kind": "reliability"}', "was not written by tools/benchmark.py"),
        ('{"kind": "losses", "format": 0}', f"is of version 0, expected version {runs.FORMAT}: measure again"),
    ],
)
def test_report_of_what_is_no_run(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ToolError) as error:
        report.write([file], None)
    assert message in str(error.value)


def test_report_into_a_page_without_marks(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ToolError, match=r"page\.md does not exist"):
        report.write([tmp_path / "run.json"], tmp_path / "page.md", plots=False)
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(ToolError, match="the page needs one line"):
        report.write([tmp_path / "run.json"], tmp_path / "page.md", plots=False)
    assert (tmp_path / "page.md").read_text() == "nothing"


def test_page_of_the_docs_has_the_marks() -> None:
    page = (ROOT / "docs/benchmark.md").read_text()
    assert "\n\nX\n\n" in report.insert(page, "X")


# The training step


def test_settings_of_a_step() -> None:
    found = step.StepSettings(device="cuda").resolved()
    assert [Path(path).name.split("_")[0] for path in found.configs] == ["retinanet", "fcos", "atss", "gfl"]
    assert (found.size, found.batch_size, found.sides) == ((1333, 800), 2, ["mmdet", "eager", "fused"])
    assert all(
        Path(path).is_file()
        for device in ("cpu", "cuda")
        for path in step.StepSettings(device=device).resolved().configs
    )
    for given, message in (
        ({"sides": ["stock"]}, "unknown side 'stock'"),
        ({"iters": 0}, "--iters is 1 or more, got 0"),
        ({"size": (20, 64)}, "both sides of --size are 32 or more"),
        ({"amp": True}, "--amp needs --device cuda"),
    ):
        with pytest.raises(ToolError, match=message):
            step.StepSettings(**given).resolved()


def test_fusing_sets_the_option_where_a_loss_has_kernels() -> None:
    unknown = {"type": "AssociativeEmbeddingLoss"}
    ranking = {"type": "RankSortLoss", "loss_weight": 2.0}
    model = {"bbox_head": {"loss_cls": ranking, "loss_bbox": {"type": "L1Loss"}, "loss_tag": unknown}}
    head = step.fuse(model)["bbox_head"]
    assert head == {"loss_cls": ranking, "loss_bbox": {"type": "L1Loss", "fused": True}, "loss_tag": unknown}
    assert "fused" not in model["bbox_head"]["loss_bbox"]
    with pytest.raises(ToolError, match="no loss of this detector has the option fused"):
        step.fuse({"bbox_head": {"loss_cls": ranking}})


def test_sides_start_from_the_same_weights_and_train_the_same(tmp_path: Path) -> None:
    settings = step.StepSettings(sides=["mmdet", "eager"], iters=2, size=(64, 64))
    content = step.measure(settings, tmp_path / "step.json")
    (case,) = report.load(tmp_path / "step.json")["cases"]
    assert content["complete"] and set(case["sides"]) == {"mmdet", "eager"}
    theirs, ours = case["sides"]["mmdet"], case["sides"]["eager"]
    assert len(ours["losses"]) == step.BATCHES + 3 and ours["losses"] == pytest.approx(theirs["losses"], rel=1e-3)
    assert ours["step"]["rounds"] == 2 and ours["peak_bytes"] > 0
    assert ours["loss_classes"]["bbox_head.loss_bbox"].startswith("mmdet_losses.")
    assert theirs["loss_classes"]["bbox_head.loss_bbox"].startswith("mmdet.")


# The GPU's checks


def gpu_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "tools/gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_that_fit_into_memory() -> None:
    per_row = 4 * 80 * gpu.COPIES
    assert gpu.rows_that_fit(100 * 2**30) == 3_225_600
    assert gpu.rows_that_fit(10 * per_row + 1) == 10
    with pytest.raises(ToolError, match="hold no row"):
        gpu.rows_that_fit(per_row - 1)


def test_share_of_the_floor_and_lead_over_mmcv() -> None:
    # the floor of two readings is 50 / 30 * 2 ms
    floor = 2.0 * 50 / 30
    case = written("FocalLoss", "cls-50k", fused=entry(1, floor / 0.81), mmcv=entry(1, floor / 0.7), eager=entry(1, 50))
    fused, mmcv, eager = gpu.floor_rows(case)
    assert fused["share_of_floor"] == pytest.approx(0.81) and fused["times_mmcv"] == pytest.approx(0.81 / 0.7)
    assert fused["passed"] is True and mmcv["passed"] is None and eager["passed"] is None
    assert fused["peak_gradients"] == 4
    case["providers"]["fused"] = entry(1, floor / 0.79)
    assert next(gpu.floor_rows(case))["passed"] is False
    case["providers"] = {"fused": entry(1, floor / 0.9), "mmcv": entry(1, floor / 0.95)}
    assert next(gpu.floor_rows(case))["passed"] is False
    case["providers"] = {"fused": {"error": "out of memory"}}
    assert next(gpu.floor_rows(case)) == {
        "loss": "FocalLoss", "rows": 50_000, "provider": "fused", "error": "out of memory", "passed": False,
    }  # fmt: skip


@pytest.mark.parametrize(("forward", "backward", "passed"), [(2, 2, True), (1, 3, False), (3, 1, False)])
def test_two_kernels_each_way_pass(forward: int, backward: int, passed: bool) -> None:
    count = {"forward": forward, "backward": backward}
    case = written("CIoULoss", "boxes-500", fused=entry(1, 1, kernels=count), eager=entry(1, 1, kernels=count))
    fused, eager = gpu.kernel_rows(case)
    assert fused == {"loss": "CIoULoss", "provider": "fused", **count, "passed": passed}
    assert eager["passed"] is None


def test_a_loss_that_raises_does_not_pass_the_check_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    at = shapes.of_size("boxes", 5)
    assert gpu.wait_of(subject("GIoULoss"), at, "eager", "cpu") == {"passed": None}

    def unbuilt(subject: subjects.Subject, device: str) -> Any:
        return lambda call: (_ for _ in ()).throw(RuntimeError("called a synchronizing operation"))

    broken = type(PROVIDERS["eager"])("eager", "", lambda *_: True, unbuilt)
    monkeypatch.setitem(PROVIDERS, "eager", broken)
    found = gpu.wait_of(subject("GIoULoss"), at, "eager", "cpu")
    assert found == {"passed": False, "error": "RuntimeError: called a synchronizing operation"}


def test_summary_shows_what_failed_and_a_line_per_check() -> None:
    tool = gpu_tool()
    count = {"forward": 2, "backward": 1}
    found = {
        "sync": [
            {"loss": "A", "provider": "eager", "passed": True},
            {"loss": "B", "provider": "fused", "passed": False, "error": "waits"},
        ],
        "kernels": [
            {"loss": "C", "provider": "fused", **count, "passed": True},
            {"loss": "C", "provider": "eager", **count, "passed": None},
        ],
        "floor": [
            {
                "loss": "D", "rows": 1000, "provider": "fused", "ms": 1.5, "share_of_floor": 0.91, "times_mmcv": 1.2,
                "peak_gradients": 1.0, "passed": True,
            }
        ],
    }  # fmt: skip
    lines = [" ".join(line.split()) for line in tool.summary(found).splitlines()]
    assert "sync B fused waits NO" in lines and not any(line.startswith("sync A") for line in lines)
    assert "kernels C fused 2+1 kernels yes" in lines and not any("C eager" in line for line in lines)
    assert "floor D, 1,000 rows fused 1.5 ms, 91 % of floor, 1.20x mmcv, peak 1 gradients yes" in lines
    assert "sync 1 of 2 passed NO" in lines and "floor 1 of 1 passed yes" in lines


def test_dry_run_of_the_gpu_check(tmp_path: Path) -> None:
    output = run(
        "gpu_check.py", "--device", "cpu", "--rows", 20, "--seconds", 0.01, "--checks", "floor", "--work-dir", tmp_path
    )
    content = json.loads((tmp_path / "gpu_check.json").read_text())
    assert {row["loss"] for row in content["floor"]} == set(gpu.DENSE) and all(
        row["rows"] == 20 for row in content["floor"]
    )
    assert "versions" in content and content["settings"]["checks"] == ["floor"]
    assert "FocalLoss, 20 rows" in output
