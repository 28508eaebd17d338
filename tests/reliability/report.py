"""The table in Markdown, from the figures alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Figures = dict[str, Any]

HEAD = """\
# Reliability

Which of 33 properties hold for which losses, measured: every figure here is written by

```
tools/run python tools/reliability.py
```

and [`test_reliability.py`](../tests/contract/test_reliability.py) asserts the same in every run of the tests, of
losses that are newer than this page, too. `tools/reliability.py CIoULoss` measures one, `--scale 50` draws 50 times as
many random rows, and `--json FILE` keeps all figures.

The [objectives of grid detectors](yolo/README.md) take maps and ground truth and not rows:
[`test_yolo_contract.py`](../tests/yolo/test_yolo_contract.py) and
[`test_yolo_oracle.py`](../tests/yolo/test_yolo_oracle.py) are their suite. `TripletLoss` compares the rows of a call
with one another, and `AssociativeEmbeddingLoss` takes maps and cells: that of both is
[`test_embedding.py`](../tests/losses/test_embedding.py).
"""

LEGEND = """\
`ok` every check held; `e1` held but for the [exception](#exceptions) of that number; `t` shown by tests that the tool
ran, `(t)` by tests that it did not run; `.` does not apply; `-` not shown; `FAIL` does not hold. A loss with several
forms has to hold in all of them.
"""


PULL = """\
Of random pairs of disjoint boxes, the share in % in which a step against the gradient moves the centre of the
prediction towards the target's (within 90 degrees), leaves it, or moves it away (property 13). Then, from the start
positions of the DIoU paper's simulation (https://arxiv.org/abs/1911.08287), the share of boxes that fit after 200 steps
of gradient descent in centre, width and height (property 15). Rotated boxes begin at angles of their own, which
descend, too.
"""


def code(text: str) -> str:
    return f"`{text}`"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Columns of equal width, so that the text is legible as it is."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
    text = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [text[0], rule, *text[1:]]


def measured_cells(figures: Figures) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Loss, number, case and what was found."""
    for name, loss in figures["losses"].items():
        for number, cell in loss["cells"].items():
            for case, found in cell.items():
                yield name, number, case, found


def exceptions(figures: Figures) -> dict[tuple[str, str, str], tuple[int, list[str]]]:
    """Number of the property, loss and reason -> number of the footnote, and the cases that it is about."""
    notes: dict[tuple[str, str, str], tuple[int, list[str]]] = {}
    for name, number, case, found in sorted(measured_cells(figures), key=lambda cell: int(cell[1])):
        if found["exception"]:
            key = (number, name, found["exception"])
            notes.setdefault(key, (len(notes) + 1, []))[1].append(case)
    return notes


def wrong(found: dict[str, Any]) -> bool:
    """Whether a property fails that is no exception, or holds where it is one that has to show."""
    return bool(found["failed"]) != bool(found["exception"]) and not found["rare"]


def cell(figures: Figures, name: str, number: str, notes: dict[tuple[str, str, str], tuple[int, list[str]]]) -> str:
    loss, entry = figures["losses"][name], figures["properties"][number]
    if entry["kind"] == "not shown":
        return "-"
    if entry["kind"] == "named":
        return "(t)"
    if entry["kind"] == "tests":
        counts = loss["tests"][number]
        return "FAIL" if counts["failed"] else "t" if counts["passed"] else "-"
    found = loss["cells"].get(number)
    if not found:
        return "."
    if any(map(wrong, found.values())):
        return "FAIL"
    numbers = sorted({notes[number, name, case["exception"]][0] for case in found.values() if case["exception"]})
    return " ".join(f"e{k}" for k in numbers) or "ok"


def figure(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def percent(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.2f}"


def markdown(figures: Figures) -> str:
    losses, properties = figures["losses"], figures["properties"]
    notes = exceptions(figures)
    checks = {number: 0 for number in properties}
    worst: dict[str, tuple[float, str]] = {}
    for _, number, case, found in measured_cells(figures):
        checks[number] += found["checks"]
        if found["worst"] is not None and not found["exception"]:
            worst[number] = max(worst.get(number, (-1.0, "")), (found["worst"], case))
    tests = {
        number: sum(loss["tests"][number]["passed"] for loss in losses.values())
        for number, entry in properties.items()
        if entry["kind"] == "tests"
    }
    made = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    at = f" at commit {figures['commit']}" if figures["commit"] else ""
    lines = [
        HEAD,
        f"**{sum(checks.values()):,} checks** and {sum(tests.values()):,} tests of {len(losses)} losses in "
        f"{sum(len(loss['cases']) for loss in losses.values())} forms, scale {figures['scale']}, "
        f"{figures['date']}{at}, on a CPU in {figures['seconds']} s; {made}.",
        "",
        "## Losses and properties",
        "",
        LEGEND,
        *table(
            ("loss", *properties),
            (
                (", ".join(map(code, loss["names"])), *(cell(figures, name, number, notes) for number in properties))
                for name, loss in losses.items()
            ),
        ),
        "",
        "## Properties",
        "",
        *table(
            ("no.", "property", "holds where", "applies to", "checks", "largest error"),
            (
                property_row(number, entry, checks[number], tests.get(number), worst.get(number))
                for number, entry in properties.items()
            ),
        ),
        "",
        "Not shown here:",
        "",
        *(
            f"- {number}, {entry['title']}: {entry['why']}."
            for number, entry in properties.items()
            if entry["kind"] == "not shown"
        ),
        "",
        "## Exceptions",
        "",
        "Each is checked to be one still: a property that holds after all counts as a failure, unless the exception",
        "is rare.",
        "",
        *(
            f"- **e{k}** {number}, {properties[number]['title']}: `{name}`"
            f"{'' if len(cases) == len(losses[name]['cells'][number]) else ' (' + ', '.join(cases) + ')'}: {why}."
            for (number, name, why), (k, cases) in notes.items()
        ),
        "",
        "## Where boxes are pulled",
        "",
        PULL,
        *table(
            ("loss", "towards", "zero", "away", "IoU > 0.9", "IoU > 0.5"),
            share_rows(figures),
        ),
        "",
    ]
    return "\n".join(lines)


def property_row(
    number: str, entry: dict[str, Any], checks: int, tests: int | None, worst: tuple[float, str] | None
) -> tuple[str, ...]:
    kind = entry["kind"]
    count, error, on = "", "", entry.get("on", "every loss")
    if kind == "measured":
        count = f"{checks:,}"
        error = f"{figure(worst[0])} ({entry['unit']}; {worst[1]})" if worst and entry["unit"] else ""
    elif kind in ("tests", "named"):
        files = dict.fromkeys(test.partition("::")[0] for test in entry["tests"])
        links = ", ".join(f"[{file.rpartition('/')[2]}](../{file})" for file in files)
        count = f"{tests:,} tests" if tests is not None else ""
        on = links
    else:
        on = "not shown"
    return number, entry["title"], entry["line"], on, count, error


def share_rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    for loss in figures["losses"].values():
        for case in loss["cases"]:
            pull, descent = (loss["cells"].get(number, {}).get(case, {}).get("shares") for number in ("13", "15"))
            if pull and descent:
                shares = [*pull.values(), *descent.values()]
                yield f"`{case}`", *map(percent, shares)


def failing(figures: Figures) -> list[str]:
    """What does not hold and is no exception, or is an exception that holds."""
    found = []
    for _, number, case, cell in measured_cells(figures):
        if wrong(cell):
            what = "; ".join(cell["failures"]) or "is an exception, but holds"
            found.append(f"{number} {figures['properties'][number]['title']}, {case}: {what}")
    for name, loss in figures["losses"].items():
        for number, counts in loss["tests"].items():
            if counts["failed"]:
                found.append(f"{number} {figures['properties'][number]['title']}, {name}: {counts['failed']} tests")
    return found
