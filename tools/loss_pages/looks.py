"""How pages look on the site: marks on tables and pictures that the style sheet reads, and the language of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

LANGUAGES = {"zh": "zh-CN"}
"""Languages of folders of pages; all others are English."""
COLUMN = "data-column"
MATRIX, BROAD = 12, 95
"""So many columns, or so many letters that cannot be broken in a row, are set small to fit beside each other."""
CARDS, LONG = 3, 30
"""Tables of so many columns, with words of so many letters in a cell, become a list of cards in a narrow window."""
NUMBER = re.compile(r"[-+<>~]?\d[\d\s.,:()/%±x<>~+-]{0,19}")
"""A cell that is not broken, such as ``3.1 (4 %)``."""
LEGIBLE = 5.5
"""A picture of more inches cannot be read in a narrow window, where it scrolls; one of fewer is not blown up."""
LONG_CODE = 20
TAGS = len('<span class="pre"></span>')
"""What stands around each word of code."""
JOINT = re.compile(r"(?<=[_(,])(?=\w)|(?<=[=.])(?=[A-Za-z_])")
"""Where long code in a table may be broken; the tags around it hold none."""


def prepare(app: Sphinx, doctree: nodes.document) -> None:
    """Mark the tables and pictures of a page; Sphinx's ``doctree-read``."""
    for table in doctree.findall(nodes.table):
        mark_table(table)
    for image in doctree.findall(nodes.image):
        width = inches(Path(app.srcdir) / image["uri"])
        if width:
            image["classes"].append("wide" if width > LEGIBLE else "narrow")


def mark_table(table: nodes.table) -> None:
    """Say what kind of table it is, and in each cell what its column is called."""
    header, *rows = cells(table)
    names = [cell.astext() for cell in header]
    for row in rows:
        for name, cell in zip(names, row, strict=False):
            if name:
                cell[COLUMN] = name
            if not cell.astext():
                cell["classes"].append("none")
            elif NUMBER.fullmatch(cell.astext()):
                cell["classes"].append("number")
    longest = max((len(cell.astext()) for row in rows for cell in row if " " in cell.astext()), default=0)
    cards = len(names) >= CARDS and longest >= LONG
    if len(names) >= MATRIX or (breadth([header, *rows]) >= BROAD and not cards):
        table["classes"].append("matrix")
    else:
        table["classes"].append("cards" if cards else "plain")


def breadth(rows: list[list[nodes.entry]]) -> int:
    """Letters of the longest pieces of the columns that cannot be broken."""
    return sum(max(len(piece) for cell in column for piece in pieces(cell)) for column in zip(*rows, strict=False))


def pieces(cell: nodes.entry) -> list[str]:
    """What is not broken of a cell: a number as a whole, else each word."""
    text = cell.astext()
    return [text] if NUMBER.fullmatch(text) else text.split() or [""]


def cells(table: nodes.table) -> Iterator[list[nodes.entry]]:
    """Rows of a table, the first of which is its header."""
    for row in table.findall(nodes.row):
        yield list(row.findall(nodes.entry))


def inches(picture: Path) -> float:
    """Width of a picture that says how many dots it has to an inch; else 0."""
    if picture.suffix != ".png" or not picture.exists():
        return 0.0
    with Image.open(picture) as opened:
        return opened.width / opened.info["dpi"][0] if "dpi" in opened.info else 0.0


def say_language(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Name the language of a page in its first tag; Sphinx's ``html-page-context``."""
    context["language"] = LANGUAGES.get(page.partition("/")[0], context.get("language"))


class Translator(HTML5Translator):
    """Writes names of columns into cells, and lets long code in tables be broken."""

    def starttag(self, node: Any, tagname: str, *args: Any, **attributes: Any) -> str:
        if isinstance(node, nodes.entry) and COLUMN in node:
            attributes[COLUMN] = node[COLUMN]
        return super().starttag(node, tagname, *args, **attributes)

    def visit_Text(self, node: nodes.Text) -> None:
        start = len(self.body)
        super().visit_Text(node)
        if isinstance(node.parent, nodes.literal) and in_table(node):
            self.body[start:] = [broken(part) for part in self.body[start:]]


def broken(part: str) -> str:
    """A word of code in its tags, which may be broken where it is too long for a column."""
    return JOINT.sub("<wbr>", part) if len(part) > LONG_CODE + TAGS else part


def in_table(node: nodes.Node) -> bool:
    """Whether a node is part of a cell."""
    while node.parent is not None and not isinstance(node, nodes.entry):
        node = node.parent
    return isinstance(node, nodes.entry)
