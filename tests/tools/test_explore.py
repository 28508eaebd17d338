"""The page of boxes to drag: its link, its numbers, what strangers may send it, and the page itself in a browser."""

from __future__ import annotations

import csv
import io
import json
import random
import runpy
import socket
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

pytest.importorskip("dash", reason="the page needs Dash: pip install 'mmdet-losses[lab]'")

import explore_page
import torch
from command_line import TOOLS
from loss_explorer import callbacks, curves, events, tables
from loss_explorer.descent import places
from loss_explorer.events import Fields
from loss_explorer.figure import arrows, seen, shapes, traces
from loss_explorer.losses import Modifiers, names, read_loss
from loss_explorer.state import DEFAULT, RULES, STEPS, State, from_link, to_link
from loss_explorer.values import row, rows
from loss_views.choice import choose
from tool_runtime.errors import ToolError

TARGET, PRED = (90.0, 40.0, 150.0, 80.0), (50.0, 30.0, 100.0, 100.0)
LINES = (
    *("GIoULoss", "CIoULoss", "NWDLoss", "BoundedIoULoss", "dict(type='SIoULoss', power=3.0)"),
    *(
        "dict(type='InnerIoULoss', ratio=0.8, base='ciou')",
        "dict(type='EIoULoss', focus=dict(type='WiseFocus', version=1))",
    ),
)
NONLOCAL = "__import__('os').system('true')"


def random_state(draw: random.Random) -> State:
    """Any state that a user could bring about."""

    def box() -> tuple[float, ...]:
        size = draw.choice((10, 1000, 10000))
        (x1, x2), (y1, y2) = (sorted(round(draw.uniform(-size, size), 2) for _ in range(2)) for _ in range(2))
        return x1, y1, x2, y2

    def maybe(value: object) -> object:
        return draw.choice((None, value))

    losses = tuple(draw.sample(LINES, draw.randint(0, len(LINES))))
    modifiers = Modifiers(
        power=maybe(draw.uniform(0.1, 20)),
        inner_ratio=maybe(float(draw.randint(1, 5))),
        focaler=maybe((draw.uniform(0, 0.4), draw.uniform(0.5, 1))),
        focus=maybe(draw.choice(("IoUFocus", "WiseFocus", "PowerfulFocus"))),
    )
    return State(
        **{"target": box(), "pred": box(), "losses": losses, "modifiers": modifiers},
        arrows=draw.randrange(max(len(losses), 1)),
        rule=draw.choice(list(RULES)),
        step=draw.randint(0, STEPS),
        tab=draw.choice(("boxes", "curves")),
        curves=draw.choice(((), DEFAULT.curves, ("FocalLoss", "dict(type='FocalLoss', gamma=3.0)"))),
    )


def test_a_link_holds_the_whole_state() -> None:
    draw = random.Random(0)
    for _ in range(100):
        state = random_state(draw)
        link = to_link(state)
        assert from_link(link) == (state, [])
        # as a browser and as a mail program may write it
        assert from_link(link.replace("'", "%27")) == (state, [])
        assert from_link(quote(unquote(link), safe="?&=")) == (state, [])


def test_no_link_is_the_page_as_it_begins() -> None:
    assert from_link("") == from_link(None) == from_link("?") == (DEFAULT, [])


def test_a_link_can_be_read() -> None:
    state = replace(DEFAULT, losses=("CIoULoss", "dict(type='SIoULoss', power=3.0)"), step=40)
    assert to_link(state) == (
        "?target=90,40,150,80&pred=50,30,100,100&loss=CIoULoss&loss=dict(type='SIoULoss',%20power=3.0)&step=40"
    )


@pytest.mark.parametrize(
    "query, said",
    [
        ("target=1,2,3", "target must be x1,y1,x2,y2"),
        ("pred=1,2,3,x", "pred y2 must be a number from -10000 to 10000, got 'x'"),
        ("pred=1,2,3,1e9", "pred y2 must be a number from -10000 to 10000"),
        ("pred=nan,2,3,4", "pred x1 must be a number"),
        ("target=5,0,1,2", "target must have x2 of x1 or more"),
        ("loss=CIOULoss", "did you mean CIoULoss"),
        ("loss=L1Loss", "takes no decoded boxes"),
        ("loss=FocalLoss", "takes no decoded boxes"),
        ("curve=CIoULoss", "is no classification loss"),
        ("loss=dict(type='CIoULoss',powr=2)", "Did you mean 'power'?"),
        ("loss=" + "&loss=".join(names("bbox")[:13]), "12 losses at a time"),
        ("loss=dict(type='NWDLoss',constant=1e300)", "constant must be a number of at most 10000"),
        ("curve=dict(type='SeesawLoss',num_classes=9999999999)", "num_classes must be a number of at most 10000"),
        ("loss=dict(type='SumLoss',losses=[dict(type='CIoULoss',fused=True)])", "must leave out fused"),
        ("power=0", "power must be a number from 0.1 to 20"),
        ("power=3&power=4", "power must stand in a link once"),
        ("inner_ratio=-1", "inner_ratio must be a number"),
        ("focaler=0.5,0.5", "focaler must be an interval d,u"),
        ("focus=Focus", "focus must be one of IoUFocus"),
        ("rule=adam", "rule must be one of xywh"),
        ("step=1.5", "step must be a whole number"),
        ("step=201", "step must be a number from 0 to 200"),
        ("arrows=0", "arrows must be a number from 1"),
        ("tab=../../etc/passwd", "tab must be one of boxes, curves"),
        ("colour=red", "a link holds target"),
        ("loss=" + "x" * 9000, "at most 8000 are read"),
        # paths and programs
        ("loss=/etc/passwd", "cannot read '/etc/passwd'"),
        ("loss=..%2F..%2Fsecret.py", "cannot read"),
        (f"loss={NONLOCAL}", "cannot read"),
        (f"loss=dict(type={NONLOCAL})", "cannot read"),
        ("loss=os.system", "cannot read"),
        ("loss=dict(type='CIoULoss',eps='/etc/passwd')", "eps must be one word"),
        ("loss=" + "(" * 290, "cannot read"),
        ("loss=<script>alert(1)</script>", "cannot read"),
        ("loss=%00", "cannot read"),
    ],
)  # fmt: skip
def test_a_bad_link_is_a_sentence(query: str, said: str) -> None:
    state, wrong = from_link("?" + query)
    assert len(wrong) == 1
    assert said in wrong[0]
    assert state == DEFAULT


def test_what_is_right_in_a_bad_link_is_kept() -> None:
    state, wrong = from_link("?power=a&step=7&pred=0,0,1,1")
    assert len(wrong) == 1
    assert state == replace(DEFAULT, step=7, pred=(0.0, 0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "line",
    [
        "dict(type='spy.Loss')",
        "dict(type='CIoULoss', focus=dict(type='spy.Focus'))",
        "dict(type='SumLoss', losses=['spy.Loss'])",
        "dict(type='SumLoss', losses=[dict(type='spy.Loss')])",
    ],
)
def test_no_text_imports_a_module(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spy.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spy", raising=False)
    assert from_link(f"?loss={line}")[1]
    with pytest.raises(ToolError):
        events.filled(DEFAULT, "line", Fields(line=line))
    assert "spy" not in sys.modules


@pytest.mark.parametrize("name", names("bbox"))
def test_numbers_are_what_the_loss_says(name: str) -> None:
    chosen = read_loss(name, "bbox")
    said = row(chosen.label, chosen.line, PRED, TARGET)
    pred, target = (torch.tensor([box], dtype=torch.float64) for box in (PRED, TARGET))
    value = choose(chosen.line).build().eval()(pred.requires_grad_(), target, reduction_override="sum")
    value.backward()
    assert said.value == value.item()
    assert said.gradient == tuple(pred.grad[0].tolist())


@pytest.mark.parametrize("on", [Modifiers(), Modifiers(power=2.5), Modifiers(0.7, 0.8, (0.1, 0.9), "WiseFocus")])
def test_parts_make_the_value(on: Modifiers) -> None:
    members = [
        said for said in rows([read_loss(name, "bbox") for name in names("bbox")], on, PRED, TARGET) if said.factor
    ]
    assert len(members) > 12
    for said in members:
        assert said.factor * (said.overlap + sum(said.terms.values())) == pytest.approx(said.value, rel=1e-12)
        assert not any(name.startswith("term ") for name in said.terms), said.label


def test_terms_by_hand() -> None:
    # intersection 10 x 40, union 3500 + 2400 - 400, enclosing box 100 x 70; centres (75, 65) and (120, 60)
    said = {name: row(name, choose(name).line, PRED, TARGET) for name in ("GIoULoss", "EIoULoss", "MPDIoULoss")}
    assert said["GIoULoss"].overlap == pytest.approx(1 - 400 / 5500)
    assert said["GIoULoss"].terms == pytest.approx({"enclosing box": 1500 / 7000})
    assert said["EIoULoss"].terms == pytest.approx(
        {"distance": (45**2 + 5**2) / (100**2 + 70**2), "width": 10**2 / 100**2, "height": 30**2 / 70**2}
    )
    assert said["MPDIoULoss"].terms == pytest.approx(
        {"top left": (40**2 + 10**2) / (2 * 640**2), "bottom right": (50**2 + 20**2) / (2 * 640**2)}
    )


def test_modifiers_go_to_the_losses_that_take_them() -> None:
    on = Modifiers(power=2.0, focus="IoUFocus")
    losses = {name: read_loss(name, "bbox") for name in ("CIoULoss", "AlphaIoULoss", "WIoULoss", "NWDLoss")}
    own = read_loss("dict(type='CIoULoss', power=3.0)", "bbox")
    assert on.on(losses["CIoULoss"]).options == {"power": 2.0, "focus": {"type": "IoUFocus"}}
    assert on.on(own).options["power"] == 3.0
    assert [on.left_out(loss) for loss in (*losses.values(), own)] == [
        *([], ["power"], ["focus"], ["power", "focus"], ["power"])
    ]


def test_arrows_point_where_descent_goes() -> None:
    left, top, right, bottom = arrows((10, 20, 30, 60), (-2.0, 0.0, 4.0, 1.0), 8.0)
    assert (left.start, left.end, left.text) == ((10, 40), (14, 40), "x1 -2")
    assert top.start == top.end == (20, 20)
    assert (right.start, right.end) == ((30, 40), (22, 40))
    assert (bottom.start, bottom.end) == ((20, 60), (20, 58))


def test_all_of_both_boxes_is_seen() -> None:
    assert seen(PRED, TARGET) == (0, 0, 200, 120)
    x1, y1, x2, y2 = seen((-50, 10, 20, 20), (0, 0, 10, 500))
    assert x1 < -50
    assert y1 == 0
    assert x2 == 200
    assert y2 > 500


def test_target_and_prediction_differ_without_colour() -> None:
    target, pred = shapes(DEFAULT)
    assert target["line"]["dash"] == "dash"
    assert pred["line"]["dash"] == "solid"
    assert [shape["label"]["text"].strip() for shape in (target, pred)] == ["target", "prediction"]
    ways = [[PRED]] * 12
    drawn = traces([f"loss {number}" for number in range(12)], ways)
    looks = {(trace["line"]["dash"], trace["marker"]["symbol"]) for trace in drawn}
    assert len(looks) == 10  # as many as there are symbols
    assert len({(*look.values(), trace["marker"]["symbol"]) for trace in drawn for look in [trace["line"]]}) >= 12


def test_a_dragged_box() -> None:
    moved = {"shapes[1].x0": 60.123456, "shapes[1].x1": 40, "shapes[1].y0": 30, "shapes[1].y1": 110.0}
    state = events.dragged(DEFAULT, moved)
    assert state == replace(DEFAULT, pred=(40.0, 30.0, 60.12, 110.0))
    other = {"autosize": True, "xaxis.range[0]": 3, "shapes[2].x0": 1, "shapes[1].line.color": "red", "x": "__class__"}
    assert events.dragged(DEFAULT, other) == DEFAULT
    assert events.dragged(DEFAULT, None) == DEFAULT
    with pytest.raises(ToolError, match="target x1 must be a number"):
        events.dragged(DEFAULT, {"shapes[0].x0": "1; drop"})


@pytest.mark.parametrize(
    "part, fields, said",
    [
        ("pred", Fields(pred=[1, None, 2, 3]), "pred y1 must be a number from -10000 to 10000, got nothing"),
        ("pred", Fields(pred=[5, 0, 2, 3]), "pred must have x2 of x1 or more"),
        ("line", Fields(line="open('/etc/passwd')"), "cannot read"),
        ("curve_line", Fields(curve_line="../x"), "cannot read"),
        ("losses", Fields(losses=["CIoULoss", {"type": "x"}]), "unknown loss 'x'"),
        ("modifiers", Fields(on=["power"], power=None), "power must be a number"),
        ("modifiers", Fields(on=["__class__"]), "modifiers must be one of"),
        ("modifiers", Fields(on=["focaler"], focaler=[0.9, 0.1]), "focaler must be an interval"),
        ("modifiers", Fields(on=["focus"], focus="os.system"), "focus must be one of"),
        ("arrows", Fields(arrows=7), "arrows must be a number from 0 to 4"),
        ("rule", Fields(rule=["xywh"]), "rule must be one of"),
        ("step", Fields(step="1e3"), "step must be a number"),
        ("tab", Fields(tab=None), "tab must be one of"),
    ],
)
def test_a_wrong_field_is_a_sentence(part: str, fields: Fields, said: str) -> None:
    with pytest.raises(ToolError) as error:
        events.filled(DEFAULT, part, fields)
    assert said in str(error.value)


def test_no_event_is_lost_to_another() -> None:
    # the tab and a coordinate were changed, and before they were answered a list sent its value
    there = callbacks.of_fields(DEFAULT) | {"tab": "curves", "pred": [50, 30, 110, 100], "target": [90, 40, None, 80]}
    fields = Fields(**{name: value for name, value in there.items() if value is not None}, focaler=(0, 0.95))
    after, wrong = callbacks.turned(DEFAULT, fields, {"shapes[0].x1": 160}, {"arrows"})
    assert not wrong
    assert after == replace(DEFAULT, tab="curves", pred=(50.0, 30.0, 110.0, 100.0), target=(90.0, 40.0, 160.0, 80.0))
    assert callbacks.turned(DEFAULT, fields, None, {"target-x2"})[1] == [
        "target x2 must be a number from -10000 to 10000, got nothing"
    ]


def test_losses_are_added_and_arrows_stay() -> None:
    state = events.filled(replace(DEFAULT, arrows=2), "line", Fields(line="dict(type='SIoULoss', power=3.0)"))
    assert state.losses == (*DEFAULT.losses, "dict(type='SIoULoss', power=3.0)")
    fewer = events.filled(state, "losses", Fields(losses=["SIoULoss", "CIoULoss"]))
    assert fewer.losses[fewer.arrows] == "CIoULoss"
    assert events.filled(state, "line", Fields(line="")) == state


def test_the_descent_is_that_of_the_simulation() -> None:
    # the box and the errors of the simulation's table, ten times as large
    state = State(
        target=(95.0, 95.0, 105.0, 105.0), pred=(94.0, 101.0, 116.0, 131.0), losses=("DIoULoss", "EIoULoss", "NWDLoss")
    )
    errors = {step: [place.error / 10 for place in places(state, step)[0][:2]] for step in (0, 1, 10)}
    assert errors[0] == pytest.approx([5.3, 5.3])
    assert errors[1] == pytest.approx([5.258277, 5.204448], abs=5e-7)
    assert errors[10] == pytest.approx([4.812996, 4.249952], abs=5e-7)
    found, notes = places(replace(state, rule="authors"), 1)
    assert [place.label for place in found] == ["DIoULoss"]
    assert len(notes) == 2
    with_area, notes = places(replace(state, target=(5.0, 5.0, 5.0, 9.0)), 3)
    assert not with_area
    assert "needs a target with an area" in notes[0]


def test_numbers_are_saved() -> None:
    found = rows(DEFAULT.chosen(), DEFAULT.modifiers, PRED, TARGET)
    saved = json.loads(tables.as_json(DEFAULT, found, places(DEFAULT, 0)[0]))
    assert from_link(saved["link"]) == (DEFAULT, [])
    assert [one["value"] for one in saved["losses"]] == [one.value for one in found]
    assert saved["losses"][0]["gradient"] == dict(zip(("x1", "y1", "x2", "y2"), found[0].gradient, strict=True))
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert [choose(line["config"]).name for line in lines] == list(DEFAULT.losses)
    assert [float(line["d_y2"]) for line in lines] == [one.gradient[3] for one in found]


def test_curves_are_those_of_the_pictures() -> None:
    drawn = curves.figures(("CrossEntropyLoss", "dict(type='FocalLoss', gamma=0.0, alpha=0.5)"))
    assert [figure["layout"]["title"]["text"] for figure in drawn] == [
        "target 0 (negative)",
        "target 0.5",
        "target 1 (positive)",
    ]
    value, slope = (trace for trace in drawn[0]["data"] if trace["name"] != "CrossEntropyLoss" and len(trace["x"]) > 1)
    middle = value["x"].index(0.0)
    # half of cross entropy: ln 2 and the sigmoid's 1/2
    assert value["y"][middle] == pytest.approx(0.3465736)
    assert slope["y"][middle] == pytest.approx(0.25)


@pytest.mark.parametrize("slot", ["bbox", "cls"])
def test_every_loss_of_the_lists_can_be_chosen(slot: str) -> None:
    for name in names(slot):
        assert read_loss(name, slot).name == name


def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command says as it ends with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["explore.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / "explore.py"), run_name="__main__")
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_taken_port_is_one_sentence(monkeypatch, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = ended(monkeypatch, capsys, "--port", port)
    assert said.startswith(f"explore: error: cannot listen on 127.0.0.1 port {port} (")
    assert "--port" in said
    assert len(said.splitlines()) == 1


def test_a_wrong_port_or_host_is_one_sentence(monkeypatch, capsys) -> None:
    assert "--port must be from 0 to 65535, got 70000" in ended(monkeypatch, capsys, "--port", 70000)
    assert "cannot listen on no/host" in ended(monkeypatch, capsys, "--host", "no/host")


def test_without_dash_the_extra_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "dash", None)
    said = ended(monkeypatch, capsys)
    assert said == "explore: error: the page needs Dash: pip install 'mmdet-losses[lab]'\n"


browser = pytest.mark.skipif(
    not (explore_page.CHROMIUM and explore_page.DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def address():
    with explore_page.served() as address:
        yield address


@pytest.fixture(scope="module")
def driver(address):
    pytest.importorskip("selenium", reason="selenium is not installed")
    with explore_page.browser() as driver:
        yield driver
        assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []


def expected(line: str, pred: list[float], target: list[float]) -> list[str]:
    """Value and gradient as the table writes them, from the loss alone."""
    prediction, goal = (torch.tensor([box], dtype=torch.float64) for box in (pred, target))
    value = choose(line).build(reduction="sum").eval()(prediction.requires_grad_(), goal)
    value.backward()
    return [f"{number + 0.0:.6g}" for number in (value.item(), *prediction.grad[0].tolist())]


@browser
def test_dragging_changes_every_number(driver, address) -> None:
    explore_page.open_page(driver, address)
    assert set(explore_page.numbers(driver)) == set(DEFAULT.losses)
    drags = ((1, 40, 25, (0.5, 0.5)), (0, -30, 10, (0.5, 0.5)), (1, -25, -12, (0.0, 0.5)))
    for box, right, down, start in drags:
        before = explore_page.numbers(driver)
        boxes = [explore_page.coordinates(driver, name) for name in ("target", "pred")]
        explore_page.drag(driver, box, right, down, start)
        explore_page.until(driver, lambda driver, before=before: explore_page.numbers(driver) != before)
        explore_page.until(driver, explore_page.settled)
        after = explore_page.numbers(driver)
        target, pred = (explore_page.coordinates(driver, name) for name in ("target", "pred"))
        assert [target, pred][1 - box] == boxes[1 - box]
        moved = [now - then for now, then in zip([target, pred][box], boxes[box], strict=True)]
        if start == (0.5, 0.5):
            assert moved[0] == pytest.approx(moved[2], abs=0.02)
            assert moved[0] * right > 0
            assert moved[1] * down > 0
        else:  # the left side alone
            assert moved[0] < 0
            assert moved[1:] == [0, 0, 0]
        for name, cells in after.items():
            assert [cells[0], *cells[4:]] == expected(name, pred, target)
            assert cells[0] != before[name][0]
            assert cells[4:] != before[name][4:]


@browser
def test_a_link_restores_the_position(driver, address) -> None:
    line = "dict(type='SIoULoss', power=3.0)"
    state = replace(
        DEFAULT,
        **{"pred": (30.0, 20.5, 80.25, 90.0), "losses": ("CIoULoss", line), "arrows": 1, "step": 20, "rule": "corners"},
        modifiers=Modifiers(inner_ratio=0.8),
    )
    explore_page.open_page(driver, address + to_link(state))
    assert explore_page.coordinates(driver, "pred") == list(state.pred)
    found = explore_page.numbers(driver)
    assert list(found) == ["CIoULoss", "SIoULoss(power=3.0)"]
    wanted = "dict(type='SIoULoss', power=3.0, inner_ratio=0.8)"
    assert [found[list(found)[1]][index] for index in (0, 4, 5, 6, 7)] == expected(wanted, state.pred, state.target)
    texts = explore_page.until(
        driver, lambda driver: [e.text for e in driver.find_elements("css selector", "#places tbody tr")]
    )
    assert len(texts) == 2
    arrow = [e.text for e in driver.find_elements("css selector", "#figure .annotation-text")]
    assert f"x1 {float(found[list(found)[1]][4]):.3g}" in arrow or f"x1 {found[list(found)[1]][4]}" in arrow
    # what was dragged is in the address, which opens the same position again
    explore_page.drag(driver, 1, 30, 10)
    explore_page.until(driver, lambda driver: explore_page.coordinates(driver, "pred") != list(state.pred))
    pred, numbers = explore_page.coordinates(driver, "pred"), explore_page.numbers(driver)
    explore_page.until(driver, lambda driver: f"pred={pred[0]:g}," in driver.current_url)
    explore_page.open_page(driver, driver.current_url)
    assert explore_page.coordinates(driver, "pred") == pred
    assert explore_page.numbers(driver) == numbers
    assert driver.find_element("id", "message").text == ""


@browser
def test_a_bad_link_is_a_message(driver, address) -> None:
    explore_page.open_page(driver, f"{address}?power=a&loss=/etc/passwd&step=<b>7</b>&pred=1,2")
    said = driver.find_element("id", "message").text
    assert "Power must be a number from 0.1 to 20, got 'a'." in said
    assert "Cannot read '/etc/passwd'" in said
    assert "got '<b>7</b>'" in said
    assert "Traceback" not in driver.page_source
    assert set(explore_page.numbers(driver)) == set(DEFAULT.losses)
    # a field is no different, and a right one takes the message away
    field = driver.find_element("id", "line")
    field.send_keys("os.system('true')\n")
    explore_page.until(driver, lambda driver: driver.find_element("id", "message").text.startswith("Cannot read"))
    field.clear()
    field.send_keys("dict(type='NWDLoss', constant=20)\n")
    explore_page.until(driver, lambda driver: "NWDLoss(constant=20)" in explore_page.numbers(driver))
    assert driver.find_element("id", "message").text == ""


@browser
def test_curves_and_files(driver, address) -> None:
    explore_page.open_page(driver, address)
    file, picture = Path(driver.folder, "boxes.json"), Path(driver.folder, "boxes.png")
    driver.find_element("id", "json").click()
    explore_page.until(driver, lambda driver: file.exists())
    driver.find_element("css selector", "#figure .modebar-btn").click()
    explore_page.until(driver, lambda driver: picture.exists())
    assert json.loads(file.read_text())["target"] == list(DEFAULT.target)
    assert picture.read_bytes().startswith(b"\x89PNG")
    driver.find_element("css selector", "#tab label:nth-child(2)").click()
    explore_page.until(driver, lambda driver: len(driver.find_elements("css selector", "#panels .main-svg")) >= 4)
    assert "tab=curves" in driver.current_url
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    assert all(name.startswith((address, "data:", "blob:")) for name in loaded)


@browser
def test_a_narrow_window(driver, address) -> None:
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    explore_page.open_page(driver, address)
    wide, figure = driver.execute_script(
        "return [document.documentElement.scrollWidth, document.getElementById('figure').getBoundingClientRect().right]"
    )
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 400
    assert figure <= 400
