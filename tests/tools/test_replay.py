"""tools/replay.py on calls that are saved here: exit codes, what it prints, and files that it refuses."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import command_line
import pytest
import replay
import torch
from command_line import ROOT, log_lines, tiny
from torch import nn

import mmdet_losses as ml
from mmdet_losses.monitor.batch import NAMED_TUPLE, described, load, save
from mmdet_losses.monitor.watch import Called

BOXES = torch.tensor([[0.0, 0.0, 8.0, 8.0], [2.0, 2.0, 9.0, 9.0], [1.0, 0.0, 5.0, 4.0]])


def saved(folder: Path, loss: nn.Module, *args: Any, **changes: Any) -> Path:
    """A call as the hook saves it."""
    call = Called("head.loss", loss, args, {}, loss(*args))
    content = {
        **described(call, "Head"),
        "stopped for": "not finite",
        "iteration": 7,
        "epoch": 2,
        "process": (0, 1),
        "images": [],
        "history": [1.0, 0.9],
        "rate": [0.1],
        "row": 1,
        "causes": [],
        **changes,
    }
    file = folder / "call.pt"
    save(content, file)
    return file


def run(monkeypatch: pytest.MonkeyPatch, file: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["replay", str(file)])
    with pytest.raises(SystemExit) as end:
        replay.main()
    return end.value.code


def test_call_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pred = BOXES.clone()
    pred[1, 2] = math.nan
    file = saved(tmp_path, ml.SIoULoss(power=2.0), pred, BOXES, torch.tensor([0.0, 1.0, 1.0]), 2.0)
    assert run(monkeypatch, file) == 0
    said = capsys.readouterr().out
    for line in (
        "head.loss of Head (dict(type='SIoULoss', power=2.0)) returned nan in iteration 7 of epoch 2.",
        "  in the training: loss nan, row 1",
        "  made again:      loss nan, row 1",
        "  first bad row: 1 of 3",
        "  pred: [2.0, 2.0, nan, 9.0]",
        "  target: [2.0, 2.0, 9.0, 9.0]",
        "  weight: [1.0]",
        "  avg_factor: 2.0",
        "reproduced",
    ):
        assert line in said.splitlines()
    assert "likely cause: the prediction in row 1 is not finite (1 of its 3 rows)" in said


def test_masked_row_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Row 1 holds a NaN, but its weight is 0: the loss is finite, and so the call shows nothing."""
    pred = BOXES.clone()
    pred[1, 2] = math.nan
    assert run(monkeypatch, saved(tmp_path, ml.GIoULoss(), pred, BOXES, torch.tensor([1.0, 0.0, 1.0]))) == 1
    assert capsys.readouterr().out.endswith("not reproduced: the loss is finite here\n")


def test_statistics_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """A running mean of 0.25 in place of 1 changes what a call returns."""
    loss = ml.WIoULoss()
    loss.focus.iou_mean.fill_(0.25)
    value = float(loss(BOXES[:2], BOXES[1:]))
    assert value != float(ml.WIoULoss()(BOXES[:2], BOXES[1:]))
    run(monkeypatch, saved(tmp_path, loss, BOXES[:2], BOXES[1:]))
    assert f"  made again:      loss {value:.6g}, row" in capsys.readouterr().out


def test_named_tuples_come_along(tmp_path: Path) -> None:
    """The target of an objective of grids."""
    from mmdet_losses.monitor.batch import restored
    from mmdet_losses.yolo import DenseTarget

    target = DenseTarget(torch.ones(1, 2), torch.rand(1, 2, 4), None)
    call = Called("head.loss", ml.GIoULoss(), (BOXES, target), {}, BOXES.sum())
    save(described(call, "Head") | {"format": 1}, tmp_path / "call.pt")
    kept = load(tmp_path / "call.pt")["arguments"]["target"]
    assert kept[NAMED_TUPLE].endswith(":DenseTarget")
    again = restored(kept)
    assert type(again) is DenseTarget
    assert torch.equal(again.box, target.box)
    assert again.classes is None


def test_weight_of_masks_is_their_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The first bad row is the second mask, of class 0; the third argument takes no row out."""
    pred = torch.zeros(2, 3, 4, 4)
    pred[1, 0, 2, 3] = math.inf
    file = saved(tmp_path, ml.CrossEntropyLoss(use_mask=True), pred, torch.zeros(2, 4, 4), torch.tensor([2, 0]))
    assert run(monkeypatch, file) == 0
    said = capsys.readouterr().out
    assert "  first bad row: 1 of 2" in said.splitlines()
    assert "(inf at 11)" in said


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda file: None, "expected a file of LossMonitorHook, got"),
        (lambda file: file.write_bytes(b"nothing"), "cannot be used"),
        (lambda file: torch.save(nn.Linear(1, 1), file), "cannot be used"),
        (lambda file: torch.save({"state_dict": {}}, file), "it does not hold a call of a loss"),
        (
            lambda file: torch.save({"format": 9, "loss": {}, "arguments": {}}, file),
            "its format is 9, and this version reads 1",
        ),
    ],
)
def test_other_files(write: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    write(tmp_path / "file.pt")
    assert run(monkeypatch, tmp_path / "file.pt") == 2
    heard = capsys.readouterr().err
    assert heard.startswith("replay: error: FILE: ")
    assert said in heard


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        ("no_such_package.losses:Mine", "the class Mine of no_such_package.losses cannot be imported"),
        ("os:system", "system of os is no Module"),
        ("torch.nn:Linear", "cannot be built"),
    ],
)
def test_losses_that_cannot_be_built(cls: str, said: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    file = saved(tmp_path, ml.GIoULoss(), BOXES, BOXES)
    content = load(file)
    content["loss"]["class"] = cls
    save(content, file)
    assert run(monkeypatch, file) == 2
    assert said in capsys.readouterr().err


def test_training_ends_with_a_report_and_a_command(tmp_path: Path) -> None:
    """The quickstart with a learning rate of 1e12: one message, also in the log file, and what it says to run."""
    pytest.importorskip("mmdet")
    config = tmp_path / "watched.py"
    config.write_text(
        f'_base_ = "{ROOT}/configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"\n'
        'custom_hooks = [dict(type="mmdet_losses.LossMonitorHook", interval=1)]\n'
    )
    steep = ("optim_wrapper.optimizer.lr=1e12", "optim_wrapper.clip_grad=None")
    work_dir = tmp_path / "work"
    said = command_line.run("train.py", config, "--work-dir", work_dir, *tiny(tmp_path / "data", *steep), code=2)
    report = said[said.index("train: error: training stopped: ") :]
    assert "Traceback" not in said
    assert "a learning rate that is too high (1e+12)" in report
    (log,) = work_dir.glob("*/*.log")
    assert report.removeprefix("train: error: ").splitlines()[0] in log.read_text()
    (line,) = log_lines(work_dir)
    assert 0 < line["bbox_head.loss_bbox/iou"] < 1
    program, tool, file = report.rpartition("made again by: ")[2].split()
    assert (program, tool) == ("python", "tools/replay.py")
    assert command_line.run("replay.py", file).endswith("reproduced\n")
