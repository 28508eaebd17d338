"""The page of one loss on the site, made from the registry and from what other pages say of the loss."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache

from mmdet_losses.modules import IoUTypeLoss, Loss
from mmdet_losses.registry import LOSSES

from . import published
from .formulas import FORMULAS
from .links import with_links
from .notes import NOTES
from .reference import COMMON, MODIFIERS, SLOTS, described_options, documentation, facts, markdown, option
from .tables import by_class, config_line, heads, in_file_order

HERE = "losses"
DECODING = "any that decodes"
"""Heads whose meaning the table of all losses explains."""


def loss_page(cls: type[Loss], pictures: Sequence[tuple[str, str]], words: Sequence[str] = ()) -> str:
    """A page as Markdown of MyST.

    Args:
        cls: The loss.
        pictures: Address and description of each of its pictures.
        words: What is said of them, or why there is none.
    """
    name = cls.__name__
    aliases = [alias for alias in by_class()[cls] if alias != name]
    text = documentation(cls).partition("\nArgs:")[0]
    lead, _, rest = text.partition("\n\n")
    parts = [
        f"# {name}",
        said(lead, name),
        *([f"Also registered as {', '.join(f'`{alias}`' for alias in aliases)}."] if aliases else []),
        *formula(name),
        *verdict(name),
        "## Config line",
        f"```{{code-block}} python\n:class: wrapped\n\n{config_line(cls)}\n```",
        f"Heads: {with_heads(cls)}.",
        facts_with_paper(cls),
        *drawn(pictures, words),
        *([f"## What it computes\n\n{said(rest, name)}"] if rest else []),
        *options(cls),
        *deviations(cls, [name, *aliases]),
        *measured(cls),
        *example(cls),
    ]
    return "\n\n".join(parts) + "\n"


def said(text: str, own: str) -> str:
    """A docstring's text with links."""
    return with_links(markdown(text), HERE, own)


def formula(name: str) -> Iterator[str]:
    """The formula, drawn by MathJax."""
    if name in FORMULAS:
        rows = [" ".join(row.split()).removesuffix(",") for row in FORMULAS[name].split("\n\n")]
        text = r" \\[0.6em] ".join(f"& {row}" for row in rows)
        yield f"```{{math}}\n\\begin{{aligned}} {text} \\end{{aligned}}\n```"


def verdict(name: str) -> Iterator[str]:
    """What it is good and bad at."""
    note = NOTES.get(name)
    if note:
        yield f"**Good at:** {with_links(note.good, HERE, name)}"
        yield f"**Bad at:** {with_links(note.bad, HERE, name)}"


def with_heads(cls: type[Loss]) -> str:
    """Heads that take it, with links that work from here."""
    if heads(cls).startswith(DECODING):
        return f"[{heads(cls)}](../catalogue.md)"
    return re.sub(r"\]\((?:docs/)?(?!http)", "](../", heads(cls))


def facts_with_paper(cls: type[Loss]) -> str:
    """Its facts, and a link to its paper."""
    return facts(cls) + (f" [Paper]({cls.paper})." if cls.paper else "")


def drawn(pictures: Sequence[tuple[str, str]], words: Sequence[str]) -> Iterator[str]:
    """Its pictures beside each other, or below where the window is narrow, and what is said of them."""
    if pictures or words:
        yield "## Pictures"
    if pictures:
        images = "\n".join(f"```{{image}} {address}\n:alt: {alt}\n```" for address, alt in pictures)
        yield f"````{{container}} pictures\n{images}\n````"
    if words:
        yield " ".join(words)


def options(cls: type[Loss]) -> Iterator[str]:
    """Its signature, which is where the Python objects of its name lead to, and what each option does."""
    own = cls.options()
    described = {key: value for base in reversed(cls.__mro__[:-1]) for key, value in described_options(base).items()}
    family = issubclass(cls, IoUTypeLoss)
    shared = COMMON + (MODIFIERS if family else ())
    yield "## Options"
    yield f"```{{eval-rst}}\n.. py:class:: mmdet_losses.{cls.__name__}({signature(own)})\n```"
    lines = [with_links(option(key, own[key], described), HERE, cls.__name__) for key in own if key not in shared]
    listed = ", ".join(f"`{key}`" for key in COMMON if key in own)
    lines.append(f"- {listed}: [as every loss](index.md#what-every-loss-takes)")
    if family:
        taken = ", ".join(f"`{key}`" for key in MODIFIERS if key in own)
        lines.append(f"- {taken}: [the modifiers of the IoU family](index.md#modifiers-of-the-iou-family)")
    yield "\n".join(lines)


def signature(options: dict[str, inspect.Parameter]) -> str:
    """The options with their defaults, as Python writes them."""
    plain = [name for name in options if options[name].kind is not inspect.Parameter.KEYWORD_ONLY]
    named = [name for name in options if name not in plain]
    shown = [with_default(options[name]) for name in plain]
    return ", ".join([*shown, *(["*"] if named else []), *(with_default(options[name]) for name in named)])


def with_default(parameter: inspect.Parameter) -> str:
    required = parameter.default is parameter.empty
    return parameter.name if required else f"{parameter.name}={parameter.default!r}"


def deviations(cls: type[Loss], names: list[str]) -> Iterator[str]:
    """Where it differs from what others publish under its name; the ledger also names the tests."""
    found = list(published.differences(cls, names))
    ledger = published.link_to("deviations")
    yield "## Differences from MMDetection"
    if not found:
        yield "None of its own."
    for heading, header, rows in found:
        if heading != "Single losses":
            yield f"### {heading}"
        kept = [index for index, column in enumerate(header) if column != "test"]
        yield table([header[index] for index in kept], [[row[index] for index in kept] for row in rows])
    yield f"The [ledger]({ledger}) has a test of each, and [what holds for all losses]({ledger}#all-losses)."


def measured(cls: type[Loss]) -> Iterator[str]:
    """Rows of reliability and speed."""
    name = cls.__name__
    row = published.reliability(name)
    if row:
        yield "## Reliability"
        yield (
            f"{len(row.held)} of {len(row.held) + len(row.exceptions)} properties that apply are "
            f"[measured or tested]({published.link_to('reliability')}): {', '.join(row.held)}."
        )
        if row.exceptions:
            yield "\n".join(["Exceptions:\n", *(f"- {words}" for words in row.exceptions)])
    header, rows = published.speed(name)
    if rows:
        yield "## Speed"
        how = f"[how it is measured]({published.link_to('benchmark')})"
        yield f"Forward plus backward, on {published.machine()} ({how})."
        yield table(header, rows)


def example(cls: type[Loss]) -> Iterator[str]:
    """The example of the docstring, which the tests run."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\nExample:\n")[2]
    if text:
        yield f"## Example\n\n```pycon\n{inspect.cleandoc(text)}\n```"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, in a box that scrolls by itself where the window is narrow."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def slot_page(slot: str) -> str:
    """The losses of a slot, with a line of a config each."""
    rows = []
    for cls in of_slot(slot):
        first = re.split(r"(?<=[.:]) ", " ".join(documentation(cls).split()))[0].rstrip(".:")
        what = markdown(first)
        rows.append([f"[{cls.__name__}]({cls.__name__}.md)", what, with_heads(cls), f"`{config_line(cls)}`"])
    listed = "\n".join(cls.__name__ for cls in of_slot(slot))
    tree = f"```{{toctree}}\n:hidden:\n\n{listed}\n```"
    return f"# {SLOTS[slot]}\n\n{table(['loss', 'what it is', 'heads', 'config line'], rows)}\n\n{tree}\n"


def of_slot(slot: str) -> list[type[Loss]]:
    """Its losses, those that belong together side by side."""
    return [cls for cls in in_order(tuple(LOSSES)) if cls.slot == slot]


@cache
def in_order(names: tuple[str, ...]) -> list[type[Loss]]:
    """All losses; to find their lines in their files takes a second, which is spent once for all pages."""
    return in_file_order()


def index_page() -> str:
    """Every loss by name, and what all of them take."""
    slots = [slot for slot in SLOTS if of_slot(slot)]
    lists = []
    for slot in slots:
        names = [f"[{alias}]({cls.__name__}.md)" for cls in of_slot(slot) for alias in by_class()[cls]]
        lists.append(f"## {SLOTS[slot]}\n\nWith what each is and its line of a config: [{SLOTS[slot]}]({slot}.md).\n")
        lists.append(f"{', '.join(names)}\n")
    shared = [("What every loss takes", Loss, COMMON), ("Modifiers of the IoU family", IoUTypeLoss, MODIFIERS)]
    for title, cls, names in shared:
        described, options = described_options(cls), cls.options()
        items = "\n".join(with_links(option(name, options[name], described), HERE) for name in names)
        lists.append(f"## {title}\n\n{items}\n")
    tree = "```{toctree}\n:hidden:\n\n" + "\n".join(slots) + "\n```"
    return "\n".join(["# Every loss\n", *lists, tree]) + "\n"
