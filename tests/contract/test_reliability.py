"""Every property of the reliability table, for every loss that it applies to."""

import json
import re
import runpy
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from cases.bad import BAD_BOXES
from reliability import (
    ALL_CASES,
    EXCEPTIONS,
    PROPERTIES,
    RARE,
    Tally,
    measure,
    measured_properties,
    rare,
    reason,
    report,
)
from reliability.bad_inputs import BOXES, ENTRIES

import mmdet_losses as ml
from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).parents[2]

MEASURED = [
    pytest.param(entry, case, id=f"{entry.number}-{entry.title.replace(' ', '_')}-{case.id}")
    for entry in measured_properties()
    for case in ALL_CASES
    if entry.applies(case)
]


@pytest.mark.parametrize(("entry", "case"), MEASURED)
def test_property(entry, case):
    tally = entry.measure(case)
    assert tally.checks > 0
    if reason(entry.number, case.id):
        assert tally.failed or rare(entry.number, case.id), "holds: take it off the list of exceptions"
    else:
        assert not tally.failed, tally.failures


def test_the_bar_is_complete():
    assert sorted(PROPERTIES) == list(range(1, 34))


def test_exceptions_name_what_exists():
    for number, named in [*EXCEPTIONS.items(), *RARE.items()]:
        cases = [case.id for case in ALL_CASES if PROPERTIES[number].applies(case)]
        for pattern, why in named.items():
            assert why
            assert any(fnmatchcase(case, pattern) for case in cases), pattern


def test_all_36_bad_inputs_are_there():
    assert sorted(ENTRIES) == list(range(1, 37))
    assert {name for _, names in BOXES.values() for name in names} == set(BAD_BOXES)
    assert all(any(entry.applies(case) for case in ALL_CASES) for entry in ENTRIES.values())


def counted(good: list[bool]) -> Tally:
    tally = Tally()
    tally.holds("entries", torch.tensor(good))
    return tally


def test_a_tally_counts_what_fails():
    """A suite that cannot fail would show nothing."""
    assert (counted([True, False, False]).checks, counted([True, False, False]).failed) == (3, 2)
    tally = Tally()
    tally.close("close", torch.tensor([1.0, 2.0, torch.nan]), torch.tensor([1.0, 2.1, 3.0]), 1e-3)
    assert (tally.checks, tally.failed, tally.worst) == (3, 2, torch.inf)
    tally = Tally()
    tally.equal("dtype", torch.ones(2), torch.ones(2, dtype=torch.float64))
    tally.close("shape", torch.ones(2), torch.ones(1, 2), 1.0)
    assert tally.failed == 2


def test_the_named_tests_exist():
    for entry in PROPERTIES.values():
        for test in getattr(entry, "tests", ()):
            file, _, name = test.partition("::")
            assert f"def {name}" in (ROOT / file).read_text()


class Pushing(ml.IoULoss):
    """Falls as boxes move apart, and is NaN at a match."""

    def unreduced(self, pred, target):
        rho = (pred - target).square().sum(-1)
        return torch.where(rho == 0, torch.nan, 1 / rho)


def test_the_suite_sees_a_loss_that_is_wrong(monkeypatch):
    """A broken loss in the place of IoULoss fails where it should."""
    monkeypatch.setattr(ml, "IoULoss", Pushing)
    case = next(case for case in ALL_CASES if case.id == "IoULoss")
    for number in (2, 8, 11, 13, 14, 20):
        assert PROPERTIES[number].measure(case).failed, number


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(page: str, title: str) -> list[list[str]]:
    """Header and rows of the table below a title."""
    header, _, *rows = (
        line for line in page.split(f"## {title}\n")[1].split("\n## ")[0].splitlines() if line[:1] == "|"
    )
    return [cells_of(header), *map(cells_of, rows)]


def test_the_page_names_every_property():
    """Losses that are newer than the page need not be there: the tests above hold for them, too."""
    page = (ROOT / "docs/reliability.md").read_text()
    assert {row[0]: row[1] for row in tables(page, "Properties")[1:]} == {
        str(number): entry.title for number, entry in PROPERTIES.items()
    }
    header, *rows = tables(page, "Losses and properties")
    assert header == ["loss", *map(str, sorted(PROPERTIES))]
    assert all(len(row) == len(header) and all(row) for row in rows)
    assert "FAIL" not in {cell for row in rows for cell in row}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} <= set(LOSSES)


def test_given_losses_are_measured_and_a_failure_is_shown(monkeypatch):
    """Two properties of one loss, then of a broken one in its place."""
    chosen = {number: PROPERTIES[number] for number in (9, 11)}
    monkeypatch.setattr(measure, "PROPERTIES", chosen)
    said = []
    figures = measure.run_suite(1, 1, said.append, ["IoULoss"])
    assert [line.split()[:2] for line in said] == [["9", "bounds"], ["11", "scale"]]
    rows = tables(report.markdown(figures), "Losses and properties")
    assert rows == [["loss", "9", "11"], ["`IoULoss`", "ok", "ok"]]
    assert report.failing(figures) == []

    monkeypatch.setattr(ml, "IoULoss", Pushing)
    figures = measure.run_suite(1, 1, said.append, ["IoULoss"])
    assert tables(report.markdown(figures), "Losses and properties")[1] == ["`IoULoss`", "FAIL", "FAIL"]
    assert any(line.startswith("11 scale, IoULoss: ") for line in report.failing(figures))


def test_the_tool_measures_given_losses_and_leaves_the_page(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measure, "PROPERTIES", {9: PROPERTIES[9]})
    tool = runpy.run_path(str(ROOT / "tools" / "reliability.py"))
    page, figures = (ROOT / "docs/reliability.md").read_text(), tmp_path / "figures.json"
    monkeypatch.setattr("sys.argv", ["reliability.py", "L1Loss", "--jobs", "1", "--json", str(figures)])
    assert tool["main"]() == 0
    assert "L1Loss: 0 failing" in capsys.readouterr().out
    assert list(json.loads(figures.read_text())["losses"]) == ["L1Loss"]
    assert (ROOT / "docs/reliability.md").read_text() == page
    monkeypatch.setattr("sys.argv", ["reliability.py", "NoLoss"])
    with pytest.raises(SystemExit):
        tool["main"]()
    assert "no loss of rows is named NoLoss" in capsys.readouterr().err
