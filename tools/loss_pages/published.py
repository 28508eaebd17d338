"""What tables of the documentation say of one loss: differences, reliability and speed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mmdet_losses.modules import IoUTypeLoss, Loss

ROOT = Path(__file__).resolve().parents[2]


TIMES = ("mmdet, ms", "eager, ms", "fused, ms", "eager, speed-up", "fused, speed-up")


class Table(NamedTuple):
    """A table of a page.

    Attributes:
        heading: The heading that it stands under.
        header: Names of its columns.
        rows: Its cells.
    """

    heading: str
    header: list[str]
    rows: list[list[str]]


class Properties(NamedTuple):
    """A row of the matrix of reliability.

    Attributes:
        held: Properties that every check, or test, showed.
        exceptions: What does not hold as published, in the words of the page.
        other: Properties that do not apply or are shown elsewhere.
    """

    held: list[str]
    exceptions: list[str]
    other: list[str]


def cells(line: str) -> list[str]:
    """Cells of a line of a table; a bar in code is part of its cell."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [part.strip() for part in re.split(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)", inner)]


@cache
def tables(name: str) -> list[Table]:
    """Every table of a page of ``docs/``, wherever the page lies in it."""
    found: list[Table] = []
    heading, previous = "", ""
    for line in page(name).read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
        elif re.fullmatch(r"\|[\s:|-]+\|", line):
            found.append(Table(heading, cells(previous), []))
        elif line.startswith("|") and found and found[-1].heading == heading and previous.startswith("|"):
            found[-1].rows.append(cells(line))
        previous = line
    return found


def page(name: str) -> Path:
    """A page of ``docs/`` by its name."""
    return next(path for path in sorted((ROOT / "docs").rglob(f"{name}.md")))


def link_to(name: str) -> str:
    """Address of a page of ``docs/`` from the folder of the losses."""
    return f"../{page(name).relative_to(ROOT / 'docs').as_posix()}"


def differences(cls: type[Loss], names: list[str]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Rows of ``deviations.md`` that name a loss or its family: heading, header and rows without the loss."""
    for table in tables("deviations"):
        if table.header[0] != "loss":
            continue
        rows = [row[1:] for row in table.rows if concerns(row[0], cls, names)]
        if rows:
            yield table.heading, table.header[1:], rows


def concerns(cell: str, cls: type[Loss], names: list[str]) -> bool:
    """Whether the first cell of a row names a loss, also with options, or a kind that it belongs to."""
    named = re.findall(r"`(\w+)", cell)
    return bool(set(named) & set(names)) or (cell.startswith("IoU family") and issubclass(cls, IoUTypeLoss))


@cache
def property_names() -> dict[str, str]:
    """Name of every property of ``reliability.md`` by its number."""
    (listed,) = (table for table in tables("reliability") if table.header[1:2] == ["property"])
    return {row[0]: row[1] for row in listed.rows}


@cache
def exceptions() -> dict[str, str]:
    """Every exception of ``reliability.md`` by its number."""
    return dict(re.findall(r"^- \*\*(e\d+)\*\* \d+, (.*)$", page("reliability").read_text(), re.M))


def reliability(name: str) -> Properties | None:
    """What ``reliability.md`` shows of a loss; None where it has no row."""
    for table in tables("reliability"):
        if table.header[:2] != ["loss", "1"]:
            continue
        for row in table.rows:
            if f"`{name}`" in row[0]:
                return judged(dict(zip(table.header[1:], row[1:], strict=True)))
    return None


def judged(marks: dict[str, str]) -> Properties:
    """A row of marks by what they mean."""
    names = property_names()
    held = [names[number] for number, mark in marks.items() if mark in ("ok", "t", "(t)")]
    known = [exceptions()[word] for mark in marks.values() for word in re.findall(r"e\d+", mark)]
    other = [names[number] for number, mark in marks.items() if mark in (".", "-")]
    return Properties(held, known, other)


def speed(name: str) -> tuple[list[str], list[list[str]]]:
    """Rows of ``benchmark.md`` of a loss: what is said of each shape, with the columns of :data:`TIMES`."""
    header, rows = ["shape", *TIMES], []
    for table in tables("benchmark"):
        if not {"loss", *TIMES} <= set(table.header):
            continue
        shape, _, meaning = table.heading.partition(": ")
        for row in table.rows:
            found = re.fullmatch(rf"`?{name}`?( \(.*\))?", row[0])
            if found:
                values = [row[table.header.index(column)] or "-" for column in TIMES]
                rows.append([f"{meaning or shape}{found[1] or ''}", *values])
    return header, rows


@cache
def machine() -> str:
    """What the figures of ``benchmark.md`` were measured on."""
    found = re.search(r"^### Losses on .*?\n\n([^;]*);", page("benchmark").read_text(), re.M)
    return found[1] if found else ""
