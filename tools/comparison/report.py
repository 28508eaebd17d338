"""The report of a comparison: a page, the same as Markdown, and the JSON that both are made of."""

from __future__ import annotations

from pathlib import Path

from . import document, markdown, page, results
from .results import Results

PAGE, TEXT, DATA = "report.html", "report.md", "results.json"


def write(found: Results, folder: str | Path) -> list[Path]:
    """Write the report of a comparison.

    Args:
        found: What was measured.
        folder: Where to; it is made where it is missing.

    Returns:
        The page, the Markdown and the JSON.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    title = f"Comparison with {found.settings.baseline}: {Path(found.settings.config).stem}"
    sections = document.sections(found)
    files = [target / name for name in (PAGE, TEXT, DATA)]
    files[0].write_text(page.render(title, sections, found), encoding="utf-8")
    files[1].write_text(markdown.render(title, sections), encoding="utf-8")
    results.write(found, files[2])
    return files
