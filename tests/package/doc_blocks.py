"""Fenced blocks of the pages, and what is to be done with each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:[A-Z_]+=\S* )*(?:tools/|python |git |pip |for |VENV/|OUT/)")
LOOP = re.compile(r"^for (\w+) in (\S+)[^\n]*; do\n(.*?)^done$", re.DOTALL | re.MULTILINE)
ABSENT = ("mmyolo", "mmrotate", "torchvision", "transformers", "ultralytics")
"""Packages that a block may need, in its first line, and that the tests do without: such a block is compiled."""
ELSEWHERE = {
    "docs/add_your_own.md": "test_losses_of_your_own_build_from_a_config",
    "CONTRIBUTING.md": "test_the_losses_of_the_page_pass_the_tests_of_all_losses",
}
"""Pages whose blocks of Python build on each other, and the test that runs them."""
COMPILED = {
    ("docs/losses.md", "from mmengine.config import read_base"): "test_pure_python_configs.py runs it in its place",
    ("docs/tools.md", "import mmdet_losses  # before"): "needs a checkpoint; test_publish.py runs the same calls",
}
"""Other blocks that are not run, by their first line, with the reason."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def label(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        return self.text.split("\n", 1)[0]


def all_blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in FENCED.finditer(text):
            name = str(page.relative_to(ROOT))
            yield Block(name, text[: found.start()].count("\n") + 1, found[1], found[2])


def python_blocks() -> list[Block]:
    return [block for block in all_blocks() if block.language == "python" and block.page not in ELSEWHERE]


def why_compiled(block: Block) -> str:
    """Why a block is not run; empty where it is."""
    for (page, first), reason in COMPILED.items():
        if block.page == page and block.first.startswith(first):
            return reason
    return next((f"needs {name}" for name in ABSENT if block.first.startswith(f"# needs {name}")), "")


class Command(NamedTuple):
    """A line that is typed: its words, without what is set before it and what runs it."""

    label: str
    words: tuple[str, ...]


def commands() -> list[Command]:
    """The commands of the pages: blocks of bash, and unnamed ones that begin with a command."""
    found = []
    for block in all_blocks():
        if block.language == "bash" or (not block.language and COMMAND.match(block.text)):
            once = LOOP.sub(lambda loop: loop[3].replace(f"${loop[1]}", loop[2]), block.text)
            for line in once.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "tools/run"):
                    words.pop(0)
                if words:
                    found += [Command(block.label, tuple(part)) for part in split_at_and(words)]
    return found


def split_at_and(words: list[str]) -> Iterator[list[str]]:
    """What stands between ``&&``."""
    part: list[str] = []
    for word in [*words, "&&"]:
        if word == "&&":
            while part and part[0] == "tools/run":
                part.pop(0)
            yield part
            part = []
        else:
            part.append(word)
