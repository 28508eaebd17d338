"""A report as Markdown, for the appendix of a paper: every table, and no plots."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .document import Plot, Section, Table

SPECIAL = re.compile(r"([\\`*_|<>\[\]])")


def render(title: str, sections: Sequence[Section]) -> str:
    """Return the text of a report."""
    return f"# {escaped(title)}\n\n{text(sections)}"


def text(sections: Sequence[Section]) -> str:
    """Return the text of some sections."""
    blocks = []
    for section in sections:
        blocks.append(f"## {escaped(section.title)}")
        for part in section.parts:
            if isinstance(part, Table):
                blocks.append(table(part))
            elif isinstance(part, list):
                blocks.append("\n".join(f"- {escaped(line)}" for line in part))
            elif not isinstance(part, Plot):
                blocks.append(escaped(part))
    return "\n\n".join(block for block in blocks if block) + "\n"


def table(content: Table) -> str:
    """Return a table."""
    rows = [[escaped(cell) for cell in row] for row in (content.head, *content.rows)]
    rows.insert(1, ["---" if column in (0, *content.texts) else "---:" for column in range(len(content.head))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
