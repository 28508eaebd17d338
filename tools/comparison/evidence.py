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
from .statistics import ALPHA, CONFIDENCE, POWER, Verdict

MARKED = re.compile(r"(<!-- evidence: ([\w-]+)(?:: ([^>]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
"""The name of a comparison, and pairs of its variants where these are asked for: ``CIoU - DIoU; EIoU - CIoU``."""
LEVELS = METRICS[:4]
"""AP, and AP at three IoUs."""
DIGITS = 3
NOTHING = statistics.summary([])
BLUE, GREY = "#0072b2", "#777777"


def filled(text: str, found: dict[str, Results]) -> str:
    """Return a page with what stands between ``<!-- evidence: NAME -->`` and ``<!-- end -->`` made anew.

    Raises:
        ToolError: Where there is no such comparison, or no such variant.
    """

    def made(place: re.Match[str]) -> str:
        if place[2] not in found:
            raise ToolError(f"evidence: {place[2]}: there is no such comparison, only {', '.join(found)}")
        results = found[place[2]]
        pairs = [tuple(pair.strip().split(" - ")) for pair in (place[3] or "").split(";") if pair.strip()]
        text = table(of_pairs(results, pairs)) if pairs else f"{table(short(results))}\n\n{cost(results)}"
        return f"{place[1]}{text}\n{place[4]}"

    return MARKED.sub(made, text)


def of_pairs(results: Results, pairs: Sequence[tuple[str, ...]]) -> Table:
    """Return the differences of pairs of variants, tested by AP and corrected for their number.

    Raises:
        ToolError: Where a pair is not of two variants.
    """
    for pair in pairs:
        if len(pair) != 2 or not set(pair) <= set(results.variants):
            names = ", ".join(results.variants)
            raise ToolError(f"evidence: pair {' - '.join(pair)}: expected A - B of the variants {names}")
    against = [replace(results, settings=replace(results.settings, baseline=second)) for _, second in pairs]
    rows = []
    values = []
    for (first, second), found in zip(pairs, against, strict=True):
        paired = [statistics.pair(found, first, statistics.metric_of(level)) for level in LEVELS]
        values.append(paired[0].values)
        rows.append([f"{first} - {second}", *(difference(each, DIGITS) for each in paired)])
    ps = [statistics.exact_p(each) for each in values]
    tested = len(pairs) * max(statistics.smallest_p(len(each)) for each in values) <= ALPHA
    corrected = [words.p_value(p) if tested else "no test" for p in statistics.holm(ps)]
    share = words.percent(CONFIDENCE)
    head = ["pair", *(f"{words.label(level)} ({share})" for level in LEVELS), "p of AP, corrected"]
    return Table(head, [[*row, p] for row, p in zip(rows, corrected, strict=True)])


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
    corrected = "no test" if found.corrected is None else words.p_value(found.corrected)
    return [
        difference(found.paired, DIGITS),
        corrected,
        words.NONE if found.detectable is None else words.amount(found.detectable),
    ]


def half_way(results: Results) -> float | None:
    """Return the epoch of the evaluation nearest to half of the training, None where there is but one."""
    points = [set(statistics.curve(results, name, results.settings.metric)) for name in results.variants]
    shared = sorted(set.intersection(*filter(None, points))) if any(points) else []
    return min(shared[:-1], key=lambda epoch: abs(epoch - shared[-1] / 2)) if len(shared) > 1 else None


def cost(results: Results) -> str:
    """Return how many runs there are, and what they took."""
    done = [run for name in results.variants for run in results.done(name).values()]
    seconds = [run.seconds for run in done if run.seconds is not None]
    commits = sorted({run.commit[:12] for run in done})
    text = f"{words.counted(len(done), 'run')} with {words.counted(len(results.settings.seeds), 'seed')}"
    if absent := len(results.absent()):
        text += f", {absent} missing"
    if seconds:
        text += f"; {sum(seconds) / len(seconds):.0f} s each, {sum(seconds) / 3600:.1f} hours of a core"
    return f"{text}; commit {', '.join(commits)}."


def picture(results: Results) -> Figure:
    """Draw the paired differences by the metric that is tested, and by AP at an IoU of 0.9."""
    metrics = list(dict.fromkeys((results.settings.metric, AP90)))
    names = [name for name in ranked(results) if name != results.settings.baseline]
    figure = Figure(figsize=(8.0, 0.9 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    seen = {found.variant: found.seen for found in statistics.judge(results)}
    for axis, metric in zip(axes, metrics, strict=True):
        tested = metric == results.settings.metric
        for place, name in enumerate(names):
            draw(axis, statistics.pair(results, name, statistics.metric_of(metric)), place, tested and seen[name])
        axis.axvline(0, color="black", linewidth=1, linestyle="--")
        axis.set_xlabel(
            f"{words.label(metric)} minus that of {results.settings.baseline}{'' if tested else ', not tested'}"
        )
        axis.locator_params(axis="x", nbins=6)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


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
    for name, results in found.items():
        file = pictures / f"evidence-{name}.png"
        if f"({file.name})" in shown:
            picture(results).savefig(file, dpi=120, metadata={"Software": None})
            written.append(file)
    return written
