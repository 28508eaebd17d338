"""LossMonitorHook: its figures, what it costs the device, and several heads and processes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")

import torch
from mmengine.optim import OptimWrapper
from monitored import BOX, DECODED, MONITOR, PLAIN, Detector, cause, figure, retina, runner_of, samples, stopped
from processes import run_ranks
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import mmdet_losses as ml
from mmdet_losses.monitor.figures import Figures

# ------------------------------------------------------------------------------------------------------------- figures


class Heard:
    """The calls of a loss, copied."""

    def __init__(self, loss: nn.Module) -> None:
        self.calls: list[tuple[Any, ...]] = []
        loss.register_forward_pre_hook(self.hear, with_kwargs=True)

    def hear(self, loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls.append((*(one.detach().clone() for one in args[:3]), kwargs["avg_factor"]))


def iou(p: Sequence[float], t: Sequence[float]) -> float:
    width, height = (max(0.0, min(p[i + 2], t[i + 2]) - max(p[i], t[i])) for i in range(2))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (p, t)]
    return width * height / (sum(areas) - width * height)


def norm_by_hand(loss: nn.Module, calls: Sequence[tuple[Any, ...]]) -> float:
    total = 0.0
    for pred, target, weight, avg_factor in calls:
        leaf = pred.clone().requires_grad_()
        loss(leaf, target, weight, avg_factor=avg_factor).backward()
        total += sum(value**2 for value in leaf.grad.flatten().tolist())
    return math.sqrt(total)


def test_figures_are_those_by_hand(tmp_path: Path) -> None:
    """Of the second and last iteration, in which each loss is called once per level."""
    model = Detector(DECODED)
    head = model.bbox_head
    scores, boxes = Heard(head.loss_cls), Heard(head.loss_bbox)
    runner = runner_of(model, samples(4), tmp_path, MONITOR)
    runner.train()
    assert len(scores.calls) == len(boxes.calls) == 4
    calls = boxes.calls[2:]
    rows = [
        (p, t, any(w))
        for pred, target, weight, _ in calls
        for p, t, w in zip(pred.tolist(), target.tolist(), weight.tolist(), strict=True)
    ]
    positives = [(p, t) for p, t, weighted in rows if weighted]
    assert 0 < len(positives) < len(rows)
    assert figure(runner, "bbox_head.loss_bbox/weighted") == pytest.approx(len(positives) / len(rows))
    mean = sum(iou(p, t) for p, t in positives) / len(positives)
    assert figure(runner, "bbox_head.loss_bbox/iou") == pytest.approx(mean, rel=1e-5)
    assert figure(runner, "bbox_head.loss_bbox/gradient") == pytest.approx(
        norm_by_hand(head.loss_bbox, calls), rel=1e-5
    )

    calls = scores.calls[2:]
    logits = [
        row[label]
        for pred, labels, weight, _ in calls
        for row, label, weighted in zip(pred.tolist(), labels.tolist(), weight.tolist(), strict=True)
        if weighted and label < 3
    ]
    assert len(logits) == len(positives)
    mean = sum(1 / (1 + math.exp(-logit)) for logit in logits) / len(logits)
    assert figure(runner, "bbox_head.loss_cls/probability") == pytest.approx(mean, rel=1e-5)
    assert figure(runner, "bbox_head.loss_cls/gradient") == pytest.approx(norm_by_hand(head.loss_cls, calls), rel=1e-5)
    weights = [weighted for _, _, weight, _ in calls for weighted in weight.tolist()]
    assert figure(runner, "bbox_head.loss_cls/weighted") == pytest.approx(sum(weights) / len(weights))


def test_log_has_the_last_figure_and_no_mean(tmp_path: Path) -> None:
    """MMEngine averages what has "loss" in its name; the second look is at another image than the first."""
    hooks = dict(checkpoint=None, logger=dict(type="LoggerHook", interval=2))
    seen = []
    for number, place in enumerate((1, 4)):
        data = samples(place, _1=[[8.0, 8, 24, 24]], _3=[[8.0, 8, 56, 56]])
        runner = runner_of(Detector(DECODED), data, tmp_path / str(number), MONITOR, batch_size=1, default_hooks=hooks)
        runner.train()
        if place == 4:
            (file,) = (tmp_path / str(number)).glob("*/vis_data/scalars.json")
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            seen = [line["bbox_head.loss_bbox/iou"] for line in lines]
    assert len(seen) == 2
    assert abs(seen[0] - seen[1]) > 0.02
    assert seen[1] == figure(runner, "bbox_head.loss_bbox/iou")


def test_shares_of_a_sum(tmp_path: Path) -> None:
    loss = dict(type="SumLoss", loss_weight=3.0, losses=[dict(type="GIoULoss"), dict(type="NWDLoss", loss_weight=0.5)])
    model = Detector(retina(reg_decoded_bbox=True, loss_bbox=loss))
    parts: list[list[float]] = [[], []]
    for number, member in enumerate(model.bbox_head.loss_bbox.losses):
        member.register_forward_hook(lambda _, __, value, number=number: parts[number].append(float(value)))
    runner = runner_of(model, samples(4), tmp_path, MONITOR)
    runner.train()
    giou, nwd = (sum(values[2:]) for values in parts)
    name = "bbox_head.loss_bbox.losses"
    assert figure(runner, f"{name}.0/share") == pytest.approx(giou / (giou + nwd), rel=1e-5)
    assert figure(runner, f"{name}.1/share") == pytest.approx(nwd / (giou + nwd), rel=1e-5)
    assert figure(runner, f"{name}.0/iou") == pytest.approx(figure(runner, "bbox_head.loss_bbox/iou"))
    assert figure(runner, f"{name}.1/gradient") > 0


FIGURES = {
    "box": {"iou"},
    "sides": {"iou"},
    "rotated": {"iou"},
    "cls": {"probability"},
    "coordinate": set(),
    "dfl": set(),
}


def test_no_loss_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of every loss in every form that the tests know, on the path of a GPU."""
    from cases import CASES, NoWaiting, never_select

    never_select(monkeypatch)
    for case in CASES:
        loss = case.build()
        pred, target = case.batch(12)
        value = loss(pred, target)
        figures = Figures({"loss": loss})
        with NoWaiting():
            figures.add("loss", loss, (pred, target), {}, value)
        found = {name: number for (_, name), number in figures.read().items()}
        asked = {"weighted"} | FIGURES[case.kind] if loss.slot in ("bbox", "rbox", "cls", "dfl") else {"weighted"}
        assert asked <= set(found), case.id
        assert 0 <= found.get("probability", 0) <= 1, case.id
        assert 0 <= found.get("iou", 0) <= 1, case.id


PAIR = [[0.0, 1.0, -1.0], [2.0, 0.0, 0.0], [1.0, 1.0, 1.0]]


def probability(*rows: Sequence[float]) -> float:
    return sum(1 / (1 + math.exp(-value)) for value in rows) / len(rows)


@pytest.mark.parametrize(
    ("loss", "target", "weight", "expected"),
    [
        (  # labels and qualities; label 3 is background
            ml.QualityFocalLoss(),
            (torch.tensor([1, 3, 0]), torch.tensor([0.5, 0.9, 0.7])),
            None,
            {"probability": probability(1.0, 1.0), "quality": 0.6, "weighted": 1.0},
        ),
        (  # a dense target, of which a weight of 0 takes out an element
            ml.VarifocalLoss(),
            torch.tensor([[0.0, 0.8, 0], [0.4, 0, 0], [0, 0, 0.9]]),
            torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 0]]),
            {"probability": probability(1.0, 2.0), "quality": 0.6, "weighted": 1.0},
        ),
        (  # a softmax, whose last channel is background
            ml.CrossEntropyLoss(),
            torch.tensor([1, 2, 0]),
            torch.tensor([1.0, 1, 0]),
            {"probability": math.e / (1 + math.e + 1 / math.e), "weighted": 2 / 3},
        ),
    ],
)
def test_positives_of_every_form_of_target(loss: nn.Module, target: Any, weight: Any, expected: dict) -> None:
    figures = Figures({"loss": loss})
    pred = torch.tensor(PAIR)
    figures.add("loss", loss, (pred, target, weight), {}, loss(pred, target, weight))
    found = {name: value for (_, name), value in figures.read().items()}
    assert found == pytest.approx(expected)


# ------------------------------------------------------------------------------------- what the training sees of it


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@contextmanager
def reads_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of what was called to bring a tensor to the host."""
    found: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("tolist", "item", "__float__", "__int__", "__bool__", "cpu", "numpy", "nonzero"):
            method = getattr(Tensor, name)

            def counted(self: Tensor, *args: Any, _name: str = name, _method: Any = method, **kwargs: Any) -> Any:
                found.append(_name)
                return _method(self, *args, **kwargs)

            patch.setattr(Tensor, name, counted)
        yield found


def traced(folder: Path, monkeypatch: pytest.MonkeyPatch, *hooks: Any) -> tuple[list[Any], list[Any], nn.Module]:
    """Operations and reads of each of four iterations, and the model after them."""
    model = Detector(DECODED)
    runner = runner_of(model, samples(8), folder, *hooks)
    operations: list[list[str]] = []
    reads: list[list[str]] = []
    step = runner.train_loop.run_iter

    def run_iter(*args: Any) -> None:
        with reads_counted(monkeypatch) as read, Operations() as mode:
            step(*args)
        operations.append(mode.names)
        reads.append(read)

    monkeypatch.setattr(runner.train_loop, "run_iter", run_iter)
    runner.train()
    return operations, reads, model


def test_nothing_is_done_between_two_looks_and_one_copy_in_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations, reads, model = traced(tmp_path / "with", monkeypatch, {**MONITOR, "interval": 3})
    alone, alone_reads, other = traced(tmp_path / "without", monkeypatch)
    for number in (1, 3):  # the first one allocates what later ones keep
        assert operations[number] == alone[number]
        assert reads[number] == alone_reads[number]
    assert len(operations[2]) > len(alone[2])
    assert sorted(reads[2]) == sorted([*alone_reads[2], "tolist"])
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


class Skipping(OptimWrapper):
    """Mixed precision's scaler on a CPU, as MMEngine's AmpOptimWrapper uses it."""

    def __init__(self, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)

    def backward(self, loss: Tensor, **options: Any) -> None:
        self.loss_scaler.scale(loss).backward(**options)
        self._inner_count += 1

    def step(self, **options: Any) -> None:
        self.loss_scaler.step(self.optimizer, **options)
        self.loss_scaler.update()


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="this torch has no scaler for a CPU")
def test_skipped_step_is_no_alarm(tmp_path: Path) -> None:
    """A scale of 2**127 overflows at once; it is halved until the gradients are finite, and is in no figure."""
    norms = []
    for scale in (2.0**127, 1.0):
        model = Detector(DECODED)
        before = model.backbone.weight.clone()
        wrapper = Skipping(scale, optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
        runner = runner_of(model, samples(2), tmp_path / str(scale), {**MONITOR, "interval": 1}, wrapper=wrapper)
        runner.train()
        assert torch.equal(model.backbone.weight, before) is (scale != 1)
        found = runner.message_hub.log_scalars
        norms.append(found.get("train/bbox_head.loss_cls/gradient"))
        assert "train/bbox_head.loss_cls/probability" in found
    assert norms[0] is None
    assert norms[1].current() > 0


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="this torch has no scaler for a CPU")
def test_scale_and_accumulation_are_in_no_gradient(tmp_path: Path) -> None:
    norms = []
    for scale, counts in ((1.0, 1), (1024.0, 4)):
        model = Detector(DECODED)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        wrapper = Skipping(scale, optimizer=optimizer, accumulative_counts=counts)
        runner = runner_of(model, samples(2), tmp_path / str(scale), {**MONITOR, "interval": 1}, wrapper=wrapper)
        # the last, single iteration of a run with accumulation would count alone
        wrapper.initialize_count_status = lambda *_: None
        runner.train()
        norms.append(figure(runner, "bbox_head.loss_bbox/gradient"))
    assert norms[1] == pytest.approx(norms[0], rel=1e-6)


def test_resumed(tmp_path: Path) -> None:
    """The message hub comes back from the checkpoint; the third and fourth iteration see the first images again."""
    hooks = dict(logger=None, checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False))
    first = runner_of(Detector(DECODED), samples(4), tmp_path, MONITOR, default_hooks=hooks)
    first.train()
    options = dict(iterations=4, default_hooks=hooks, resume=True, load_from=str(tmp_path / "iter_2.pth"))
    runner = runner_of(Detector(DECODED), samples(4), tmp_path, MONITOR, **options)
    runner.train()
    name = "bbox_head.loss_bbox/iou"
    history = runner.message_hub.get_scalar(f"train/{name}").data[0]
    assert len(history) == 1
    assert history[0] != figure(first, name)
    straight = runner_of(Detector(DECODED), [*samples(4), *samples(4)], tmp_path / "straight", MONITOR)
    straight.train()
    assert history[0] == figure(straight, name)


def test_nothing_stays_on_the_losses(tmp_path: Path) -> None:
    for data in (samples(4), samples(4, _3=[[10.0, 20, 10, 40]])):
        model = Detector(PLAIN)
        runner = runner_of(model, data, tmp_path, MONITOR)
        if data[3]["data_samples"].gt_instances.bboxes[0, 2] == BOX[2]:
            runner.train()
        else:
            stopped(runner)
        for loss in (model.bbox_head.loss_bbox, model.bbox_head.loss_cls):
            assert not loss._forward_hooks
            assert not loss._forward_pre_hooks


# ------------------------------------------------------------ several heads and processes


def test_two_stages(tmp_path: Path) -> None:
    """Four losses of two heads under their own names; the second stage has a proposal of no size to learn from."""
    from mmdet.registry import MODELS
    from mmengine.config import Config

    base = Path(sys.modules["mmdet"].__file__).parent / ".mim/configs/_base_/models/faster-rcnn_r50_fpn.py"
    cfg = Config.fromfile(base).model
    cfg.backbone = dict(type="ResNet", depth=18, base_channels=4, stem_channels=4)
    cfg.neck.update(in_channels=[4, 8, 16, 32], out_channels=8)
    cfg.rpn_head.update(in_channels=8, feat_channels=8)
    cfg.roi_head.bbox_roi_extractor.out_channels = 8
    cfg.roi_head.bbox_head.update(in_channels=8, fc_out_channels=8, num_classes=3)
    model = MODELS.build(cfg)
    runner = runner_of(model, samples(2), tmp_path, {**MONITOR, "interval": 1})
    runner.train()
    names = ("rpn_head.loss_cls", "rpn_head.loss_bbox", "roi_head.bbox_head.loss_cls", "roi_head.bbox_head.loss_bbox")
    for name in names:
        assert figure(runner, f"{name}/gradient") > 0
        assert 0 < figure(runner, f"{name}/weighted") <= 1
    assert 0 < figure(runner, f"{names[2]}/probability") < 1
    model.roi_head.bbox_head.fc_reg.bias.data[1] = math.nan
    error = stopped(runner_of(model, samples(2), tmp_path / "bad", MONITOR))
    assert "roi_head.bbox_head.loss_bbox of Shared2FCBBoxHead (dict(type='L1Loss')) returned nan" in str(error)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("monitored_processes")
    run_ranks("monitored_processes", 2, folder, 150)
    return [(folder / f"rank{rank}").read_text() for rank in range(2)]


def test_processes_stop_together(processes: list[str]) -> None:
    """In the third of six iterations the second process has a box of no size."""
    assert processes[0].startswith("training stopped: a loss of process 1 was not as it should be")
    assert "in iteration 3 of epoch 1, process 1 of 2" in processes[1]
    assert "object 0 of image data/image_2.jpg" in cause(processes[1])
    assert "_process1.pt" in processes[1]


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "50"])
def test_interval_is_checked(value: Any) -> None:
    from mmengine.registry import HOOKS

    with pytest.raises(ValueError, match=r"interval must be a whole number, 1 or more, got"):
        HOOKS.build({**MONITOR, "interval": value})
