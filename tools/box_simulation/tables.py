"""Results as a table, for a terminal and for a page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tool_runtime.errors import ToolError

from .record import Result

ITERATIONS = (10, 50, 100, 160, 200)


def names(results: Sequence[Result]) -> list[str]:
    """What tells results apart: the label, with the rule and the cases where these differ."""
    rules = {result.settings.rule for result in results}
    sets = {(result.settings.centres, result.settings.seed) for result in results}
    named = []
    for result in results:
        centres = result.settings.centres
        more = [result.settings.rule] if len(rules) > 1 else []
        more += [f"seed {result.settings.seed}" if centres is None else f"{centres} centres"] if len(sets) > 1 else []
        named.append(", ".join([result.label, *more]))
    return named


def rows_of(results: Sequence[Result]) -> list[list[str]]:
    """Header and one row for each result: totals in millions, score, shares, seconds."""
    last = min(len(result.totals) for result in results)
    shown = [iteration for iteration in ITERATIONS if iteration <= last] or [last]
    rows = [["loss", *(f"t = {iteration}" for iteration in shown), "score", "fitted", "apart", "seconds"]]
    for name, result in zip(names(results), results, strict=True):
        millions = [f"{result.totals[iteration - 1] / 1e6:.3f}" for iteration in shown]
        shares = [f"{result.score / 1e6:.1f}", f"{result.fitted:.1%}", f"{result.apart:.1%}", f"{result.seconds:.1f}"]
        rows.append([name, *millions, *shares])
    return rows


def plain(results: Sequence[Result]) -> str:
    """The table for a terminal."""
    rows = rows_of(results)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of a page: the first column is words, the others are numbers."""
    header, *others = rows
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *others]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def of_gradients(results: Sequence[Result]) -> str:
    """True gradients on the sunflower: each loss in both parametrisations, in the order of its score by centre."""
    shown = [result for result in results if result.settings.rule != "authors" and result.settings.centres is not None]
    by_loss: dict[str, dict[str, Result]] = {}
    for result in sorted(shown, key=lambda result: (result.settings.rule != "xywh", result.score)):
        by_loss.setdefault(result.label, {})[result.settings.rule] = result
    said = ("t = 10", "50", "200", "score", "fitted")
    rows = [["loss", *(f"{rule}: {said[0]}" if i == 0 else said[i] for rule in ("xywh", "corners") for i in range(5))]]
    for label, runs in by_loss.items():
        cells = [f"`{label}`"]
        for rule in ("xywh", "corners"):
            run = runs.get(rule)
            cells += (
                [""] * 5 if run is None else [*at(run, (10, 50, 200)), f"{run.score / 1e6:.0f}", f"{run.fitted:.1%}"]
            )
        rows.append(cells)
    return markdown(rows)


def of_authors(results: Sequence[Result]) -> str:
    """The authors' rule at the iterations of the published figure."""
    times = (5, 10, 20, 40, 80, 120, 170, 190)
    runs = [result for result in results if result.settings.rule == "authors"]
    rows = [["t", *(f"`{run.label}`" for run in runs)]]
    return markdown([*rows, *([str(time), *(at(run, (time,))[0] for run in runs)] for time in times)])


def of_all_cases(results: Sequence[Result]) -> str:
    """The 1,715,000 cases at random centres."""
    runs = [result for result in results if result.settings.rule != "authors" and result.settings.centres is None]
    rows = [["loss", "t = 10", "50", "100", "160", "200", "score", "fitted"]]
    for run in runs:
        shares = [f"{run.score / 1e6:.1f}", f"{run.fitted:.1%}"]
        rows.append([f"`{run.label}`", *at(run, ITERATIONS), *shares])
    return markdown(rows)


def at(run: Result, iterations: Sequence[int]) -> list[str]:
    """Totals in millions."""
    return [f"{run.totals[iteration - 1] / 1e6:.3f}" for iteration in iterations]


PARTS = {"gradients": of_gradients, "authors": of_authors, "all cases": of_all_cases}
MARKED = re.compile(rf"(<!-- simulation: ({'|'.join(PARTS)}) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, results: Sequence[Result]) -> str:
    """A page with the tables between ``<!-- simulation: NAME -->`` and ``<!-- end -->`` made anew, see :data:`PARTS`.

    Raises:
        ToolError: Where the page has no such lines.
    """
    made, count = MARKED.subn(lambda found: f"{found[1]}{PARTS[found[2]](results)}\n{found[3]}", text)
    if not count:
        raise ToolError(
            "--markdown: the page has none of the lines "
            + ", ".join(f"<!-- simulation: {name} -->" for name in PARTS)
            + " with a line <!-- end --> below, between which the tables go"
        )
    return made
