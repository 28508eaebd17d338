"""The report of LossMonitorHook on every fault that it names, and the command that shows the fault again."""

from __future__ import annotations

import math
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")

import torch
from mmengine.optim import OptimWrapper
from monitored import BOX, DECODED, MONITOR, PLAIN, Detector, cause, retina, runner_of, sample, samples, stopped
from torch import Tensor, nn

import mmdet_losses as ml
from mmdet_losses.monitor import hook, totals
from mmdet_losses.monitor.batch import build, described, load, options, replay, save
from mmdet_losses.monitor.report import LossMonitorError
from mmdet_losses.monitor.watch import Called


def replayed(error: LossMonitorError, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command of a report prints; it has to find the fault again."""
    command = str(error).rpartition("made again by: ")[2]
    program, tool, *arguments = shlex.split(command)
    assert program == "python"
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(tool)), run_name="__main__")
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.endswith("reproduced\n")
    return said


@pytest.mark.parametrize("stock", [False, True])
def test_box_of_no_size(tmp_path: Path, stock: bool, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mmdet_losses.stock.L1Loss" if stock else "L1Loss"
    model = Detector(retina(loss_bbox=dict(type=name)))
    assert isinstance(model.bbox_head.loss_bbox, ml.L1Loss) is not stock
    runner = runner_of(model, samples(8, _5=[BOX, [10.0, 20, 10, 40]]), tmp_path, MONITOR)
    error = stopped(runner)
    for text in (str(error), replayed(error, capsys, monkeypatch)):
        assert "bbox_head.loss_bbox of RetinaHead (dict(type='L1Loss')) returned inf in iteration 3 of epoch 1" in text
        assert cause(text).startswith("a box of no size in the data: object 1 of image data/image_5.jpg (number 1 of")
        assert "[10.0, 20.0, 10.0, 40.0]" in cause(text)
    content = load(error.file)
    rows = content["arguments"]["target"].isfinite().all(1)
    assert content["row"] == rows.tolist().index(False)
    assert f"first bad row: {content['row']} of {len(rows)}" in str(error)
    assert [image["img_id"] for image in content["images"]] == [4, 5]
    assert ("train/bbox_head.loss_bbox/gradient" in runner.message_hub.log_scalars) is not stock


class Half(OptimWrapper):
    """Autocast on a CPU."""

    def optim_context(self, model: nn.Module) -> Any:
        return torch.autocast("cpu", torch.float16)


def with_large_logits() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Logits of 80,000 in the second class: 1.2 times what float16 holds."""
    model = Detector(DECODED)
    with torch.no_grad():
        model.bbox_head.retina_cls.weight.zero_()
        model.bbox_head.retina_cls.bias[1] = 80000
    return model, torch.optim.SGD(model.parameters(), lr=0.0)


def test_logit_that_overflows_in_half_precision(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = with_large_logits()
    error = stopped(runner_of(model, samples(4), tmp_path, MONITOR, wrapper=Half(optimizer=optimizer)))
    for text in (str(error), replayed(error, capsys, monkeypatch)):
        assert "bbox_head.loss_cls of RetinaHead (dict(type='FocalLoss'))" in text
        assert "in iteration 1 of" in text
        assert cause(text).startswith("a prediction that overflowed in half precision: pred in row 0 is [")
        assert "inf" in cause(text)
    model, optimizer = with_large_logits()
    runner_of(model, samples(4), tmp_path / "float32", MONITOR, wrapper=OptimWrapper(optimizer=optimizer)).train()


def test_deltas_that_slipped_past_the_guard(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is changed after the head was looked at; GIoU of deltas is finite, and is stopped at the first look."""
    model = Detector(DECODED)
    model.bbox_head.reg_decoded_bbox = False
    data = [sample(number, [[4.0 * (number % 3), 8, 32, 36], [30.0, 30, 58, 62]]) for number in range(8)]
    error = stopped(runner_of(model, data, tmp_path, MONITOR, batch_size=4))
    for text in (str(error), replayed(error, capsys, monkeypatch)):
        assert "got targets that are no boxes in iteration 2 of" in text
        assert cause(text).startswith("deltas where boxes are due: GIoULoss takes boxes (x1, y1, x2, y2), but of the ")
        assert "reg_decoded_bbox=True" in cause(text)
        assert f"  first target that is no box: {load(error.file)['row']} of 256" in text.splitlines()


class LogOfSides(ml.BoxLoss):
    """A loss of one's own that is not defined for what is no box."""

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        sides = [(boxes[:, 2:] - boxes[:, :2]).log() for boxes in (pred, target)]
        return (sides[0] - sides[1]).abs().sum(1)


def test_deltas_of_which_a_loss_is_not_finite(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Detector(DECODED)
    model.bbox_head.loss_bbox = LogOfSides()
    model.bbox_head.reg_decoded_bbox = False
    data = [sample(number, [[4.0, 8, 32, 36], [30.0, 30, 58, 62]]) for number in range(4)]
    error = stopped(runner_of(model, data, tmp_path, MONITOR))
    for text in (str(error), replayed(error, capsys, monkeypatch)):
        assert "returned nan in iteration 1 of epoch 1" in text
        assert cause(text).startswith("deltas where boxes are due: LogOfSides takes boxes (x1, y1, x2, y2)")


@pytest.mark.parametrize("kind", ["MSELoss", "L1Loss"])
def test_learning_rate_that_explodes(kind: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Detector(retina(loss_bbox=dict(type=kind)))
    runner = runner_of(model, samples(60), tmp_path, MONITOR, rate=10.0)
    error = stopped(runner)
    seen = runner.message_hub.get_scalar("train/loss").data[0].tolist()
    assert math.isfinite(seen[-2])
    assert not math.isfinite(seen[-1])
    for text in (str(error), replayed(error, capsys, monkeypatch)):
        found = re.match(
            r"a learning rate that is too high: the loss grew for (\d+) iterations before this one, "
            r"from (\S+) to (\S+) \(learning rate 10\)",
            cause(text),
        )
        number, first, last = (float(word) for word in found.groups())
        assert 2 <= number < len(seen) - 1
        rise = seen[-2 - int(number) : -1]
        assert first == pytest.approx(rise[0], rel=1e-3)
        assert last == pytest.approx(rise[-1], rel=1e-3)
        assert min(rise) == rise[0]


def test_input_that_is_not_finite(tmp_path: Path) -> None:
    data = samples(4)
    data[2]["inputs"][0, 24, 24] = math.nan
    said = cause(str(stopped(runner_of(Detector(DECODED), data, tmp_path, MONITOR))))
    assert said.startswith("the prediction in row")
    assert "though the loss was in the iteration before" in said


def test_loss_that_the_head_computes_itself(tmp_path: Path) -> None:
    model = Detector(DECODED)
    forward = model.forward
    model.forward = lambda *args, **options: {**forward(*args, **options), "loss_own": torch.tensor(math.inf)}
    error = stopped(runner_of(model, samples(2, _1=[[10.0, 20, 10, 40]]), tmp_path, MONITOR))
    assert error.file is None
    assert "object 0 of image data/image_1.jpg (number 1 of the batch, img_id 1)" in cause(str(error) + ".")
    assert "What is not finite is loss, loss_own: the head computes it itself" in str(error)


def test_call_that_cannot_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training ends in the same way, and says what is known."""
    (tmp_path / "loss_monitor").write_text("a file where the folder would be")
    data = samples(2, _1=[[10.0, 20, 10, 40]])
    error = stopped(runner_of(Detector(PLAIN), data, tmp_path, MONITOR))
    assert error.file is None
    assert "a box of no size in the data" in cause(str(error))
    assert "  the call could not be saved as " in str(error)

    monkeypatch.setattr(hook, "images_of", lambda batch: 1 / 0)
    error = stopped(runner_of(Detector(PLAIN), data, tmp_path, MONITOR))
    assert "bbox_head.loss_bbox of RetinaHead (L1Loss(" in str(error)
    assert ") returned inf in iteration 1 of epoch 1. No report could be made of it: ZeroDivisionError" in str(error)


def test_without_the_hook_that_reads_the_losses(tmp_path: Path) -> None:
    hooks = dict(checkpoint=None, logger=None, runtime_info=None)
    data = samples(4, _3=[[10.0, 20, 10, 40]])
    error = stopped(runner_of(Detector(PLAIN), data, tmp_path, MONITOR, default_hooks=hooks))
    assert "a box of no size in the data: object 0 of image data/image_3.jpg" in cause(str(error))


def test_copy_of_the_loss_is_read_an_iteration_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU without that hook: the report is of the iteration before, and none is lost at the end."""

    class Arrived:
        def synchronize(self) -> None:
            arrived.append(True)

    arrived: list[bool] = []
    monkeypatch.setattr(totals, "is_on_host", lambda tensor: False)
    monkeypatch.setattr(totals, "send", lambda tensor: (tensor.clone(), Arrived()))
    hooks = dict(checkpoint=None, logger=None, runtime_info=None)
    for iterations in (5, 3):
        data = samples(2 * iterations, _5=[[10.0, 20, 10, 40]])
        runner = runner_of(Detector(PLAIN), data, tmp_path / str(iterations), MONITOR, default_hooks=hooks)
        error = stopped(runner)
        assert "returned inf in iteration 3 of" in str(error)
        assert "object 0 of image data/image_5.jpg" in cause(str(error))
        assert runner.iter == 3
    assert len(arrived) == 6


# --------------------------------------------------------------------------------------------------------------- files


def test_every_call_is_made_again(tmp_path: Path) -> None:
    """Of every loss in every form that the tests know, with its statistics: from a file the same loss and rows."""
    from cases import CASES

    for case in CASES:
        loss = case.build()
        pred, target = case.batch()
        value = loss(pred, target)
        save(described(Called("loss", loss, (pred, target), {}, value), "Head"), tmp_path / "call.pt")
        content = load(tmp_path / "call.pt")
        again = build(content)
        assert repr(again) == repr(loss.eval()), case.id
        assert options(again) == options(loss), case.id
        found = replay(content)
        assert found.value == pytest.approx(float(value.detach()), rel=1e-6, abs=1e-9), case.id
        assert found.losses.shape == (len(pred),), case.id
        assert found.row is None, case.id
