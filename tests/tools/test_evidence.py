"""The pages of evidence: what is kept of the comparisons, and the tables and pictures that are made of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import stdev

import pytest

pytest.importorskip("statsmodels")
pytest.importorskip("mmdet")
pytest.importorskip("matplotlib")

from command_line import ROOT
from comparison import evidence
from comparison.results import Results, Run
from comparison.variants import from_file, from_stock
from comparison_world import BASE, NOISE, plus, results
from mmengine.config import Config
from tool_runtime.errors import ToolError
from write_evidence import PAGES, RESULTS, comparisons

KEPT = comparisons()


def made_up() -> Results:
    return results({"GIoU": BASE, "better": plus(0.02), "like it": plus(0.0, times=3.0)})


def test_rows_say_what_the_differences_are() -> None:
    """The noise of a variant sums up to 0, so that its mean difference is its effect."""
    table = evidence.short(made_up())
    assert table.rows[0][0] == "better"
    by_name = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    difference = "AP, difference to GIoU (95 %)"
    assert by_name["GIoU"][difference] == "baseline" and by_name["GIoU"]["p, corrected"] == ""
    # The noise has a standard deviation of 0.00362, so the half of the interval is 2.262 * 0.00362 / sqrt(10) = 0.0026.
    assert by_name["better"][difference].startswith("+0.020 (+0.017 to +0.023)")
    # All ten differences have one sign: 2 of 1024 choices of signs are so extreme, twice for two variants.
    assert by_name["better"]["p, corrected"] == f"{4 / 1024:.2g}"
    assert by_name["like it"][difference].startswith("0.000 (")
    assert by_name["like it"]["p, corrected"] == "1"
    # The mean of the ten AP is 0.5226; after two epochs of six the made-up AP is the half of it.
    assert by_name["GIoU"]["AP"].startswith("0.523 ± ")
    assert by_name["GIoU"]["AP after epoch 2"].startswith("0.261 ± ")


def test_pairs_of_variants_that_a_claim_is_about() -> None:
    """The same noise on both sides of a pair drops out; two pairs are corrected for two."""
    page = "before\n<!-- evidence: world: better - GIoU; like it - better -->\n<!-- end -->\nafter"
    made = evidence.filled(page, {"world": made_up()})
    assert made.startswith("before\n<!-- evidence: world: better - GIoU; like it - better -->\n| pair | AP (95 %) |")
    assert made.endswith("<!-- end -->\nafter") and evidence.filled(made, {"world": made_up()}) == made
    # AP50 follows from AP with the same difference. Triple noise less single noise is twice the noise.
    assert "| better - GIoU | +0.020 (+0.017 to +0.023) | +0.020 (+0.017 to +0.023) |" in made
    assert "| like it - better | -0.020 (-0.025 to -0.015) |" in made
    assert made.count(f"| {4 / 1024:.2g} |") == 2
    few = {"world": results({"a": BASE[:5], "b": plus(0.02)[:5]})}
    assert "| no test |" in evidence.filled("<!-- evidence: world: b - a -->\n<!-- end -->", few)
    for wrong, said in (("world: better - X", "expected A - B of the variants GIoU"), ("none", "only world")):
        with pytest.raises(ToolError, match=said):
            evidence.filled(f"<!-- evidence: {wrong} -->\n<!-- end -->", {"world": made_up()})


def test_several_comparisons_side_by_side() -> None:
    """Two detectors, of which one differs between the sides."""
    found = {
        "stock-A": results({"theirs": BASE, "ours": plus(0.02)}),
        "stock-B": results({"theirs": BASE, "ours": plus(0.0)}),
    }
    page = "<!-- evidence: stock-A + stock-B -->\n<!-- end -->\n![](evidence-stock.png)"
    head, _, first, second = evidence.filled(page, found).splitlines()[1:5]
    assert head.startswith("| detector | AP, theirs | AP, ours | difference of AP (95 %) | difference of AP50 (95 %) |")
    assert first.startswith("| A | 0.523 ± 0.015 | 0.543 ± 0.014 | +0.020 (+0.017 to +0.023) |")
    # A half of 0.05 for each of two tests: 1.17 standard deviations by 8,000 draws, 1.15 by the paired t test.
    would = first.rpartition("| ")[2].rstrip(" |")
    assert float(would) / stdev(NOISE) == pytest.approx(1.17, abs=0.015)
    assert first.endswith(f"| {4 / 1024:.2g} | {would} |")
    assert second.startswith("| B | 0.523 ± 0.015 | 0.523 ± 0.014 | 0.000 (") and second.endswith(f"| 1 | {would} |")
    figure = evidence.pictures_of(page, found)["stock"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["A", "B"]
    means = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert means == [evidence.BLUE, "white"]
    with pytest.raises(ToolError, match="stock-B: expected one variant beside the baseline, got"):
        evidence.filled(page, {**found, "stock-B": made_up()})


def test_sizes_of_a_pair() -> None:
    """Of the made-up runs, small objects do not exist, and the others follow AP."""
    page = "<!-- evidence: world by size: better - GIoU -->\n<!-- end -->"
    head, _, row = evidence.filled(page, {"world": made_up()}).splitlines()[1:4]
    assert head.startswith("| pair | AP (95 %) | AP small (95 %) | AP medium (95 %) | AP large (95 %) | p of AP")
    plain = "+0.020 (+0.017 to +0.023)"
    assert row.startswith(f"| better - GIoU | {plain} | none | {plain} | {plain} |")


def test_missing_runs_are_said() -> None:
    found = results({"a": plus(0), "b": plus(0.1)}, without=[Run("b", 3, "failed", "out of memory")])
    said = evidence.cost(found)
    assert said.startswith("19 runs with 10 seeds, 1 missing; ") and said.endswith("commit 0123456789ab.")
    assert [Run("a", 0, commit=commit).short_commit for commit in ("0123456789abcdef+", "")] == ["0123456789ab+", ""]


def test_a_picture_of_every_difference() -> None:
    figure = evidence.of_one(made_up())
    first, second = figure.axes
    assert first.get_xlabel() == "AP minus that of GIoU" and second.get_xlabel().endswith("GIoU, not tested")
    assert sorted(text.get_text() for text in first.get_yticklabels()) == ["better", "like it"]
    means = [line.get_markerfacecolor() for line in first.lines if line.get_marker() == "D"]
    assert means == [evidence.BLUE, "white"], "filled where a difference is seen, in the order of AP"
    rings = [line for line in first.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in rings] == [10, 10]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_what_the_results_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert evidence.filled(text, KEPT) == text, "tools/write_evidence.py writes it"
    shown = {name for found in evidence.MARKED.finditer(text) for name in found[2].split(" + ")}
    assert shown
    for name in shown:
        assert f"--results tools/evidence/{name}.json" in text, f"{name} lacks its command"


def test_first_iterations_are_those_that_are_kept() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8").partition("## The first iterations")[2]
    rows = re.findall(r"^\| (\w+) \| ([\d.e-]+) \| ([\d.e-]+) \|$", page, re.MULTILINE)
    kept = json.loads((ROOT / "docs" / "comparison-iterations.json").read_text())
    assert len(rows) == len(kept) == 4
    for (head, first, largest), pair in zip(rows, kept, strict=True):
        assert pair["config"] == f"{head.lower()}_r18_fpn_giou_1xb4-4e_shapes"
        ours, stock = (pair[side]["losses"] for side in ("ours", "stock"))
        apart = [max(abs(a[key] / b[key] - 1) for key in a) for a, b in zip(ours, stock, strict=True)]
        assert len(apart) == 30
        assert float(first) == pytest.approx(apart[0], abs=6e-9)
        assert float(largest) == pytest.approx(max(apart), rel=0.02)


@pytest.mark.parametrize("name", KEPT)
def test_results_are_of_the_variants_that_are_kept(name: str) -> None:
    found = KEPT[name]
    config = ROOT / found.settings.config
    file = RESULTS / f"{name}.yaml"
    planned = from_file(str(file)) if file.exists() else from_stock(Config.fromfile(config))
    assert found.variants == planned
    done = [run for run in found.runs if run.status == "done"]
    assert done and not [run for run in found.runs if run.status == "failed"]
    assert all(0 <= run.metrics["bbox_mAP"] <= 1 for run in done)
    assert len({(run.config_sha256, run.seed) for run in done}) == len(done)
