"""What a report says, before it is a page or a text: sections of sentences, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from . import statistics, words
from .results import KINDS, METRICS, Results, Run
from .statistics import ALPHA, CONFIDENCE, FEW, MANY, POWER, Paired, Pick, Summary, Verdict

LONG = 40
"""Letters from which on a cell of words may have several lines."""
SHORT = 18
"""Letters up to which a first cell is one line."""
ASKED = (0.002, 0.005, 0.01, 0.02)
"""Differences whose number of seeds is said."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        head: Names of the columns.
        rows: Cells as text.
        texts: Columns of words, which begin at the left as the first one does; the others are numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[int] = ()

    def style(self, column: int, cell: str) -> str:
        """Return the classes of a cell on the page."""
        if column in self.texts:
            return "text long" if len(cell) > LONG else "text"
        return "name" if column == 0 and len(cell) > SHORT else ""


@dataclass(frozen=True)
class Plot:
    """A plot of ``figures.FIGURES``, and what it shows."""

    name: str
    caption: str


Part = str | list[str] | Table | Plot
"""A paragraph, a list of sentences, a table or a plot."""


@dataclass
class Section:
    """Parts under a heading; what is long is folded on the page."""

    title: str
    parts: list[Part] = field(default_factory=list)
    folded: bool = False


def sections(results: Results) -> list[Section]:
    """Return all that is said of a comparison."""
    verdicts = statistics.judge(results)
    made = [
        opening(results),
        findings(results, verdicts),
        leaderboard(results),
        differences(results, verdicts),
        more_seeds(results, verdicts),
        curves(results),
        kinds(results),
        classes(results),
        cost(results),
        variants(results),
        runs(results),
        methods(results),
    ]
    return [section for section in made if section.parts]


def spread(value: Summary, digits: int = 3) -> str:
    """Return a mean and its standard deviation."""
    if value.mean is None:
        return words.NONE
    return f"{value.mean:.{digits}f}" + ("" if value.std is None else f" ± {value.std:.{digits}f}")


def over(results: Results, variant: str, pick: Pick) -> Summary:
    """Return the summary of a value over the complete runs of a variant."""
    return statistics.summary([pick(run) for run in results.done(variant).values()])


def ranked(results: Results) -> list[str]:
    """Return the variants, that of the highest mean first."""
    pick = statistics.metric_of(results.settings.metric)
    means = {name: over(results, name, pick).mean for name in results.variants}
    order = {name: -1.0 if mean is None else mean for name, mean in means.items()}
    return sorted(order, key=order.__getitem__, reverse=True)


def opening(results: Results) -> Section:
    """What was compared."""
    settings = results.settings
    seeds = settings.seeds
    facts = [
        f"Config: {settings.config}",
        f"Baseline: {settings.baseline}",
        f"Variants: {', '.join(results.others) or 'none beside the baseline'}",
        f"{words.counted(len(seeds), 'seed')}: {', '.join(map(str, seeds)) or 'none'}, the same for each variant",
        f"Compared by: {words.label(settings.metric)} on the validation images after the last epoch, 0 to 1",
    ]
    if settings.cfg_options:
        facts.append(f"Options of all: {options(settings.cfg_options)}")
    return Section("What was compared", [facts, *words.absent(results)])


def options(content: dict[str, Any]) -> str:
    """Return options as one writes them on the command line."""
    return ", ".join(f"{key}={value}" for key, value in content.items()) or "as the config has it"


def findings(results: Results, verdicts: Sequence[Verdict]) -> Section:
    """The plain words."""
    said = [words.verdict(results, found) for found in verdicts]
    said += [warning for warning in (unequal(results, "versions"), unequal(results, "commit")) if warning]
    return Section("What the runs say", [statistics.before(len(results.settings.seeds), len(verdicts)), said])


def unequal(results: Results, name: str) -> str:
    """Return a warning where the runs differ in what all should share."""
    kept = {str(getattr(run, name)) for run in results.runs if run.status == "done" and getattr(run, name)}
    what = {"versions": "versions of packages", "commit": "commits"}[name]
    return f"Not all runs are of the same {what}: see the runs below." if len(kept) > 1 else ""


def leaderboard(results: Results) -> Section:
    """AP of each variant."""
    rows = []
    for name in ranked(results):
        values = [spread(over(results, name, statistics.metric_of(metric))) for metric in METRICS]
        mark = " (baseline)" if name == results.settings.baseline else ""
        rows.append([name + mark, str(len(results.done(name))), *values])
    return Section(
        "Leaderboard",
        [
            "Mean and standard deviation over the seeds. Where no object has that size, AP is none.",
            Table(["variant", "runs", *map(words.label, METRICS)], rows),
        ],
    )


def differences(results: Results, verdicts: Sequence[Verdict]) -> Section:
    """The paired differences."""
    if not verdicts:
        return Section("")
    settings, share = results.settings, words.percent(CONFIDENCE)
    unit = words.label(settings.metric)
    rows = [
        [
            found.variant,
            f"{len(found.paired.values)} of {len(settings.seeds)}",
            words.signed(found.paired.summary.mean),
            words.interval(found.paired.low, found.paired.high),
            words.number(found.paired.summary.std, 4),
            words.p_value(found.p),
            words.p_value(found.corrected),
            detectable(found),
        ]
        for found in verdicts
    ]
    head = ["variant", "pairs", f"difference in {unit}", f"{share} interval", "std. dev.", "p", "p, corrected"]
    others = [metric for metric in METRICS if metric != settings.metric]
    rest = [[found.variant, *(half(results, found.variant, metric) for metric in others)] for found in verdicts]
    return Section(
        f"Paired differences to {settings.baseline}",
        [
            Plot(
                "differences",
                f"Variant minus {settings.baseline}, seed by seed: circles are seeds, diamonds their mean with its "
                f"{share} interval; filled where the test finds a difference.",
            ),
            Table([*head, f"seen at {words.percent(POWER)}"], rows),
            f"The last column is the difference in {unit} that would have been seen with a probability of "
            f"{words.percent(POWER)}. Intervals are those of one variant by itself.",
            f"The same differences by other measures, mean and {share} interval. They are not tested.",
            Table(["variant", *map(words.label, others)], rest),
        ],
    )


def detectable(found: Verdict) -> str:
    """Return the difference that would have been seen."""
    if found.corrected is None:
        return "no test"
    return words.amount(found.detectable)


def half(results: Results, variant: str, metric: str) -> str:
    """Return the mean difference by a metric and half the width of its interval."""
    paired = statistics.pair(results, variant, statistics.metric_of(metric))
    mean = words.signed(paired.summary.mean)
    return mean if paired.low is None or paired.high is None else f"{mean} ± {(paired.high - paired.low) / 2:.4f}"


def more_seeds(results: Results, verdicts: Sequence[Verdict]) -> Section:
    """How many seeds a difference needs."""
    rows = []
    for found in verdicts:
        std, pairs = found.paired.summary.std, len(found.paired.values)
        if std is None or pairs < FEW or found.paired.constant:
            continue
        counts = [statistics.seeds_needed(std, difference, len(verdicts)) for difference in ASKED]
        rows.append([found.variant, *(f"over {statistics.MOST}" if count is None else str(count) for count in counts)])
    if not rows:
        return Section("")
    unit = words.label(results.settings.metric)
    return Section(
        "Seeds that a difference needs",
        [
            f"Seeds in all, so that a difference in {unit} is seen with a probability of {words.percent(POWER)}. They "
            "follow from the spread, which few seeds tell only roughly.",
            Table(["variant", *(f"{difference:g}" for difference in ASKED)], rows),
        ],
    )


def curves(results: Results) -> Section:
    """The learning curves."""
    metric = results.settings.metric
    points = {name: statistics.curve(results, name, metric) for name in results.variants}
    epochs = sorted({epoch for of in points.values() for epoch in of})
    if not epochs:
        return Section("")
    rows = [
        [f"{epoch:g}", *(spread(of[epoch]) if epoch in of else words.NONE for of in points.values())]
        for epoch in epochs
    ]
    unit = words.label(metric)
    return Section(
        "Learning curves",
        [
            Plot("curves", f"Mean {unit} after each evaluation; the bands are one standard deviation over the seeds."),
            Table(["epoch", *points], rows),
        ],
    )


def kinds(results: Results) -> Section:
    """The kinds of error."""
    if not any(run.errors for name in results.variants for run in results.done(name).values()):
        return Section("")
    values, changes = [], []
    for name in results.variants:
        picks = [error_of(kind) for kind in KINDS]
        values.append([name, *(spread(over(results, name, pick)) for pick in picks)])
        if name in results.others:
            changes.append([name, *(change(results, name, pick) for pick in picks)])
    parts: list[Part] = [
        "What AP50 would gain, 0 to 1, where all errors of a kind were put right (TIDE's dAP): the right box in the "
        "wrong class; the right class with an IoU of 0.1 to 0.5; both wrong; a second box of a found object; no object "
        "there; an object that no box comes near. Gains do not add up. Mean and standard deviation over the seeds.",
        Plot("kinds", "dAP of each kind of error, lower is better; the lines are one standard deviation."),
        Table(["variant", *KINDS], values),
    ]
    if changes:
        share = words.percent(CONFIDENCE)
        parts += [
            f"Paired differences to {results.settings.baseline} with their {share} interval, not tested; less than 0 "
            "is an improvement.",
            Table(["variant", *KINDS], changes),
        ]
    return Section("Kinds of error", parts)


def error_of(kind: str) -> Pick:
    """Return what picks the dAP of a kind of error."""
    return lambda run: run.errors.get(kind)


def change(results: Results, variant: str, pick: Pick) -> str:
    """Return the paired difference of a variant and its interval."""
    return difference(statistics.pair(results, variant, pick))


def difference(paired: Paired, digits: int = 4) -> str:
    """Return a mean difference and its interval."""
    mean = words.signed(paired.summary.mean, digits)
    return mean if paired.low is None else f"{mean} ({words.interval(paired.low, paired.high, digits)})"


def classes(results: Results) -> Section:
    """AP of each class."""
    names = list(dict.fromkeys(key for run in results.runs if run.status == "done" for key in run.per_class))
    if not names:
        return Section("")
    rows = [[name, *(spread(over(results, variant, class_of(name))) for variant in results.variants)] for name in names]
    return Section(
        "AP by class",
        ["Mean and standard deviation over the seeds.", Table(["class", *results.variants], rows)],
        folded=len(names) > 20,
    )


def class_of(name: str) -> Pick:
    """Return what picks the AP of a class."""
    return lambda run: run.per_class.get(name)


def cost(results: Results) -> Section:
    """Time and memory."""
    if not any(run.seconds for run in results.runs):
        return Section("")
    base = over(results, results.settings.baseline, lambda run: run.seconds).mean
    rows = []
    for name in results.variants:
        seconds, memory = (over(results, name, pick) for pick in (lambda run: run.seconds, peak))
        ratio = f"{seconds.mean / base:.2f}" if seconds.mean is not None and base else words.NONE
        rows.append([name, spread(seconds, 1), ratio, spread(memory, 0)])
    return Section(
        "Time and memory",
        [
            "Of a training, mean and standard deviation over the seeds. Times tell something where the runs had the "
            "machine to themselves.",
            Table(["variant", "seconds", f"times {results.settings.baseline}", "largest memory in MiB"], rows),
        ],
    )


def peak(run: Run) -> float | None:
    """Return the largest memory of a run."""
    return run.peak_memory_mb


def variants(results: Results) -> Section:
    """The options of each variant."""
    rows = [[name, options(content)] for name, content in results.variants.items()]
    return Section("Options of the variants", [Table(["variant", "options of the config"], rows, texts=[1])])


def runs(results: Results) -> Section:
    """Every run."""
    metric = results.settings.metric
    rows = []
    packages: dict[str, dict[str, int]] = {}
    for name in results.variants:
        for seed in results.settings.seeds:
            run = results.run(name, seed)
            value = words.number(run.metrics.get(metric)) if run.status == "done" else words.NONE
            seconds = words.NONE if run.seconds is None else f"{run.seconds:.1f}"
            memory = words.NONE if run.peak_memory_mb is None else f"{run.peak_memory_mb:.0f}"
            state = f"{run.status}: {run.error}" if run.error else run.status
            origin = [run.short_commit or words.NONE, run.config_sha256[:12] or words.NONE]
            rows.append([name, str(seed), value, seconds, memory, *origin, state])
            for package, number in run.versions.items():
                packages.setdefault(package, {}).setdefault(number, 0)
                packages[package][number] += 1
    head = ["variant", "seed", words.label(metric), "seconds", "MiB", "commit", "config (SHA-256)", "state"]
    parts: list[Part] = [Table(head, rows, texts=[5, 6, 7])]
    if packages:
        listed = [
            [package, ", ".join(f"{number} ({words.counted(count, 'run')})" for number, count in numbers.items())]
            for package, numbers in packages.items()
        ]
        parts.append(Table(["package", "version"], listed, texts=[1]))
    return Section("Runs", parts, folded=True)


def methods(results: Results) -> Section:
    """How the figures were computed."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("scipy", "statsmodels"))
    count = len(results.others)
    return Section(
        "How this was computed",
        [
            [
                "A variant's difference to the baseline is taken seed by seed, over the seeds that both have.",
                f"Interval: {words.percent(CONFIDENCE)}, of Student's t for the mean of the paired differences, "
                "which takes them to be normally distributed.",
                "Test: the mean of the paired differences against all changes of their signs, two-sided, exact up to "
                f"{statistics.EXACT} seeds, above with {2**statistics.EXACT} drawn ones "
                "(scipy.stats.permutation_test). Corrected after Holm for "
                f"{words.counted(count, 'variant')}, and called a test only where its number of pairs can reach "
                f"{ALPHA} after correction.",
                f"What would have been seen, and the seeds that are needed: power of the paired t test, two-sided at "
                f"{ALPHA} over the number of variants, with the measured standard deviation of the differences. With "
                f"so few seeds that fewer than {2 * MANY} changes of signs count, power of the exact test itself: of "
                "drawn differences that are normally distributed.",
                "Kinds of error: TIDE, Bolya et al. 2020 (arXiv 2008.08115), with IoU thresholds of 0.5 and 0.1.",
                f"Computed with {versions}.",
            ]
        ],
    )
