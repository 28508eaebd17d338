"""The source of the site: a copy of ``docs/``, and beside it the pages that are made from the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tool_runtime.errors import ToolError

from . import api_pages
from .links import ROOT, on_site, place, repository_from_environment
from .loss_page import index_page, loss_page, of_slot, slot_page
from .reference import SLOTS
from .site_pictures import Drawn, draw_all

LEFT_OUT = ("conf.py", "_static", "reference.md")
"""What of ``docs/`` is no page: the entries of reference.md are pages of their own on the site."""
API_MARK = "<!-- site: API reference -->"
CONTENTS = ROOT / "docs" / "index.md"
LAST_PART = "## More"
"""Where the README ends on the site, whose contents take the place of its links."""
LISTED = re.compile(r"^ *[-*] \[([^\]]+)\]\(([^)#\s]+)\)", re.MULTILINE)


def stage(folder: Path, pictures: bool = True) -> None:
    """Write the source of the site; files that are as they were are left alone.

    Args:
        folder: Where to.
        pictures: Whether the losses are drawn.

    Raises:
        ToolError: Where a page is missing.
    """
    written = set()
    drawings = draw_all(folder.parent / "pictures") if pictures else {}
    for name, content in [*copies(), *pages(), *made(drawings)]:
        path = folder / name
        written.add(path)
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in written]:
        path.unlink()


def sources() -> Iterator[Path]:
    """Files of ``docs/`` that the site has."""
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file() and path.relative_to(ROOT / "docs").parts[0] not in LEFT_OUT and path.suffix != ".pyc":
            yield path


def copies() -> Iterator[tuple[str, bytes]]:
    """Pictures and tables."""
    for path in sources():
        if path.suffix != ".md":
            yield place(path.relative_to(ROOT).as_posix()), path.read_bytes()


def pages() -> Iterator[tuple[str, bytes]]:
    """Pages that are written by hand, with links of the site."""
    repository = repository_from_environment()
    written = [path for path in sources() if path.suffix == ".md" and path != CONTENTS]
    for path in [*written, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        source = path.relative_to(ROOT).as_posix()
        yield place(source), on_site(path.read_text(), source, repository).encode()
    front = on_site((ROOT / "README.md").read_text().partition(f"\n{LAST_PART}\n")[0], "README.md", repository)
    contents = on_site(with_shelves(CONTENTS.read_text().partition("\n## ")[2]), "docs/index.md", repository)
    yield "index.md", f"{front}\n\n## {contents}".encode()


def shown(drawn: Drawn) -> list[tuple[str, str]]:
    """Addresses of pictures on the site, from its root, and what they show."""
    return [(f"/losses/pictures/{path.name}", words) for path, words in drawn.pictures]


def with_shelves(text: str) -> str:
    """The lists of pages, which are also the contents of the site: a shelf for each section."""
    text = text.replace(API_MARK, api_pages.SHELF)
    shelves = []
    for section in re.split(r"(?m)^## ", text):
        title, _, body = section.partition("\n")
        listed = [f"{words} <{listed_page(path)}>" for words, path in LISTED.findall(body) if "://" not in path]
        if listed:
            entries = "\n".join(listed)
            shelves.append(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```")
    return "\n\n".join([text.rstrip(), *shelves]) + "\n"


def listed_page(path: str) -> str:
    """A page of the start page's lists as its table of contents names it."""
    if not (ROOT / "docs" / path).exists() and path not in api_pages.PAGES:
        raise ToolError(f"docs/index.md names {path}, which is not there: name a page of docs/")
    source = f"docs/{path}" if not path.startswith("../") else path.removeprefix("../")
    return place(source).removesuffix(".md")


def made(drawings: dict[str, Drawn]) -> Iterator[tuple[str, bytes]]:
    """Pages that are made from the registry and from the modules, and pictures."""
    yield "losses/index.md", index_page().encode()
    for slot in SLOTS:
        members = of_slot(slot)
        if members:
            yield f"losses/{slot}.md", slot_page(slot).encode()
        for cls in members:
            name = cls.__name__
            drawn = drawings.get(name, Drawn([], []))
            yield f"losses/{name}.md", loss_page(cls, shown(drawn), drawn.words).encode()
    for path, _ in (pair for drawn in drawings.values() for pair in drawn.pictures):
        yield f"losses/pictures/{path.name}", path.read_bytes()
    for name, text in api_pages.PAGES.items():
        yield name, text().encode()
