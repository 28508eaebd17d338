"""tools/train.py, test.py, list_losses.py and compare_stock.py, run as a user runs them."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mmdet")

import torch
from command_line import ROOT, TOOLS, environment, log_lines, metrics, run, start, tiny
from mmengine.config import Config
from stock_comparison import compare
from tool_runtime import runtime
from tool_runtime.errors import ToolError, report_errors
from tool_runtime.preflight import config_errors
from tool_runtime.trial import Trial

from mmdet_losses.hooks import FusedLossHook

CONFIG = "configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"
EPOCHS = 4
# a loss with a statistic, so that what is saved and resumed has one
LOSS = "model.bbox_head.loss_bbox.type=WIoULoss"
MEAN = "bbox_head.loss_bbox.focus.iou_mean"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Work directory of a training that nothing interrupted."""
    work_dir = tmp_path_factory.mktemp("trained")
    run("train.py", CONFIG, "--work-dir", work_dir, *tiny(data_root, LOSS, epochs=EPOCHS))
    return work_dir


def state_dict(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=False)["state_dict"]


def test_training_learns_and_evaluates_every_epoch(trained: Path) -> None:
    lines = log_lines(trained)
    losses = [line["loss"] for line in lines if "loss" in line]
    evaluations = [line for line in lines if metrics(line)]
    assert len(losses) == 2 * EPOCHS and len(evaluations) == EPOCHS
    assert losses[-1] < 0.95 * losses[0]
    assert 0 < state_dict(trained / f"epoch_{EPOCHS}.pth")[MEAN] < 1
    assert evaluations[-1]["coco/bbox_mAP_50"] > 0


def test_test_gives_the_ap_that_training_printed(trained: Path, data_root: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "predictions.pkl"
    run(
        "test.py",
        CONFIG,
        trained / f"epoch_{EPOCHS}.pth",
        "--work-dir",
        tmp_path,
        "--out",
        predictions,
        *tiny(data_root, LOSS),
    )
    (logged,) = (json.loads(file.read_text()) for file in tmp_path.glob("*/*.json"))
    assert metrics(logged) == metrics(log_lines(trained)[-1])
    assert len(metrics(logged)) == 6
    assert predictions.stat().st_size > 0


def test_terminated_training_resumes_as_if_nothing_had_happened(trained: Path, data_root: Path, tmp_path: Path) -> None:
    options = ("--work-dir", tmp_path, *tiny(data_root, LOSS, epochs=EPOCHS))
    process = start("train.py", CONFIG, *options)
    note = tmp_path / "last_checkpoint"
    deadline = time.monotonic() + 600
    while not note.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, output[-2000:]
    assert "Traceback" not in output and "--resume" in output.splitlines()[-1]
    assert "Epoch(train) [4]" not in output
    assert Path(note.read_text()).is_file()
    assert not (tmp_path / f"epoch_{EPOCHS}.pth").exists()

    output = run("train.py", CONFIG, "--resume", *options)
    assert "resumed epoch: 1" in output
    expected = state_dict(trained / f"epoch_{EPOCHS}.pth")
    resumed = state_dict(tmp_path / f"epoch_{EPOCHS}.pth")
    assert expected.keys() == resumed.keys()
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_fork_ends_with_its_parent() -> None:
    """Also where the parent ended before the child could look: the child would hold the output open for ever."""
    program = (
        "import os, signal, sys, time; from tool_runtime.runtime import exit_on_sigterm; exit_on_sigterm('ended')\n"
        "if os.fork() == 0: os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)\n"
        # in short sleeps, since a signal that comes just before one is handled when it ends
        "while True: time.sleep(0.1)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=TOOLS, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.splitlines()[-1] == "ended"


BAD_INPUT = {
    "missing config": (
        ["train.py", CONFIG.replace("giou", "gio")],
        f"does not exist; did you mean {CONFIG}?",
    ),
    "unknown option": (["train.py", CONFIG, "--ampp"], "unrecognized arguments: --ampp"),
    "no key=value": (["train.py", CONFIG, "--cfg-options", "seed"], "expected key=value, got 'seed'"),
    "misspelt key": (
        ["train.py", CONFIG, "--cfg-options", "model.bbox_hed.loss_bbox.type=CIoULoss"],
        "no 'bbox_hed'; did you mean 'bbox_head'?",
    ),
    "missing data": (
        ["train.py", "configs/retinanet/retinanet_r18_fpn_giou_1xb4-12e_bccd.py", "--cfg-options", "data_root=nowhere"],
        "nowhere/annotations/train.json does not exist",
    ),
    "unknown loss": (
        ["train.py", CONFIG, "--cfg-options", "model.bbox_head.loss_bbox.type=CIOULos"],
        "model.bbox_head.loss_bbox: unknown loss 'CIOULos'; did you mean CIoULoss",
    ),
    "wrong loss option": (
        ["train.py", CONFIG, "--cfg-options", "model.bbox_head.loss_bbox.gama=2"],
        "model.bbox_head.loss_bbox: GIoULoss has no option 'gama'",
    ),
    "loss and head do not fit": (
        ["train.py", CONFIG, "--cfg-options", "model.bbox_head.reg_decoded_bbox=False"],
        "reg_decoded_bbox=True",
    ),
    "amp without a GPU": (["train.py", CONFIG, "--amp"], "--amp needs a GPU"),
    "no batch size to scale from": (
        ["train.py", CONFIG, "--auto-scale-lr", "--cfg-options", "auto_scale_lr=None"],
        "add auto_scale_lr",
    ),
    "resume from nothing": (["train.py", CONFIG, "--resume", "no.pth"], "checkpoint no.pth does not exist"),
    "launcher without its variables": (["train.py", CONFIG, "--launcher", "pytorch"], "tools/dist_train.sh"),
    "missing checkpoint": (["test.py", CONFIG, "no.pth"], "checkpoint no.pth does not exist"),
    "--out of another kind": (["test.py", CONFIG, "no.pth", "--out", "a.json"], "ends in .pkl or .pickle"),
    "script without arguments": (["dist_train.sh", CONFIG], "usage:"),
}


# these get as far as mmengine's Runner, which leaves its state in the process
RUN_APART = ("missing data", "loss and head do not fit")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and output of the cases that run in a process of their own."""
    folder = tmp_path_factory.mktemp("bad_input")
    started = {name: start(*BAD_INPUT[name][0], "--work-dir", folder / name.replace(" ", "_")) for name in RUN_APART}
    return {name: (process, process.communicate(timeout=900)[0]) for name, process in started.items()}


@pytest.mark.parametrize("name", RUN_APART)
def test_bad_input_ends_before_training_with_one_message(name: str, apart: dict) -> None:
    process, output = apart[name]
    assert process.returncode == 2, output[-2000:]
    assert BAD_INPUT[name][1] in output
    assert "Traceback" not in output and "Epoch(train)" not in output


@pytest.mark.parametrize("name", [name for name in BAD_INPUT if name not in RUN_APART])
def test_bad_input_ends_with_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    (tool, *arguments), message = BAD_INPUT[name]
    if tool.endswith(".sh"):
        assert message in run(tool, *arguments, code=2)
        return
    monkeypatch.chdir(ROOT)
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    for key in ("RANK", "MMDET_LOSSES_TRACEBACK"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr("tool_runtime.runtime.get_device", lambda: "cpu")
    monkeypatch.setattr("tool_runtime.distributed.get_device", lambda: "cpu")
    work_dir = tmp_path / "work_dir"
    monkeypatch.setattr("sys.argv", [tool, *arguments, "--work-dir", str(work_dir)])
    with pytest.raises(SystemExit) as stop:
        load_tool(tool).main()
    assert stop.value.code == 2
    error = capfd.readouterr().err
    assert message in error and "Traceback" not in error
    assert not work_dir.exists()


def test_head_for_another_number_of_classes(data_root: Path, tmp_path: Path) -> None:
    options = tiny(data_root, "model.bbox_head.num_classes=5")
    output = run("train.py", CONFIG, "--work-dir", tmp_path, *options, code=2)
    assert "`num_classes` (5) in RetinaHead" in output.splitlines()[-1]
    assert "Traceback" not in output and "Epoch(train)" not in output


def test_the_hook_of_fused_losses_is_added_where_it_is_missing() -> None:
    for hooks, expected in (
        (None, ["FusedLossHook"]),
        ([dict(type="EMAHook")], ["EMAHook", "FusedLossHook"]),
        ([dict(type="FusedLossHook"), dict(type="EMAHook")], ["FusedLossHook", "EMAHook"]),
        ([dict(type="mmdet_losses.FusedLossHook")], ["mmdet_losses.FusedLossHook"]),
        ([dict(type=FusedLossHook)], [FusedLossHook]),
    ):
        cfg = Config(dict(custom_hooks=hooks) if hooks else {})
        runtime.add_hook(cfg, "FusedLossHook")
        assert [hook["type"] for hook in cfg.custom_hooks] == expected


def test_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDET_LOSSES_TRACEBACK", "1")
    with pytest.raises(ToolError), report_errors("tool"):
        raise ToolError("message")


def test_defects_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), report_errors("tool"), config_errors("config.py"):
        _ = 1 / 0
    for defect in (TypeError("a"), ValueError("b"), KeyError("c"), AssertionError("d")):
        with pytest.raises(type(defect)), report_errors("tool"), config_errors("config.py"):
            raise defect


def test_comparison_trains_both_sides_and_keeps_them(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("compare_stock.py", CONFIG, "--iters", 2, "--sgd", "--parallel", "--work-dir", tmp_path / "runs")
    run(*command, "--json", tmp_path / "figures.json", *tiny(data_root))
    (pair,) = json.loads((tmp_path / "figures.json").read_text())
    for side, package in {"ours": "mmdet_losses", "stock": "mmdet"}.items():
        classes = {name: path.split(".")[0] for name, path in pair[side]["loss_classes"].items()}
        assert classes == {"bbox_head.loss_cls": package, "bbox_head.loss_bbox": package}
        assert len(pair[side]["losses"]) == 2
        assert pair[side]["versions"]["torch"] == torch.__version__
    for key in ("loss", "loss_cls", "loss_bbox"):
        ours, stock = (pair[side]["losses"][0][key] for side in ("ours", "stock"))
        assert ours == pytest.approx(stock, rel=1e-5)

    monkeypatch.chdir(ROOT)
    (request,) = (tmp_path / "runs").glob("*/*-ours/trial.json")
    trial = Trial(**json.loads(request.read_text()))
    assert trial.result()["losses"] == pair["ours"]["losses"]
    for change in ({"seed": 1}, {"iters": 3}, {"side": "stock"}, {"options": {**trial.options, "randomness.seed": 7}}):
        assert replace(trial, **change).result() is None


def test_figures_of_a_comparison() -> None:
    ours = [{"loss": 2.0, "loss_bbox": 1.0}, {"loss": 1.5, "loss_bbox": 0.6}]
    stock = [{"loss": 2.0, "loss_bbox": 1.0}, {"loss": 1.2, "loss_bbox": 0.5}]
    assert compare.relative_differences(ours, stock) == pytest.approx([0.0, 0.25])
    with pytest.raises(ValueError, match="as many iterations"):
        compare.relative_differences(ours, stock[:1])
    with pytest.raises(ValueError, match="the same losses"):
        compare.relative_differences(ours, [{"loss": 1.0}] * 2)


def list_losses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *arguments: str) -> list[str]:
    monkeypatch.setattr("sys.argv", ["list_losses.py", *arguments])
    load_tool("list_losses.py").main()
    return capsys.readouterr().out.splitlines()


def test_every_registered_loss_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from mmdet_losses.registry import LOSSES, MODELS

    lines = list_losses(monkeypatch, capsys)
    table = lines[: lines.index("")]
    assert [line.split()[0] for line in table if line[0] != " "] == list(LOSSES) == list(MODELS.module_dict)
    assert max(map(len, lines)) <= 100
    first = next(number for number, line in enumerate(table) if line.startswith("FocalLoss "))
    focal = " ".join("\n".join(table[first : first + 6]).split())
    assert focal.startswith("FocalLoss cls Focal loss: ") and "gamma=2.0, alpha=0.25" in focal and "1708.02002" in focal

    markdown = list_losses(monkeypatch, capsys, "--format", "markdown")
    rows = [line for line in markdown if line.startswith("| `")]
    assert len(rows) == len(LOSSES) and all(row.count("|") == 5 for row in rows)


def test_list_can_be_filtered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for word, names in {
        "ciou": ["CIoULoss"],
        "dfl": ["DistributionFocalLoss"],
        "yolov": ["YOLOv1Loss", "YOLOv2Loss", "YOLOv3Loss", "YOLOv4Loss"],
        "composite": ["GridObjectnessLoss", "YOLOv1Loss", "YOLOv2Loss", "YOLOv3Loss", "YOLOv4Loss"],
        "small": ["GCDLoss", "NWDLoss", "SDIoULoss", "WassersteinLoss"],
    }.items():
        lines = list_losses(monkeypatch, capsys, word)
        assert [line.split()[0] for line in lines[: lines.index("")] if line[0] != " "] == names
    with pytest.raises(SystemExit):
        list_losses(monkeypatch, capsys, "foccal")
    assert "did you mean FocalLoss or VariFocalLoss" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["train.py", "test.py"])
def test_options_are_mmdetections(tool: str) -> None:
    """Every option of MMDetection's own tools is there, with the same number of values, choices and default."""
    import mmdet

    theirs = Path(mmdet.__file__).parent / ".mim" / "tools" / tool
    if not theirs.is_file():
        pytest.skip("this mmdet has no tools beside it")
    ours = {name: action for action in load_tool(tool).build_parser()._actions for name in names_of(action)}
    calls = [
        node
        for node in ast.walk(ast.parse(theirs.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"
    ]
    assert len(calls) >= 7
    for call in calls:
        settings = {
            word.arg: word.value for word in call.keywords if word.arg in ("nargs", "choices", "const", "default")
        }
        for name in (ast.literal_eval(argument) for argument in call.args):
            assert name in ours, f"{tool} has no {name}"
            for key, value in settings.items():
                assert getattr(ours[name], key) == ast.literal_eval(value), f"{key} of {name}"


def names_of(action: argparse.Action) -> list[str]:
    return list(action.option_strings) or [action.dest]


def load_tool(name: str) -> ModuleType:
    """A tool as a module."""
    spec = importlib.util.spec_from_file_location(f"tool_{name.removesuffix('.py')}", ROOT / "tools" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
