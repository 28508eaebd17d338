"""The documentation as a site: it builds without a warning or a network, and has a page for every loss."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Browser, browse
from loss_pages import published
from loss_pages.built import faults
from loss_pages.formulas import FORMULAS
from loss_pages.links import on_site, repository_from_environment
from loss_pages.loss_page import formula
from loss_pages.notes import NOTES
from loss_pages.tables import config_line
from tool_runtime.errors import ToolError

from mmdet_losses import CIoULoss, FocalLoss, L1Loss, SIoULoss
from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).parents[2]
NEEDED = ("sphinx", "furo", "myst_parser", "sphinx_design", "sphinx_copybutton", "matplotlib", "mmengine")
CLASSES = sorted({cls.__name__ for cls in LOSSES.values()})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, without pictures of the losses, built by the command."""
    for name in NEEDED:
        pytest.importorskip(name, reason="the site is built with the extras docs and tools, beside MMEngine")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "tools" / "build_docs.py"), str(out), "--quick"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "WARNING" not in result.stderr
    return Path(result.stdout.strip()).parent


def text_of(page: Path) -> str:
    """What a reader sees of a page."""
    body = page.read_text().partition("<article")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", body)))


def test_every_loss_has_a_page(site: Path) -> None:
    listed = (site / "losses" / "index.html").read_text()
    for name, cls in LOSSES.items():
        assert f'href="{cls.__name__}.html">' in listed, name
        text = text_of(site / "losses" / f"{cls.__name__}.html")
        assert re.sub(r"\s+", " ", config_line(cls)) in text, name
        assert all(f"{option}=" in text or f"{option}," in text for option in cls.options()), name
        if cls.__name__ in NOTES:
            assert re.search(r"[\w ,-]{8,}", NOTES[cls.__name__].bad)[0] in text, name
        assert cls.paper in (site / "losses" / f"{cls.__name__}.html").read_text(), name


def test_a_page_says_what_other_pages_say_of_its_loss(site: Path) -> None:
    text = text_of(site / "losses" / "SIoULoss.html")
    assert "not clamped (up to 2.03)" in text
    assert "Where boxes" not in text
    assert re.search(r"100,000 pairs, all weighted\) [\d.]+ ±", text)
    ciou = text_of(site / "losses" / "CIoULoss.html")
    assert "the aspect term sets in where the IoU passes the gate" in ciou
    assert "NaN for a zero target in torchvision" in ciou


def test_a_formula_of_several_lines_is_no_list(site: Path) -> None:
    page = (site / "losses" / "YOLOv3Loss.html").read_text()
    assert "<li>" not in page.partition("What it computes")[2].partition("<h2>Options")[0]
    code = re.search(r"<code[^>]*>((?:(?!</code>).)*sum_noobj.*?)</code>", page, re.DOTALL)
    assert "lambda_class sum_obj sum_k BCE(t_k, P_k)" in re.sub(r"<[^>]+>", "", code[1])


def test_pages_that_are_written_by_hand_link_to_losses(site: Path) -> None:
    page = (site / "losses.html").read_text()
    assert re.search(r'href="losses/GIoULoss\.html"><span[^>]*><code[^>]*><span class="pre">GIoULoss', page)


def test_the_start_page_has_a_picture_a_config_and_the_shelves(site: Path) -> None:
    page = (site / "index.html").read_text()
    text = text_of(site / "index.html")
    assert "custom_imports = dict(imports=[" in text
    assert "mmdet_losses.stock.CIoULoss" in text
    assert 'src="_images/losses-apart.png"' in page
    shelves = re.findall(r'<span class="caption-text">(.*?)</span>', page)
    assert shelves == ["Get started", "Losses", "Guides", "API reference", "For contributors"]


def test_a_page_says_its_language(site: Path) -> None:
    tags = {page: re.search(r"<html[^>]*>", (site / f"{page}.html").read_text())[0] for page in ("zh/index", "choose")}
    assert ['lang="zh-CN"' in tags["zh/index"], 'lang="en"' in tags["choose"]] == [True, True]


def test_cells_name_their_columns_and_long_code_may_be_broken(site: Path) -> None:
    page = (site / "deviations.html").read_text()
    row = next(row for row in page.split("<tr") if "perfect<wbr>" in row or "_<wbr>perfect_" in row)
    assert re.findall(r'data-column="(.*?)"', row) == ["loss", "mmdet", "here", "why", "test"]
    assert "test_<wbr>ciou_<wbr>is_<wbr>nan_<wbr>at_<wbr>a_<wbr>perfect_<wbr>match_<wbr>in_<wbr>mmdet</span>" in row
    assert "<wbr>" not in page.partition("<table")[0]
    assert re.search(r'<td class="[^"]*number[^"]*"[^>]*><p>3\.1 \(4 %\)', (site / "gpu.html").read_text())


def test_the_reference_leads_to_losses_and_to_torch(site: Path) -> None:
    page = (site / "api" / "functional.html").read_text()
    assert 'href="../losses/CIoULoss.html#mmdet_losses.CIoULoss"' in page
    assert 'href="https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor"' in page
    assert "mmengine.readthedocs.io" in (site / "api" / "classes.html").read_text()


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="#here">', "leads to #here, which has no such anchor"),
        ('<a href="other.html#there">', "leads to other.html#there, which has no such anchor"),
        ('<a href="none.html">', "leads to none.html, which is not there"),
        ('<img src="none.png">', "leads to none.png, which is not there"),
        ('<img src="https://example.org/a.png">', "loads https://example.org/a.png"),
        ('<script src="//example.org/a.js"></script>', "loads //example.org/a.js"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "loads https://example.org/a.css"),
        ('<a href="https://example.org">', ""),
        ('<a href="other.html#top">', ""),
        ('<link rel="canonical" href="https://example.org/">', ""),
    ],
)
def test_what_is_wrong_with_a_built_page_is_found(tmp_path: Path, page: str, fault: str) -> None:
    (tmp_path / "other.html").write_text('<p id="top">')
    (tmp_path / "page.html").write_text(page)
    assert faults(tmp_path) == ([f"page.html {fault}"] if fault else [])


def test_fonts_of_other_hosts_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text(
        "@font-face { src: url('https://example.org/a.woff2') } b { background: url(c.png) }"
    )
    assert faults(tmp_path) == ["a.css loads https://example.org/a.woff2"]


@pytest.mark.parametrize(
    ("text", "source", "linked"),
    [
        ("[a](losses.md#modifiers)", "docs/gpu.md", "[a](losses.md#modifiers)"),
        ("[a](../README.md)", "docs/yolo/v1.md", "[a](../README.md)"),
        ("[a](../../README.md)", "docs/yolo/v1.md", "[a](../index.md)"),
        ("[a](docs/gpu.md)", "CONTRIBUTING.md", "[a](gpu.md)"),
        ("[a](reference.md#wassersteinloss)", "docs/gpu.md", "[a](losses/NWDLoss.md)"),
        ("[gpu.md](gpu.md)", "docs/fused.md", "[](gpu.md)"),
        ("![a](../docs/shapes.jpg)", "docs/data.md", "![a](shapes.jpg)"),
        ("[`a`](../tests/conftest.py)", "docs/gpu.md", "`a`"),
        ("`CIoULoss` and `CIoULoss()`", "docs/yolo/v1.md", "[`CIoULoss`](../losses/CIoULoss.md) and `CIoULoss()`"),
        ("# `CIoULoss`", "docs/gpu.md", "# `CIoULoss`"),
        ("```\n`CIoULoss` [a](docs/gpu.md)\n```", "docs/gpu.md", "```\n`CIoULoss` [a](docs/gpu.md)\n```"),
        ("[a](https://example.org)", "docs/gpu.md", "[a](https://example.org)"),
    ],
)
def test_links_lead_where_pages_lie_on_the_site(text: str, source: str, linked: str) -> None:
    assert on_site(text, source, "") == linked


def test_files_of_the_repository_are_linked_where_its_address_is_known() -> None:
    known = {"GITHUB_SERVER_URL": "https://example.org", "GITHUB_REPOSITORY": "a/b"}
    address = repository_from_environment(known.get)
    assert (
        on_site("[a](../tests/conftest.py)", "docs/gpu.md", address)
        == "[a](https://example.org/a/b/blob/main/tests/conftest.py)"
    )
    assert repository_from_environment({}.get) == ""


def test_tables_of_other_pages_are_read() -> None:
    assert published.cells("| `a | b` | c ||") == ["`a | b`", "c", ""]
    assert published.reliability("CIoULoss").exceptions[0].startswith("monotone: `CIoULoss` (CIoULoss-alpha_gate=0.5)")
    assert published.reliability("None") is None
    assert [heading for heading, _, _ in published.differences(L1Loss, ["L1Loss"])] == []
    (own, *_) = published.differences(SIoULoss, ["SIoULoss"])
    assert [row[1] for row in own[2]][1:3] == ["not clamped (up to 2.03)", "1"]
    assert any("RetinaNet" in row[0] for row in published.speed(CIoULoss.__name__)[1])
    assert any("(sigmoid)" in row[0] for row in published.speed("CrossEntropyLoss")[1])
    assert len(published.speed(FocalLoss.__name__)[1][0]) == 6


def test_navigation_calls_pages_by_their_titles() -> None:
    text = (ROOT / "docs/index.md").read_text()
    listed = re.findall(r"^ *- \[([^]]+)\]\(([^)]+\.md)\)", text, re.MULTILINE)
    titles = {path: re.search(r"^# (.*)", (ROOT / "docs" / path).read_text(), re.M)[1] for _, path in listed}
    assert len(listed) > 25
    assert [(words, path) for words, path in listed if words != titles[path].replace("`", "")] == [
        ("中文", "zh/index.md")
    ]


def test_contents_name_pages_that_are_there() -> None:
    pytest.importorskip("matplotlib", reason="pages come with pictures")
    from loss_pages.staging import with_shelves

    text = (
        "Guides\n\n- [A](gpu.md): more, see [b](none.md).\n- [C](../CONTRIBUTING.md)\n\n<!-- site: API reference -->\n"
    )
    shelves = re.findall(r":caption: (.*)\n\n((?:.+\n)*)```", with_shelves(text))
    assert shelves[0] == ("Guides", "A <gpu>\nC <contributing>\n")
    assert shelves[1] == ("API reference", "Functions <api/functional>\nClasses <api/classes>\n")
    with pytest.raises(ToolError, match=r"^docs/index.md names none.md, which is not there: name a page of docs/$"):
        with_shelves("Guides\n\n- [A](none.md)\n")


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Browser]:
    """A browser that reaches the site and no other host."""
    yield from browse(site)


WRONG = "return [...document.querySelectorAll('mjx-merror, mjx-container [style*=red]')].map(e => e.outerHTML)"
"""What MathJax could not read, which it draws in red."""


def with_formulas(site: Path, formulas: list[str]) -> str:
    """A page of formulas as pages of losses hand them to MathJax."""
    math = "\n".join(f"<p>\\[{html.escape(text)}\\]</p>" for text in formulas)
    script = '<script src="_static/mathjax/tex-chtml.js"></script>'
    (site / "formulas.html").write_text(f"<!doctype html><meta charset='utf-8'>{script}{math}")
    return "formulas.html"


def test_every_formula_is_set_without_a_network(browser: Browser, site: Path) -> None:
    formulas = [next(formula(name)).removeprefix("```{math}\n").removesuffix("\n```") for name in sorted(FORMULAS)]
    browser.open(with_formulas(site, formulas))
    browser.wait_for(f"document.querySelectorAll('mjx-container').length == {len(FORMULAS)}")
    assert browser.run(WRONG) == []


def test_a_wrong_formula_is_seen(browser: Browser, site: Path) -> None:
    browser.open(with_formulas(site, [r"\unknown x", r"x^2^2", r"\frac{1}{2}"]))
    browser.wait_for("document.querySelectorAll('mjx-container').length == 3")
    assert len(browser.run(WRONG)) == 2


PAGES = (
    "index",
    "losses/SIoULoss",
    "losses/YOLOv1Loss",
    "losses/index",
    "losses/bbox",
    "choose",
    "catalogue",
    "api/classes",
)


@pytest.mark.parametrize("page", [*PAGES, "deviations", "reliability", "comparison", "contributing", "zh/index"])
def test_a_page_fits_a_narrow_window_and_has_its_pictures(browser: Browser, site: Path, page: str) -> None:
    browser.open(f"{page}.html", width=400)
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    assert browser.run(broken) == []
    if "math notranslate" in (site / f"{page}.html").read_text():
        browser.wait_for("document.querySelector('mjx-container')")


CUT = """return [...document.querySelectorAll('.table-wrapper, pre')].filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent.trim().slice(0, 60))"""
"""Tables and commands of which a part is out of sight."""
TABLES = ("index", "choose", "catalogue", "deviations", "losses", "losses/bbox", "simulation", "reliability", "gpu")


@pytest.mark.parametrize("page", [*TABLES, "benchmark", "zh/index"])
def test_tables_and_commands_are_whole_in_a_window_of_1280(browser: Browser, site: Path, page: str) -> None:
    browser.open(f"{page}.html", width=1280)
    assert browser.run(CUT) == []


def test_tables_of_sentences_are_cards_in_a_narrow_window(browser: Browser, site: Path) -> None:
    cards = "[...document.querySelectorAll('table.cards')]"
    browser.open("choose.html", width=400)
    assert browser.run(f"return {cards}.length") >= 2
    assert browser.run(f"return {cards}.filter(t => t.getBoundingClientRect().right > innerWidth).length") == 0
    cells = f"[...{cards}[0].rows[1].cells].slice(1)"
    named = browser.run(f"return {cells}.map(cell => getComputedStyle(cell, '::before').content)")
    assert named == ['"loss"', '"set for your data"', '"evidence"']
