#!/usr/bin/env python
"""List every registered loss: its slot in a head, what it is, its options with their defaults, and its paper.

From Python, mmdet_losses.registry.MODELS.module_dict has the same names. With --write, makes anew what the
documentation says of each loss: docs/reference.md, docs/catalogue.md, and the marked parts of other pages.
"""

from __future__ import annotations

import argparse
import inspect
import re
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap

from loss_pages.reference import documentation, markdown, page
from loss_pages.tables import documents
from tool_runtime.checkout import need_checkout
from tool_runtime.errors import report_errors

from mmdet_losses.modules import IoUTypeLoss, Loss
from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).resolve().parents[1]
HEADER = ("loss", "slot", "options", "paper")
WIDTH = 100
FAMILY = "Every loss of the IoU family"


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


def summary(cls: type) -> str:
    """The first sentence of a docstring: what the loss is, and often what it is good for."""
    paragraph = " ".join(documentation(cls).partition("\n\n")[0].split())
    return markdown(re.split(r"(?<=[.]) (?=[A-Z])", paragraph)[0]).replace("`", "")


def as_text(names: list[str]) -> str:
    """Every loss in a few lines of at most :data:`WIDTH` columns; what all of a kind share stands at the end."""
    widest = max(map(len, names)) + 2
    lines = []
    for name in names:
        cls = LOSSES[name]
        head = f"{name:{widest}}{cls.slot:11}"
        if name != cls.__name__:
            lines.append(f"{head}= {cls.__name__}")
            continue
        indent = " " * len(head)
        skip = IoUTypeLoss.options() if issubclass(cls, IoUTypeLoss) else Loss.options()
        own = options(cls, skip)
        lines += wrap(summary(cls), WIDTH, initial_indent=head, subsequent_indent=indent)
        if own:
            lines += wrap(f"options: {own}", WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")
        if cls.paper:
            lines.append(f"{' ' * min(len(indent), WIDTH - len(cls.paper))}{cls.paper}")
    lines.append("")
    if any(issubclass(LOSSES[name], IoUTypeLoss) for name in names):
        lines += wrap(f"{FAMILY} also takes {options(IoUTypeLoss, Loss.options())}.", WIDTH)
    lines += wrap(f"Every loss also takes {options(Loss, {})}.", WIDTH)
    return "\n".join(lines)


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
    parser.add_argument(
        "filter",
        nargs="?",
        default="",
        help="a slot, or part of a name or, failing that, of what is said",
    )
    parser.add_argument("--format", choices=["text", "markdown", "page"], default="text")
    parser.add_argument("--write", action="store_true", help="write docs/reference.md and the tables of other pages")
    args = parser.parse_args()
    with report_errors("list_losses"):
        show(args, parser)


def show(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print or write what the arguments ask for."""
    if args.write:
        need_checkout("list_losses --write", "docs", "README.md")
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
    names = names or [name for name, cls in LOSSES.items() if word in summary(cls).lower()]
    if not names:
        close = get_close_matches(word, [name.lower() for name in LOSSES], n=3, cutoff=0.5)
        near = [name for name in LOSSES if name.lower() in close]
        parser.error(f"no loss matches {args.filter!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    if args.format == "text":
        print(as_text(names))
    else:
        print(as_markdown(rows(names)))
        print(f"\nEvery loss also takes {options(Loss, {})}.")


if __name__ == "__main__":
    main()
