"""What the documentation shows is true: examples run, tables and links name what exists."""

import doctest
import re
from pathlib import Path

import pytest

from mmdet_losses import modules
from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", LOSSES)
def test_example_of_the_docstring_runs(name):
    loss = getattr(modules, LOSSES[name].__name__)
    (test,) = (t for t in doctest.DocTestFinder(recurse=False).find(loss, loss.__name__) if t.examples)
    assert len(test.examples) >= 3
    assert doctest.DocTestRunner().run(test).failed == 0


def test_readme_has_every_loss_with_a_config_line_that_builds():
    table = (ROOT / "README.md").read_text().split("## Losses")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(LOSSES)
    for row in rows:
        options = eval(row.split("|")[5].strip().strip("`").partition("=")[2], {"dict": dict})
        assert options.pop("type") in row.split("|")[1]
        LOSSES[re.search(r"`(\w+)`", row).group(1)](**options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_files_and_tests_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for path in re.findall(r"\b((?:configs|tools)/[\w./-]+\.(?:py|sh))\b", text):
        assert (ROOT / path).exists(), path
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
