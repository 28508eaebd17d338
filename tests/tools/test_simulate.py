"""The simulation of the DIoU paper: its cases, its published figures, and what the tool writes and refuses."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

import simulate as tool
from box_simulation import animation, protocol
from box_simulation.descent import Movement, corners_of, descend
from box_simulation.record import read
from box_simulation.run import simulate
from box_simulation.settings import Settings
from box_simulation.tables import page, plain
from loss_views.choice import choose

from mmdet_losses import functional as F

LINEAR = "dict(type='IoULoss', mode='linear')"
START, TARGET = (10.5, 11.6, 2.2, 3.0), (10.0, 10.0, 1.0, 1.0)

SINGLE_BOX = {
    "authors": {
        LINEAR: (5.284396, 5.066199),
        "GIoULoss": (5.280825, 4.972299),
        "DIoULoss": (5.233343, 4.529551),
        "CIoULoss": (5.233533, 4.534740),
    },
    "xywh": {
        LINEAR: (5.277945, 5.041907),
        "GIoULoss": (5.263884, 4.889438),
        "DIoULoss": (5.258277, 4.812996),
        "CIoULoss": (5.258291, 4.813230),
        "EIoULoss": (5.204448, 4.249952),
    },
}
"""Errors of the authors' example after 1 and 10 steps, from an independent program."""

TOTALS = {
    LINEAR: (6.518, 6.400, 6.218, 6.038, 5.977, 5.958, 5.952, 5.895, 5.881),
    "GIoULoss": (5.636, 4.989, 4.353, 3.639, 3.075, 2.647, 2.131, 1.589, 1.507),
    "DIoULoss": (5.312, 4.171, 2.304, 0.717, 0.454, 0.414, 0.403, 0.074, 0.004),
    "CIoULoss": (5.055, 3.742, 1.759, 0.492, 0.418, 0.410, 0.399, 0.073, 0.004),
}
"""Sums of errors under the authors' rule, in millions, from an independent program with 1,000 centres."""
ITERATIONS = (5, 10, 20, 40, 60, 80, 120, 170, 190)


def error(boxes: torch.Tensor, target: Sequence[float] = TARGET) -> list[float]:
    return (boxes - torch.tensor(target, dtype=boxes.dtype)).abs().sum(-1)[:, 0].tolist()


@pytest.mark.parametrize("rule, loss", [(rule, loss) for rule, losses in SINGLE_BOX.items() for loss in losses])
def test_example_of_the_authors_to_six_digits(rule: str, loss: str) -> None:
    left = error(descend(choose(loss), START, TARGET, rule))
    assert [round(left[t], 6) for t in (1, 10)] == list(SINGLE_BOX[rule][loss])


@pytest.mark.parametrize("loss", TOTALS)
def test_totals_of_the_authors_rule(loss: str) -> None:
    (result,) = simulate([choose(loss)], Settings("authors", centres=64, processes=1), progress=False)
    found = [result.totals[t - 1] / 1e6 for t in ITERATIONS]
    assert found == pytest.approx(TOTALS[loss], abs=0.03)


def test_cases_are_those_of_the_paper() -> None:
    boxes, targets = protocol.cases(protocol.sunflower(1000))
    assert boxes.shape == targets.shape == (4, 343_000) and boxes.dtype == torch.float64
    apart = protocol.errors(boxes, targets)
    assert apart.mean().item() == pytest.approx(3.876, abs=0.002)
    assert 5000 / 1000 * apart.sum().item() == pytest.approx(6.648e6, abs=0.002e6)
    overlap = F.box_pair(corners_of(boxes).t(), corners_of(targets).t()).iou > 0
    assert overlap.double().mean().item() == pytest.approx(0.168, abs=0.0005)
    # 7 targets of area 1, and 49 anchors for each centre, all pairs once
    wanted = {tuple(box) for box in targets.t().round(decimals=5).tolist()}
    assert {(0.5, 2.0), (0.57735, 1.73205), (1.0, 1.0), (2.0, 0.5)} < {box[2:] for box in wanted} and len(wanted) == 7
    assert {box[:2] for box in wanted} == {(10.0, 10.0)}
    areas = boxes[2] * boxes[3]
    assert sorted(set(areas.round(decimals=9).tolist())) == [0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0]
    assert len({tuple(row) for row in torch.cat((boxes, targets)).t()[:343].tolist()}) == 343
    assert [protocol.learning_rate(t) for t in (1, 160, 161, 180, 181, 200)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_random_centres_are_uniform_by_area() -> None:
    places = protocol.random_centres(0) - np.array(protocol.MIDDLE)
    radius = np.hypot(*places.T)
    assert places.shape == (5000, 2) and radius.max() <= 3
    # the disk of half the area holds half of them, each quadrant a quarter; four standard deviations
    assert (radius < 3 / math.sqrt(2)).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(5000))
    for sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert (places * sign > 0).all(1).mean() == pytest.approx(0.25, abs=4 * 0.433 / math.sqrt(5000))
    assert not np.array_equal(protocol.random_centres(1), protocol.random_centres(0))
    assert Settings().scale == 1 and Settings(centres=400).scale == 12.5


def slopes(value: Callable[[list[float]], float], at: Sequence[float]) -> list[float]:
    """Central differences."""
    found = []
    for i in range(len(at)):
        up, down = list(at), list(at)
        up[i] += 1e-6
        down[i] -= 1e-6
        found.append((value(up) - value(down)) / 2e-6)
    return found


def distance_iou(box: Sequence[float], target: Sequence[float]) -> tuple[float, float]:
    """DIoU loss and IoU of corners, written out."""
    (l, t, r, b), (L, T, R, B) = box, target  # noqa: E741
    shared = max(min(r, R) - max(l, L), 0) * max(min(b, B) - max(t, T), 0)
    iou = shared / ((r - l) * (b - t) + (R - L) * (B - T) - shared)
    offset = ((l + r - L - R) / 2) ** 2 + ((t + b - T - B) / 2) ** 2
    return 1 - iou + offset / ((max(r, R) - min(l, L)) ** 2 + (max(b, B) - min(t, T)) ** 2), iou


def to_corners(box: Sequence[float]) -> list[float]:
    x, y, w, h = box
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


@pytest.mark.parametrize("box", [START, (12.5, 8.0, 1.2, 0.6)])
def test_one_step_follows_the_slope_in_either_parametrisation(box: tuple[float, ...]) -> None:
    """By differences of the loss written out; the boxes overlap, and do not."""
    target, chosen = to_corners(TARGET), choose("DIoULoss")
    _, iou = distance_iou(to_corners(box), target)
    by_centre = slopes(lambda b: distance_iou(to_corners(b), target)[0], box)
    by_corners = slopes(lambda c: distance_iou(c, target)[0], to_corners(box))
    moved = descend(chosen, box, TARGET, "xywh")[1, 0].tolist()
    assert moved == pytest.approx([b - 0.1 * (2 - iou) * g for b, g in zip(box, by_centre, strict=True)], abs=1e-8)
    moved = to_corners(descend(chosen, box, TARGET, "corners")[1, 0].tolist())
    wanted = [c - 0.1 * (2 - iou) * g for c, g in zip(to_corners(box), by_corners, strict=True)]
    assert moved == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("rule", ["xywh", "authors"])
def test_numbers_do_not_depend_on_chunks_and_processes(rule: str) -> None:
    """Bit for bit; CIoU has functions that vector instructions round otherwise than scalar ones."""
    losses = [choose("CIoULoss"), choose("GIoULoss")]
    ways = [(1, 16), (1, 32), (1, 64), (2, 16), (2, 48)]
    found = [
        [
            (result.initial, result.totals, result.final, result.fitted, result.apart)
            for result in simulate(
                losses, Settings(rule, centres=50, processes=processes, stop=12), progress=False, chunk=chunk
            )
        ]
        for processes, chunk in ways
    ]
    assert all(numbers == found[0] for numbers in found[1:])
    assert len(found[0][0][1]) == 12 and len(found[0][0][2]) == 50


def test_results_are_what_single_boxes_add_up_to() -> None:
    chosen = choose("EIoULoss")
    (result,) = simulate([chosen], Settings(centres=2, processes=1), progress=False)
    boxes, targets = protocol.cases(protocol.sunflower(2))
    way = descend(chosen, boxes.t(), targets.t())
    errors = (way - targets.t()).abs().sum(-1)
    assert result.initial == pytest.approx(2500 * errors[0].sum().item(), rel=1e-12)
    assert result.totals == pytest.approx((2500 * errors[1:].sum(1)).tolist(), rel=1e-9)
    assert result.final == pytest.approx(errors[-1].view(2, 343).sum(1).tolist(), rel=1e-9)
    assert result.fitted == (errors[-1] < 0.1).double().mean().item()
    assert result.score == pytest.approx(sum(result.totals), rel=1e-12)


def test_siou_grows_with_the_distance() -> None:
    """A unit target and a box of its size beside it: what a descent needs, and MMDetection's sign does not give."""
    shifts = torch.tensor([0, 0.25, 0.5, 1, 3], dtype=torch.float64)
    boxes = torch.tensor([-0.5, -0.5, 0.5, 0.5], dtype=torch.float64).repeat(5, 1)
    values = choose("SIoULoss").build(reduction="none")(boxes + shifts[:, None] * torch.tensor([1, 0, 1, 0]), boxes)
    assert [round(value, 3) for value in values.tolist()] == [0, 0.438, 0.766, 1.197, 1.338]


def test_statistics_stay_and_a_schedule_follows_the_iterations() -> None:
    wise = Movement(choose("WIoULoss"))
    boxes, targets = protocol.cases(protocol.sunflower(1))
    wise(boxes, targets)
    assert wise.loss.focus.iou_mean.item() == 1
    unified = Movement(choose("UnifiedIoULoss"))
    before = unified(boxes, targets)[0]
    unified.set_progress(1.0)
    assert unified.loss.current_ratio.item() == 0.5
    assert not torch.equal(unified(boxes, targets)[0], before)


@pytest.mark.parametrize("loss", ["NWDLoss", "EIoULoss"])
def test_unit_is_what_the_loss_sees(loss: str) -> None:
    """In pixels, the way is that of the same boxes in units, times the unit, where the loss compares boxes alone."""
    box, target = torch.tensor([START]) * 32, torch.tensor(TARGET) * 32
    in_pixels = descend(choose(loss), box, target, unit=32.0) / 32
    in_units = descend(choose(loss), START, TARGET)
    assert torch.allclose(in_pixels, in_units, atol=1e-6) == (loss == "EIoULoss")
    assert Movement(choose(loss)).in_pixels == (loss == "NWDLoss")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate.py", *map(str, arguments)])
    tool.main()


def test_pictures_and_json_come_and_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--centres", 5, "--processes", 1)
    for rule in ("xywh", "corners"):
        run(monkeypatch, LINEAR, "NWDLoss", *few, "--rule", rule, "--out", tmp_path / rule)
        assert {file.name for file in tmp_path.glob(f"{rule}*")} == {
            f"{rule}.json", f"{rule}-curves.png", f"{rule}-basin.png"
        }  # fmt: skip
    content = json.loads((tmp_path / "xywh.json").read_text())
    assert content["versions"]["torch"] and len(content["runs"]) == 2
    first, second = content["runs"]
    assert first["loss"] == LINEAR and first["cases"] == 5 * 343
    assert len(first["totals"]) == 200 and len(first["final"]) == 5
    assert (first["settings"]["pixels"], second["settings"]["pixels"]) == (None, 32.0)
    assert first["score"] == pytest.approx(sum(first["totals"]), rel=1e-6)

    files = [tmp_path / "xywh.json", tmp_path / "corners.json"]
    capsys.readouterr()
    run(monkeypatch, "--from", *files, "--out", tmp_path / "both", "--format", "svg")
    said = capsys.readouterr().out
    assert "IoULoss(mode='linear'), xywh" in said and "NWDLoss, corners" in said
    assert "corners" in (tmp_path / "both-curves.svg").read_text()
    # written again as it was read
    again = read([tmp_path / "both.json"])
    assert again == read(files) and len(plain(again).splitlines()) == 5


@pytest.mark.parametrize("name", ["ways.gif", "ways.mp4"])
def test_boxes_move_in_a_picture(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.endswith("mp4") and animation.shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg")
    monkeypatch.setattr(animation, "EVERY", 100)
    monkeypatch.setattr(animation, "FRAMES_PER_SECOND", 1)
    run(monkeypatch, "GIoULoss", "NWDLoss", "--animate", tmp_path / name, "--start", *START)
    content = json.loads((tmp_path / "ways.json").read_text())
    boxes = np.array(content["runs"][0]["boxes"])
    assert boxes.shape == (201, 1, 4)
    assert np.abs(boxes[10] - TARGET).sum() == pytest.approx(4.889438, abs=3e-6)
    if name.endswith("gif"):
        with pytest.importorskip("PIL.Image").open(tmp_path / name) as picture:
            assert picture.n_frames >= 3
            shown = []
            for frame in range(2):
                picture.seek(frame)
                shown.append(np.asarray(picture.convert("L"), dtype=int))
        assert np.abs(shown[1] - shown[0]).max() > 100


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "name a loss"),
        (["DIOULoss"], "did you mean DIoULoss"),
        (["FocalLoss"], "FocalLoss is not a loss of decoded boxes"),
        (["L1Loss"], "L1Loss is not a loss of decoded boxes"),
        (["GIoULoss", "--centres", "0"], "--centres must be 1 or more, got 0"),
        (["GIoULoss", "--processes", "0"], "--processes must be 1 or more, got 0"),
        (["GIoULoss", "--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["NWDLoss", "--pixels", "0"], "--pixels must be more than 0"),
        (["GIoULoss", "--rule", "xyxy"], "the rule must be one of xywh, corners, authors, got 'xyxy'"),
        (["SIoULoss", "--rule", "authors"], "without options, got SIoULoss"),
        (["dict(type='CIoULoss', power=2.0)", "--rule", "authors"], "without options, got CIoULoss(power=2.0)"),
        (["GIoULoss", "--device", "cuda:99"], "needs an NVIDIA GPU"),
        (["GIoULoss", "--device", "gpu"], "--device must be cpu or cuda"),
        (["GIoULoss", "--device", "meta"], "--device must be cpu or cuda"),
        (["GIoULoss", "--animate", "ways.mp4"], "needs the program ffmpeg"),
        (["GIoULoss", "--animate", "ways.avi"], "ends in .gif or .mp4"),
        (["GIoULoss", "--animate", "ways.gif", "--start", "0", "0", "0", "1"], "W and H must be more than 0"),
        (["GIoULoss", "--from", "a.json"], "leave out LOSS"),
        (["--from", "missing.json"], "missing.json: No such file"),
        (["--from", "other.json"], "other.json: not a JSON that tools/simulate.py wrote"),
        (["GIoULoss", "--centres", "1", "--out", "other.json/here"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text('{"kind": "something else"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *arguments)
    errors = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in errors and errors.startswith("simulate: error: ") and len(errors.splitlines()) == 1


PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"


def test_tables_of_the_page_are_those_of_its_json() -> None:
    """Make them anew as the page says. Every loss of boxes is in it, by centre and by corners."""
    results = read([PAGE.with_suffix(".json")])
    assert page(PAGE.read_text(), results) == PAGE.read_text()
    for rule in ("xywh", "corners"):
        named = {result.loss for result in results if result.settings.rule == rule}
        assert {choose(name).line for name in tool.every_loss()} <= named


def test_page_is_simulated_again() -> None:
    """Few centres give the totals of the page."""
    published = {(run.loss, run.settings.rule): run for run in read([PAGE.with_suffix(".json")])}
    for loss, rule in (("EIoULoss", "xywh"), ("GIoULoss", "corners")):
        (found,) = simulate([choose(loss)], Settings(rule, centres=64, processes=1, stop=50), progress=False)
        totals = published[choose(loss).line, rule].totals[:50]
        assert found.totals == pytest.approx(totals, abs=0.03e6)
