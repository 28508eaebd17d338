"""The report of a comparison: page, Markdown and JSON; the page also in Chromium."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from comparison import document, figures, markdown, report
from comparison.results import KINDS, METRICS, Results, Run, read, to_dict
from comparison.results import write as write_json
from comparison_world import BASE, VERSIONS, plus, results
from plotly.offline import get_plotlyjs
from tool_runtime.errors import ToolError

EVIL = "</script><script>document.title = 'ran'</script> & a|b_c*"
LONG = "dict(type='InnerIoULoss', inner_ratio=0.8, focaler=(0.0, 0.95), loss_weight=2.0)"
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def example() -> Results:
    """Results with an effect, names that need care, a failed and a missing run, and noise in what follows from AP."""
    noise = random.Random(0)
    aps = {"GIoULoss": BASE, "CIoULoss": plus(0.02), LONG: plus(0.001, 2), EVIL: BASE}
    gone = [Run("CIoULoss", 3, "failed", "CUDA ran out of memory."), Run(LONG, 4)]
    found = results(aps, without=gone)
    for run in found.runs:
        for entry in run.curve:
            entry["bbox_mAP"] += noise.gauss(0, 0.01)
        run.errors = {kind: value + noise.gauss(0, 0.005) for kind, value in run.errors.items()}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the report of the example lies."""
    target = tmp_path_factory.mktemp("report")
    assert [file.name for file in report.write(example(), target)] == ["report.html", "report.md", "results.json"]
    return target


def test_the_report_can_be_made_again_from_its_json(folder: Path, tmp_path: Path) -> None:
    assert read(folder / report.DATA) == example()
    for old, new in zip(
        (report.PAGE, report.TEXT, report.DATA), report.write(read(folder / report.DATA), tmp_path), strict=True
    ):
        assert new.read_bytes() == (folder / old).read_bytes()


def test_the_json_has_no_numbers_that_json_lacks(folder: Path) -> None:
    content = json.loads((folder / report.DATA).read_text(), parse_constant=pytest.fail)
    assert content["version"] == 1
    assert content["runs"][0]["metrics"]["bbox_mAP_s"] is None
    assert not list(folder.glob("*.part"))


def test_the_page_names_no_other_address(folder: Path) -> None:
    page = (folder / report.PAGE).read_text()
    assert get_plotlyjs() in page
    own = page.replace(get_plotlyjs(), "")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)\w""", own)
    assert "http" not in own
    assert EVIL not in own


def test_tables_hold_the_figures() -> None:
    text = markdown.render("title", document.sections(example()))
    others = [value for seed, value in enumerate(plus(0.02)) if seed != 3]
    assert f"| CIoULoss | 9 | {mean(others):.3f} ± {stdev(others):.3f} |" in text
    assert f"| GIoULoss (baseline) | 10 | {mean(BASE):.3f} ± {stdev(BASE):.3f} |" in text
    assert "- CIoULoss: better by 0.02" in text
    assert "1 run failed: CIoULoss with seed 3 (CUDA ran out of memory)." in text
    assert "| absent | none | none | none | none |" in text
    assert not re.search(r"\bnan\b", text)
    assert "| torch | 2.6.0 (38 runs) |" in text
    assert "a\\|b\\_c\\*" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_the_best_comes_first_and_the_baseline_where_it_belongs() -> None:
    rows = document.leaderboard(results({"a": BASE, "b": plus(0.1), "c": plus(-0.1), "d": [None] * 10})).parts[1].rows
    assert [row[0] for row in rows] == ["b", "a (baseline)", "c", "d"]
    assert rows[3][2] == "none"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(results({"a": [0.5]}), id="the baseline alone"),
        pytest.param(results({"a": [0.5], "b": [0.6]}), id="one seed"),
        pytest.param(results({"a": [0.5, 0.6], "b": [0.6, 0.5]}), id="two seeds"),
        pytest.param(results({"a": [None, None], "b": [None, None]}), id="no AP"),
        pytest.param(results({"a": [0.5], "b": [0.6]}, without=[Run("a", 0), Run("b", 0, "failed", "x")]), id="no run"),
        pytest.param(
            results(
                {"a": [0.5], "b": [0.6]}, without=[Run(name, 0, "done", metrics={METRICS[0]: 0.5}) for name in "ab"]
            ),
            id="AP alone",
        ),
    ],
)
def test_little_is_reported_too(found: Results) -> None:
    made = document.sections(found)
    assert "Leaderboard" in markdown.render("title", made)
    for name in {part.name for section in made for part in section.parts if isinstance(part, document.Plot)}:
        figures.FIGURES[name](found).to_json()


def test_runs_of_different_versions_are_named() -> None:
    found = results({"a": BASE, "b": plus(0.01)})
    assert "Not all runs" not in markdown.render("title", document.sections(found))
    found.runs[0].versions = {**VERSIONS, "torch": "2.7.0"}
    text = markdown.render("title", document.sections(found))
    assert "Not all runs are of the same versions of packages" in text
    assert "| torch | 2.7.0 (1 run), 2.6.0 (19 runs) |" in text


def test_lines_are_told_apart_without_colour() -> None:
    found = results({f"variant {number}": BASE for number in range(24)})
    lines = [trace for trace in figures.curves(found).data if trace.mode == "lines+markers"]
    assert len({(trace.line.dash, trace.marker.symbol) for trace in lines}) == 24
    bars = figures.kinds(results({f"variant {number}": BASE for number in range(8)})).data
    assert len({bar.marker.pattern.shape for bar in bars}) == 8


def test_bands_are_one_standard_deviation() -> None:
    found = results({"a": [0.4, 0.6]})
    band, line = figures.curves(found).data
    assert line.y == pytest.approx([0.25, 0.5 * 4 / 6, 0.5 * 6 / 8])
    wide = [stdev([0.4, 0.6]) * epoch / (epoch + 2) for epoch in (2, 4, 6)]
    up = [middle + half for middle, half in zip(line.y, wide, strict=True)]
    down = [middle - half for middle, half in zip(line.y, wide, strict=True)]
    assert band.y == pytest.approx([*up, *reversed(down)])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"version": 2}, "is of version 2, expected version 1"),
        ({"settings": {"config": "a", "baseline": "x", "seeds": [0]}}, "baseline: expected one of a, b, got x"),
        ({"settings": {"config": "a", "seeds": [0]}}, "settings: .*baseline"),
        ({"settings": {"confg": "a"}}, "settings: unknown confg; expected some of config, baseline"),
        ({"runs": 3}, "expected variants by name and a list of runs"),
        ({"runs": [{"variant": "z", "seed": 0}]}, "A run is of variant z, expected one of a, b"),
        ({"runs": [{"variant": "a", "seed": 0}] * 2}, "Run of a, seed 0: expected once, got twice"),
        (
            {"runs": [{"variant": "a", "seed": 0, "status": "odd"}]},
            "expected a status of done, failed, missing, got odd",
        ),
        ({"runs": [{"variant": "a", "seed": 0, "metrics": 3}]}, "run 0: "),
        ({"runs": [3]}, "run 0: expected an object, got 3"),
    ],
)
def test_a_json_of_something_else_is_one_sentence(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    content = {**to_dict(results({"a": [0.5], "b": [0.6]})), **change}
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ToolError, match=said):
        read(file)


@pytest.mark.parametrize(
    "content, said",
    [(None, "there is no such file"), ("{", "is no JSON"), ("[]", "was not written by tools/compare.py")],
)
def test_a_file_of_something_else_is_one_sentence(content: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ToolError, match=said):
        read(file)


def test_an_interrupted_write_leaves_the_old_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    write_json(results({"a": [0.5]}), file)
    before = file.read_bytes()
    monkeypatch.setattr(Path, "write_text", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_json(results({"a": [0.6]}), file)
    assert file.read_bytes() == before


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a network and with nothing of a user."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def traces(driver: Any) -> list[int]:
    """How many lines and groups of bars each plot has drawn."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.querySelectorAll('.trace').length)"
    )


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(browser: Any, folder: Path, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((folder / report.PAGE).as_uri())
    # Points and mean of three variants; a band and a line of four; bars of four.
    expected = [2 * 3, 2 * 4, 4]
    end = time.monotonic() + 30
    while traces(browser) != expected:
        assert time.monotonic() < end, traces(browser)
        time.sleep(0.1)
    assert browser.title == "Comparison with GIoULoss: made_up"
    browser.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page = "document.documentElement"
    assert browser.execute_script(f"return {page}.scrollWidth <= {page}.clientWidth")
    wide = "Math.max(...[...document.querySelectorAll('.js-plotly-plot .main-svg')].map(p => p.clientWidth))"
    assert width * 0.7 < browser.execute_script(f"return {wide}") <= width
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []
    legends = browser.execute_script("return [...document.querySelectorAll('.legendtext')].map(t => t.textContent)")
    assert sum(text.startswith("</script><script>") for text in legends) == 2
    kinds = browser.execute_script("return [...document.querySelectorAll('.ytick text')].map(t => t.textContent)")
    assert set(KINDS) <= set(kinds)
