"""What is wrong with pages that were built: links that lead nowhere, and parts from other hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "source": "src", "iframe": "src", "link": "href", "object": "data"}
"""What a browser fetches with a page, by its element."""
NOT_LOADED = ("canonical", "index", "search", "next", "prev", "author", "copyright", "alternate")
"""Kinds of ``link`` that are addresses alone."""
OUTSIDE_OF_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """Links, anchors and parts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        address = said.get(LOADED.get(tag, ""), "")
        if address and not (tag == "link" and said.get("rel") in NOT_LOADED):
            self.parts.append(address)


def faults(folder: Path) -> list[str]:
    """What is wrong with the pages of a site."""
    pages = {path: parsed(path) for path in sorted(folder.rglob("*.html"))}
    found = [fault for path in pages for fault in of_page(path, pages)]
    for path in sorted(folder.rglob("*.css")):
        found += [f"{path.relative_to(folder)} loads {address}" for address in OUTSIDE_OF_STYLES.findall(read(path))]
    return [fault.replace(f"{folder}/", "") for fault in found]


def of_page(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """What is wrong with a page."""
    page = pages[path]
    for address in page.parts:
        if is_outside(address):
            yield f"{path} loads {address}"
    for address in [*page.parts, *page.links]:
        parts = urlsplit(address)
        if is_outside(address) or parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file():
            yield f"{path} leads to {address}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{path} leads to {address}, which has no such anchor"


def is_outside(address: str) -> bool:
    """Whether an address is one of another host."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def parsed(path: Path) -> Page:
    return Page(read(path))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
