"""Short tables and pictures of comparisons, for a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tool_runtime.errors import ToolError

from . import statistics, words
from .document import Table, difference, over, ranked, spread
from .markdown import table
from .results import AP90, METRICS, Results
from .statistics import CONFIDENCE, POWER, Verdict

MARKED = re.compile(
    r"(<!-- evidence: ([\w-]+(?: \+ [\w-]+)*)( by size)?(?:: ([^>]+))? -->\n).*?(<!-- end -->)", re.DOTALL
)
"""The name of a comparison, and pairs of its variants where these are asked for: ``CIoU - DIoU; EIoU - CIoU``; or names
of several, ``stock-ATSS + stock-GFL``, each of which has one variant beside its baseline."""
LEVELS = METRICS[:4]
"""AP, and AP at three IoUs."""
SIZES = (METRICS[0], *METRICS[4:])
"""AP, and AP of three sizes."""
DIGITS = 3
NOTHING = statistics.summary([])
BLUE, GREY = "#0072b2", "#777777"
Row = tuple[str, Results, str]
"""A label, and the variant of a comparison that is compared with its baseline."""


def filled(text: str, found: dict[str, Results]) -> str:
    """Return a page with what stands between ``<!-- evidence: NAME -->`` and ``<!-- end -->`` made anew.

    Raises:
        ToolError: Where there is no such comparison, or no such variant.
    """

    def made(place: re.Match[str]) -> str:
        names = place[2].split(" + ")
        for name in names:
            if name not in found:
                raise ToolError(f"evidence: {name}: there is no such comparison, only {', '.join(found)}")
        results = found[names[0]]
        pairs = [tuple(pair.strip().split(" - ")) for pair in (place[4] or "").split(";") if pair.strip()]
        if pairs:
            text = table(differences("pair", of_pairs(results, pairs), SIZES if place[3] else LEVELS))
        elif len(names) > 1:
            text = "\n\n".join(
                [table(side_by_side(names, found)), *(f"{group(name)[1]}: {cost(found[name])}" for name in names)]
            )
        else:
            text = f"{table(short(results))}\n\n{cost(results)}"
        return f"{place[1]}{text}\n{place[5]}"

    return MARKED.sub(made, text)


def of_pairs(results: Results, pairs: Sequence[tuple[str, ...]]) -> list[Row]:
    """Return pairs of variants, the second of each as the baseline.

    Raises:
        ToolError: Where a pair is not of two variants.
    """
    rows = []
    for pair in pairs:
        if len(pair) != 2 or not set(pair) <= set(results.variants):
            names = ", ".join(results.variants)
            raise ToolError(f"evidence: pair {' - '.join(pair)}: expected A - B of the variants {names}")
        against = replace(results, settings=replace(results.settings, baseline=pair[1]))
        rows.append((" - ".join(pair), against, pair[0]))
    return rows


def group(name: str) -> tuple[str, str]:
    """Return what a comparison's name says before and after its first hyphen: ``stock-ATSS`` is ATSS, one of stock."""
    first, _, last = name.partition("-")
    return first, last or first


def of_group(names: Sequence[str], found: dict[str, Results]) -> list[Row]:
    """Return comparisons, each of which has one variant beside its baseline.

    Raises:
        ToolError: Where one has none or several.
    """
    for name in names:
        if len(found[name].others) != 1:
            raise ToolError(f"evidence: {name}: expected one variant beside the baseline, got {found[name].others}")
    return [(group(name)[1], found[name], found[name].others[0]) for name in names]


def judged(rows: Sequence[Row], metric: str = METRICS[0]) -> list[Verdict]:
    """Return what can be said of variants that are tested together."""
    pick = statistics.metric_of(metric)
    return statistics.verdicts({label: statistics.pair(results, variant, pick) for label, results, variant in rows})


def differences(what: str, rows: Sequence[Row], levels: Sequence[str] = LEVELS) -> Table:
    """Return the differences of variants to their baselines, tested by AP and corrected for their number.

    Args:
        what: What the labels are.
        rows: The variants.
        levels: The metrics, the first of which is tested.
    """
    cells = []
    for (label, results, variant), found in zip(rows, judged(rows, levels[0]), strict=True):
        paired = [statistics.pair(results, variant, statistics.metric_of(level)) for level in levels]
        cells.append([label, *(difference(each, DIGITS) for each in paired), words.p_value(found.corrected)])
    share = words.percent(CONFIDENCE)
    head = [what, *(f"{words.label(level)} ({share})" for level in levels), f"p of {words.label(levels[0])}, corrected"]
    return Table(head, cells)


def side_by_side(names: Sequence[str], found: dict[str, Results]) -> Table:
    """Return both sides of comparisons of one variant each, and their differences."""
    rows = of_group(names, found)
    _, first, variant = rows[0]
    pick, label = statistics.metric_of(METRICS[0]), words.label(METRICS[0])
    right = differences("detector", rows)
    head = [right.head[0], f"{label}, {first.settings.baseline}", f"{label}, {variant}"]
    head += [*(f"difference of {name}" for name in right.head[1:-1]), right.head[-1], f"seen at {words.percent(POWER)}"]
    cells = []
    for (_, each, other), verdict, row in zip(rows, judged(rows), right.rows, strict=True):
        sides = [spread(over(each, name, pick)) for name in (each.settings.baseline, other)]
        cells.append([row[0], *sides, *row[1:], words.amount(verdict.detectable)])
    return Table(head, cells)


def short(results: Results) -> Table:
    """Return means with their spread, half-way too, and what the paired differences allow to say."""
    settings = results.settings
    metric = settings.metric
    verdicts = {found.variant: found for found in statistics.judge(results)}
    epoch = half_way(results)
    half = f"{words.label(metric)} after epoch {epoch:g}" if epoch else ""
    rows = []
    for name in ranked(results):
        values = [spread(over(results, name, statistics.metric_of(level))) for level in LEVELS]
        early = [spread(statistics.curve(results, name, metric).get(epoch, NOTHING))] if epoch else []
        rows.append([name, *early, *values, *said(verdicts.get(name))])
    share = words.percent(CONFIDENCE)
    head = ["variant", *([half] if epoch else []), *map(words.label, LEVELS)]
    head += [f"{words.label(metric)}, difference to {settings.baseline} ({share})"]
    return Table([*head, "p, corrected", f"seen at {words.percent(POWER)}"], rows)


def said(found: Verdict | None) -> list[str]:
    """Return the difference with its interval, the p-value, and what would have been seen."""
    if found is None:
        return ["baseline", "", ""]
    return [difference(found.paired, DIGITS), words.p_value(found.corrected), words.amount(found.detectable)]


def half_way(results: Results) -> float | None:
    """Return the epoch of the evaluation nearest to half of the training, None where there is but one."""
    points = [set(statistics.curve(results, name, results.settings.metric)) for name in results.variants]
    shared = sorted(set.intersection(*filter(None, points))) if any(points) else []
    return min(shared[:-1], key=lambda epoch: abs(epoch - shared[-1] / 2)) if len(shared) > 1 else None


def cost(results: Results) -> str:
    """Return how many runs there are, and what they took."""
    done = [run for name in results.variants for run in results.done(name).values()]
    seconds = [run.seconds for run in done if run.seconds is not None]
    commits = sorted({run.short_commit for run in done})
    text = f"{words.counted(len(done), 'run')} with {words.counted(len(results.settings.seeds), 'seed')}"
    if absent := len(results.absent()):
        text += f", {absent} missing"
    if seconds:
        text += f"; {sum(seconds) / len(seconds):.0f} s each, {sum(seconds) / 3600:.1f} hours of a core"
    return f"{text}; commit {', '.join(commits)}."


def picture(rows: Sequence[Row]) -> Figure:
    """Draw the paired differences of variants to baselines of one name, by AP and by AP at an IoU of 0.9."""
    baseline = rows[0][1].settings.baseline
    figure = Figure(figsize=(8.0, 0.9 + 0.36 * len(rows)), layout="constrained")
    for axis, metric in zip(figure.subplots(1, 2, sharey=True), (METRICS[0], AP90), strict=True):
        tested = metric == METRICS[0]
        for place, found in enumerate(judged(rows, metric)):
            draw(axis, found.paired, place, tested and found.seen)
        axis.axvline(0, color="black", linewidth=1, linestyle="--")
        axis.set_xlabel(f"{words.label(metric)} minus that of {baseline}{'' if tested else ', not tested'}")
        axis.locator_params(axis="x", nbins=6)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    figure.axes[0].set_yticks(range(len(rows)), [label for label, _, _ in rows])
    figure.axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def of_one(results: Results) -> Figure:
    """Draw the variants of a comparison, the best first."""
    rows = [(name, results, name) for name in ranked(results) if name != results.settings.baseline]
    return picture(rows)


def draw(axis: Axes, paired: statistics.Paired, place: int, seen: bool) -> None:
    """Draw a variant: a ring for each seed, and the mean with its interval; filled where the test sees it."""
    axis.plot(paired.values, [place + 0.22] * len(paired.values), "o", mfc="none", mec=GREY, markersize=4)
    mean = paired.summary.mean
    if mean is None:
        return
    reach = None if paired.high is None else [[mean - (paired.low or 0.0)], [paired.high - mean]]
    axis.errorbar(
        [mean],
        [place - 0.12],
        xerr=reach,
        fmt="D",
        color=BLUE,
        mfc=BLUE if seen else "white",
        capsize=3,
        linewidth=1.5,
        markersize=6,
    )


def write(found: dict[str, Results], pages: Sequence[Path], pictures: Path) -> list[Path]:
    """Fill pages, and draw a picture of each comparison that one of them shows.

    Args:
        found: Comparisons by name.
        pages: Whose marked parts are made anew.
        pictures: Where ``evidence-NAME.png`` goes.
    """
    written = []
    shown = ""
    for page in pages:
        text = filled(page.read_text(encoding="utf-8"), found)
        page.write_text(text, encoding="utf-8")
        written.append(page)
        shown += text
    for name, figure in pictures_of(shown, found).items():
        file = pictures / f"evidence-{name}.png"
        figure.savefig(file, dpi=120, metadata={"Software": None})
        written.append(file)
    return written


def pictures_of(shown: str, found: dict[str, Results]) -> dict[str, Figure]:
    """Return the pictures that pages show, by the names of the comparisons or of the groups of them."""
    made = {}
    for place in MARKED.finditer(shown):
        names = place[2].split(" + ")
        name = names[0] if len(names) == 1 else group(names[0])[0]
        if f"(evidence-{name}.png)" in shown and name not in made:
            made[name] = of_one(found[name]) if len(names) == 1 else picture(of_group(names, found))
    return made
