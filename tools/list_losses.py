#!/usr/bin/env python
"""List every registered loss: its slot in a head, its options with their defaults, and its paper.

From Python, mmdet_losses.registry.MODELS.module_dict has the same names. With --write, makes anew what the
documentation says of each loss: docs/reference.md, the README's table and the marked lists of docs/losses.md.
"""

from __future__ import annotations

import argparse
import inspect
from difflib import get_close_matches
from pathlib import Path

from loss_pages.reference import page
from loss_pages.tables import documents

from mmdet_losses.modules import Loss
from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).resolve().parents[1]
HEADER = ("loss", "slot", "options", "paper")


def options(cls: type, skip: dict[str, inspect.Parameter]) -> str:
    """Return the options of a loss as ``name=default``, without those that are the same in ``skip``."""
    shown = []
    for name, parameter in cls.options().items():
        if name in skip and skip[name].default == parameter.default:
            continue
        shown.append(f"{name}={parameter.default!r}")
    return ", ".join(shown)


def rows(names: list[str]) -> list[tuple[str, str, str, str]]:
    """Return a row per name; an alias names its loss."""
    common = Loss.options()
    table = []
    for name in names:
        cls = LOSSES[name]
        shown = name if cls.__name__ == name else f"{name} (= {cls.__name__})"
        table.append((shown, cls.slot, options(cls, common), cls.paper))
    return table


def as_text(table: list[tuple[str, ...]]) -> str:
    lines = [HEADER, *table]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(table: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    for name, slot, values, paper in table:
        address = paper.removeprefix("https://").removeprefix("arxiv.org/abs/")
        text = f"arXiv:{address}" if "arxiv.org" in paper else address.split("/")[0]
        link = f"[{text}]({paper})" if paper else ""
        word, _, alias = name.partition(" ")
        cells = (f"`{word}`{' ' + alias if alias else ''}", slot, f"`{values}`" if values else "", link)
        lines.append("| " + " | ".join(cells).replace("  ", " ") + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="?", default="", help="only losses whose name or slot contains this")
    parser.add_argument("--format", choices=["text", "markdown", "page"], default="text")
    parser.add_argument("--write", action="store_true", help="write docs/reference.md and the tables of other pages")
    args = parser.parse_args()

    if args.write:
        for path, text in documents(ROOT).items():
            changed = not path.exists() or path.read_text() != text
            path.write_text(text)
            print(f"{path.relative_to(ROOT)}: {'written' if changed else 'as it was'}")
        return
    if args.format == "page":
        print(page(), end="")
        return
    word = args.filter.lower()
    names = [name for name, cls in LOSSES.items() if word in name.lower() or word == cls.slot]
    if not names:
        close = get_close_matches(word, [name.lower() for name in LOSSES], n=3, cutoff=0.5)
        near = [name for name in LOSSES if name.lower() in close]
        parser.error(f"no loss matches {args.filter!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    common = ", ".join(f"{name}={parameter.default!r}" for name, parameter in Loss.options().items())
    print(as_text(rows(names)) if args.format == "text" else as_markdown(rows(names)))
    print(f"\nEvery loss also takes {common}.")


if __name__ == "__main__":
    main()
