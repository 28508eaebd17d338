"""Links of Markdown pages, from where a page lies in the repository to where it lies on the site."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mmdet_losses.registry import LOSSES

ROOT = Path(__file__).resolve().parents[2]
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/reference.md": "losses/index.md",
}
"""Pages that have another name on the site; any other page of ``docs/`` keeps its own."""
CODE_OR_LINK = re.compile(
    r"^(`{3,})[^\n]*\n.*?^\1"  # a block of code, which stays as it is
    r"|^#[^\n]*"  # a heading, too
    r"|(!?)\[([^\[\]]*)\]\(([^)\s]+)\)"
    r"|`([^`\n]*)`",
    re.DOTALL | re.MULTILINE,
)


def on_site(text: str, source: str, repository: str) -> str:
    """A page with its links as the site has them.

    Args:
        text: The page.
        source: Where it lies in the repository.
        repository: Address of the files of the repository; without one, links to what is no page become plain text.
    """
    here = posixpath.dirname(place(source))

    def link(found: re.Match[str]) -> str:
        picture, words, target, code = found[2], found[3], found[4], found[5]
        if code in LOSSES:
            goal = posixpath.relpath(f"losses/{LOSSES[code].__name__}.md", here or ".")
            return f"[`{code}`]({goal})"
        if target is None or target.startswith("#") or re.match(r"\w+:", target):
            return found[0]
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not is_on_site(path):
            return f"{picture}[{words}]({repository}/{path})" if repository else words
        goal, anchor = moved(path, anchor)
        relative = posixpath.relpath(goal, here or ".")
        if words == posixpath.basename(path):
            words = ""  # the title of the page takes its place
        return f"{picture}[{words}]({relative}{'#' if anchor else ''}{anchor})"

    return CODE_OR_LINK.sub(link, text)


def is_on_site(path: str) -> bool:
    """Whether a file of the repository is a page, a picture or a table of the site."""
    return path in MOVED or (path.startswith("docs/") and not (ROOT / path).is_dir())


def place(path: str) -> str:
    """Where a file of the repository lies in the source of the site."""
    return MOVED.get(path, path.removeprefix("docs/"))


def moved(path: str, anchor: str) -> tuple[str, str]:
    """Page and anchor on the site; the entries of ``docs/reference.md`` are pages of their own there."""
    if path == "docs/reference.md":
        names = {name.lower(): cls.__name__ for name, cls in LOSSES.items()}
        return (f"losses/{names[anchor]}.md", "") if anchor in names else (place(path), anchor)
    if path == "README.md":
        return ("losses/index.md", "") if anchor == "losses" else (place(path), "")
    return place(path), anchor


def with_links(text: str, here: str, own: str = "") -> str:
    """Text of a docstring in which losses and pages of ``docs/`` that it names are links.

    Args:
        text: The text, as Markdown.
        here: Folder of the page on the site, such as ``losses``.
        own: Name of the loss whose page it is.
    """
    up = posixpath.relpath(".", here)

    def loss(found: re.Match[str]) -> str:
        cls = LOSSES.get(found[1])
        if cls is None or cls.__name__ == own:
            return found[0]
        return f"[`{found[1]}`]({posixpath.relpath('losses', here)}/{cls.__name__}.md)"

    text = re.sub(r"(?<![\[`])`(\w+)`(?![\]`])", loss, text)
    text = re.sub(r"(?<![(/\w])docs/([\w/]+)\.md", rf"[\1]({up}/\1.md)", text)
    return re.sub(r"(?<![(<\w])https?://[^\s,;)]+[^\s,;).:]", r"<\g<0>>", text)


def repository_from_environment(environment: Callable[[str], str | None] = os.environ.get) -> str:
    """Address of the files of the repository: that of GitHub's workflow, or what ``DOCS_REPOSITORY`` says."""
    server, name = environment("GITHUB_SERVER_URL"), environment("GITHUB_REPOSITORY")
    known = f"{server}/{name}/blob/main" if server and name else ""
    return (environment("DOCS_REPOSITORY") or known).rstrip("/")
