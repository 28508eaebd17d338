"""The two losses of CONTRIBUTING.md, added to a copy of the tree as the page says."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TREE = ("mmdet_losses", "tests", "tools", "docs", "configs", "pyproject.toml")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
LINES, FILES = 70, 5
"""The most that a loss may take, by hand."""
LOSSES = {"A member of the IoU family": "EdgeIoULoss", "A classification loss": "SaturatedFocalLoss"}


class Block(NamedTuple):
    """Lines to be written into a file: at its end, or in a list or section of it."""

    path: str
    place: str
    text: str


def blocks(heading: str) -> list[Block]:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.split(r"^##", page.split(f"### {heading}\n")[1], flags=re.M)[0]
    fenced = re.findall(r"```\w+\n(?:# |<!-- )([\w./]+)(?:, in (\w+))?(?: -->)?\n(.*?)```", section, re.S)
    return [Block(*found) for found in fenced]


def written(text: str, block: Block) -> str:
    """The text of a file with the block in its place."""
    if not block.place:
        return f"{text}\n\n{block.text}"
    if block.path.endswith(".md"):
        before, heading, rest = text.partition(f"## {block.place}\n")
        section, *later = re.split(r"^(?=## )", rest, flags=re.M)
        return "".join([before, heading, section.rstrip("\n"), "\n", block.text, *later])
    lines = text.splitlines(keepends=True)
    found = list_of(text, block.place)
    if found.lineno < found.end_lineno:
        return "".join([*lines[: found.end_lineno - 1], block.text, *lines[found.end_lineno - 1 :]])
    line = lines[found.lineno - 1]
    more = ", ".join(entry.strip().rstrip(",") for entry in block.text.splitlines())
    lines[found.lineno - 1] = f"{line[: found.end_col_offset - 1]}, {more}{line[found.end_col_offset - 1 :]}"
    return "".join(lines)


def list_of(text: str, name: str) -> ast.expr:
    """The list of that name in a module."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return node.value
    raise ValueError(f"no list {name}")


@pytest.mark.parametrize("heading", LOSSES)
def test_a_loss_is_added_in_few_places(heading: str) -> None:
    found = blocks(heading)
    files = {block.path for block in found}
    assert all((ROOT / file).is_file() for file in files)
    assert {file.split("/")[0] for file in files} == {"mmdet_losses", "tests", "CHANGELOG.md"}
    assert len(files) <= FILES
    assert sum(len(block.text.splitlines()) for block in found) <= LINES


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with both losses."""
    folder = tmp_path_factory.mktemp("contributing")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in TREE + PAGES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for block in (block for heading in LOSSES for block in blocks(heading)):
        path = folder / block.path
        path.write_text(written(path.read_text(), block))
    return folder


def run(tree: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return result.stdout


def passed(output: str, name: str) -> Iterator[str]:
    return (line for line in output.splitlines() if name in line and "PASSED" in line)


def test_the_losses_of_the_page_pass_the_tests_of_all_losses(tree: Path) -> None:
    """Those that need a second or less each; all others take them from the same cases."""
    pytest.importorskip("mmdet", reason="some of these tests need MMDetection")
    output = run(tree, "tools/list_losses.py", "--write")
    assert "docs/reference.md: written" in output
    named = " or ".join(LOSSES.values())
    properties = ("scalar_reference", "derivative", "perfect_match", "bounds", "scale", "symmetry", "weight_0")
    files = [
        "tests/contract/test_facts.py",
        "tests/contract/test_facts_of_objects.py",
        "tests/contract/test_reliability.py",
        "tests/losses/test_functional.py",
        "tests/losses/test_modifiers.py",
        "tests/mmdetection/test_registry.py",
        "tests/package/test_docs.py",
        "tests/package/test_reference.py",
        "tests/package/test_torch_names.py",
    ]
    chosen = f"(({named}) and (not test_property or {' or '.join(properties)})) or test_every or up_to_date"
    chosen += " or public_names or config_lines_of_the_catalogue or table_of_slots or page_names or said or oldest"
    options = ["-n", "0", "-p", "no:cacheprovider", "-v", "--disable-warnings", "-o", "console_output_style=classic"]
    output = run(tree, "-m", "pytest", *options, *files, "-k", chosen)
    for name in LOSSES.values():
        assert len(list(passed(output, name))) >= 15
    for test in ("test_every_loss_has_a_case", "test_every_member_is_here", "test_public_names_are", "[README.md]"):
        assert list(passed(output, test)), test
