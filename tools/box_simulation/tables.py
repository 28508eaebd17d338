"""Results as a table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

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
