"""What the documentation shows is true: examples run, tables and links name what exists."""

import doctest
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from loss_pages.tables import PAGES as MADE
from loss_pages.tables import documents

from mmdet_losses import modules
from mmdet_losses.registry import LOSSES
from mmdet_losses.yolo import encode_anchors, encode_cells, pad_truths

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", LOSSES)
def test_example_of_the_docstring_runs(name):
    # what is registered of two losses is a subclass with the same docstring
    loss = getattr(modules, LOSSES[name].__name__, LOSSES[name])
    (test,) = (t for t in doctest.DocTestFinder(recurse=False).find(loss, loss.__name__) if t.examples)
    assert len(test.examples) >= 3
    assert doctest.DocTestRunner().run(test).failed == 0


def test_config_lines_of_the_catalogue_build():
    table = (ROOT / "docs/catalogue.md").read_text().split("<!-- losses: all -->")[1].split("<!-- end -->")[0]
    rows = [line for line in table.splitlines() if line.startswith("| [`")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(LOSSES)
    for row in rows:
        options = eval(row.split("|")[5].strip().strip("`").partition("=")[2], {"dict": dict})
        assert options.pop("type") in row.split("|")[1]
        LOSSES[re.search(r"`(\w+)`", row).group(1)](**options)


def test_the_table_of_slots_has_every_loss():
    """What takes labels or boxes is found by ``tools/list_losses.py --write``; name any other in its row."""
    section = (ROOT / "docs" / "losses.md").read_text().split("## Which slot takes what")[1].split("\n## ")[0]
    assert {loss.__name__ for loss in LOSSES.values()} - set(re.findall(r"`(\w+)", section)) == set()


@pytest.mark.parametrize("function", [encode_anchors, encode_cells, pad_truths], ids=lambda function: function.__name__)
def test_example_of_an_encoding_function_runs(function):
    (test,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.slot == "composite"])
def test_config_lines_of_an_objectives_page_build(name):
    (page,) = (p for p in (ROOT / "docs" / "yolo").glob("*.md") if p.read_text().startswith(f"# `{name}`"))
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S) if "loss = dict" in block]
    lines = [line for block in blocks for line in re.split(r"\n(?=loss = )", block)]
    assert len(lines) >= 2
    for line in lines:
        options = eval(line.split("  #")[0].partition("=")[2].strip(), {"dict": dict})
        assert options.pop("type") == name
        LOSSES[name](**options)


def test_choices_of_the_start_pages_build():
    """The table of situations: the same lines in both languages, each with what its loss needs."""
    for name, heading in (("README.md", "## Which loss?"), ("docs/zh/index.md", "## 该选哪个损失")):
        section = (ROOT / name).read_text().split(heading)[1].split("\n## ")[0]
        lines = re.findall(r"\| `loss_\w+=(dict\(.*\))` \|", section)
        assert len(lines) == 8
        for line in lines:
            options = eval(line, {"dict": dict})
            LOSSES[options.pop("type")](**options)


def anchors(page):
    """Those that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_files_and_tests_exist(page):
    text = page.read_text()
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if "://" in target:
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"
    for path in re.findall(r"(?<!tests/)\b((?:configs|tools)/[\w./-]+\.(?:py|sh))\b", text):
        assert (ROOT / path).exists(), path
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name


def test_losses_of_your_own_build_from_a_config(tmp_path):
    """In a process of its own, since registered names stay."""
    pytest.importorskip("mmdet", reason="the losses are built by MMDetection's registry")
    blocks = re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", (ROOT / "docs" / "add_your_own.md").read_text(), re.S)
    assert [name for name, _ in blocks] == ["my_losses.py", "my_config.py", "my_losses.py", "my_scores.py"]
    for name, code in blocks:
        with (tmp_path / name).open("a") as file:
            file.write(code)
    family = blocks[0][1]
    assert len([line for line in family.splitlines() if line.strip()]) <= 15
    code = """
        import torch
        from mmengine.config import Config
        from mmengine.utils import import_modules_from_strings
        from mmdet.registry import MODELS
        config = Config.fromfile("my_config.py", import_custom_modules=False)
        import_modules_from_strings(**config.custom_imports)
        import my_scores
        pred, target = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 5, 15, 15]])
        loss = MODELS.build(config.loss_bbox)
        assert type(loss).__module__ == "my_losses", loss
        junk = torch.tensor([[torch.nan] * 4])
        weight = torch.tensor([1.0, 0.0])
        values = [
            MODELS.build(dict(type="CornerIoULoss"))(pred, target),
            MODELS.build(dict(type="mmdet_losses.CornerIoULoss", power=2.0))(pred.half(), target),
            loss(torch.cat([pred, junk]), torch.cat([target, junk]), weight, avg_factor=1),
            MODELS.build(dict(type="LogCoshLoss", scale=2.0, reduction="sum"))(pred, target),
            MODELS.build(dict(type="BrierLoss", reduction="sum"))(torch.zeros(2, 3), torch.tensor([1, 3]), weight),
        ]
        print("VALUES", *[value.item() for value in values])
        try:
            MODELS.build(dict(type="RPNHead", in_channels=8, num_classes=1, loss_bbox=dict(type="CornerIoULoss")))
        except ValueError as error:
            print(error)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    values = [float(x) for x in re.search(r"VALUES (.*)", result.stdout).group(1).split()]
    iou, inner, term = 25 / 175, 9 / (2 * 64 - 9), 50 / 450
    assert values == pytest.approx(
        [1 - iou + term, 1 - iou**2 + term**2, 2 * (1 - inner + term), 4 * 2 * math.log(math.cosh(2.5)), 3 / 4],
        rel=1e-5,
    )
    assert "reg_decoded_bbox=True" in result.stdout


@pytest.fixture(scope="module")
def made():
    pytest.importorskip("numpy", reason="the table of typical weights is made with the extra tools")
    return documents(ROOT)


@pytest.mark.parametrize("name", ["docs/reference.md", *MADE], ids=lambda name: Path(name).name)
def test_what_the_pages_say_of_the_losses_is_up_to_date(name, made):
    """Make it anew: ``tools/list_losses.py --write``."""
    assert len(made) == 1 + len(MADE)
    assert (ROOT / name).read_text() == made[ROOT / name]
