"""What the statistics of a comparison say, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from . import statistics
from .results import METRICS, Results, Run
from .statistics import ALPHA, CONFIDENCE, POWER, Verdict

LABELS = dict(zip(METRICS, ("AP", "AP50", "AP75", "AP90", "AP small", "AP medium", "AP large"), strict=True))
NONE = "none"


def label(metric: str) -> str:
    """Return how a metric is called."""
    return LABELS.get(metric, metric)


def number(value: float | None, digits: int = 3) -> str:
    """Return a value of AP, a word where there is none."""
    return NONE if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """Return a difference with its sign; 0 has none."""
    if value is None:
        return NONE
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return an interval of differences."""
    return NONE if low is None or high is None else f"{bound(low, digits)} to {bound(high, digits)}"


def bound(value: float, digits: int) -> str:
    """Return an end of an interval, with another digit where its sign would be lost."""
    return signed(value, digits + (value != 0 and round(value, digits) == 0))


def amount(value: float | None) -> str:
    """Return the size of a difference, 0.011 or 0.0042, a word where there is none."""
    if value is None:
        return NONE
    return f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def p_value(value: float | None) -> str:
    """Return a p-value with two digits, words where there was no test."""
    return "no test" if value is None else f"{value:.2g}"


def percent(share: float) -> str:
    """Return a share: 95 %."""
    return f"{100 * share:.0f} %"


def counted(count: int, name: str) -> str:
    """Return a number of things: 1 seed, 2 seeds."""
    return f"{count} {name}{'' if count == 1 else 's'}"


def listed(items: Sequence[object]) -> str:
    """Return a list in words: 0, 1 and 2."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def verdict(results: Results, found: Verdict) -> str:
    """Return what can be said of a variant, in a few sentences."""
    settings, paired = results.settings, found.paired
    name, base, unit = found.variant, settings.baseline, label(settings.metric)
    mean, pairs = paired.summary.mean, len(paired.values)
    if mean is None:
        return f"{name}: nothing can be said, since no seed has {unit} of both {name} and {base}."
    if pairs == 1:
        return (
            f"{name}: {signed(mean)} {unit} with the one seed, {paired.seeds[0]}. Whether this is more than chance "
            "cannot be said from one seed; neither can how large a difference would have to be."
        )
    if paired.constant:
        return constant(found, unit)
    between = f"{percent(CONFIDENCE)} interval {interval(paired.low, paired.high)}"
    if found.corrected is None:
        text = (
            f"{name}: {signed(mean)} {unit}, {between}. {pairs} pairs of runs cannot reach p = {ALPHA} "
            f"({found.best:.4g} at best, corrected for the number of variants), so this is no test."
        )
        return text if pairs < statistics.FEW else f"{text} {needed(found)}"
    if found.seen:
        return (
            f"{name}: {'better' if mean > 0 else 'worse'} by {amount(abs(mean))} {unit}, {between}, "
            f"p = {p_value(found.corrected)} corrected for the number of variants."
        )
    text = f"{name}: no difference can be seen with these seeds"
    if found.detectable is not None:
        text += f"; one of {amount(found.detectable)} {unit} would have been, with a probability of {percent(POWER)}"
    return (
        f"{text}. Observed: {signed(mean)} {unit}, {between}, p = {p_value(found.corrected)} corrected for the number "
        f"of variants. {needed(found)}"
    )


def constant(found: Verdict, unit: str) -> str:
    """Return what can be said where all differences are equal."""
    mean, pairs = found.paired.summary.mean or 0.0, len(found.paired.values)
    if abs(mean) <= statistics.SAME:
        return (
            f"{found.variant}: the same {unit} as the baseline with each of {pairs} seeds. Without any spread it "
            "cannot be said which difference would have been seen; does the option reach the model?"
        )
    text = (
        f"{found.variant}: {signed(mean)} {unit} with each of {pairs} seeds. Without any spread there is no interval, "
        "and it cannot be said which difference would have been seen."
    )
    if found.corrected is not None:
        text += f" p = {p_value(found.corrected)} corrected for the number of variants."
    return text


def needed(found: Verdict) -> str:
    """Return how many seeds the observed difference needs."""
    mean, std = found.paired.summary.mean or 0.0, found.paired.summary.std or 0.0
    if abs(mean) <= statistics.SAME or std <= statistics.SAME:
        return ""
    seeds = statistics.seeds_needed(std, mean, found.variants)
    if seeds is None:
        return f"Were this the true difference, more than {statistics.MOST} seeds would be needed to see it."
    pairs = len(found.paired.values)
    more = f", {seeds - pairs} more" if seeds > pairs else ""
    return f"Were this the true difference, it would take about {seeds} seeds to see it{more}."


def absent(results: Results) -> list[str]:
    """Return a sentence about the runs that failed, and one about those that are missing."""
    said = []
    for status, text in (("failed", "failed"), ("missing", "missing")):
        runs = [run for run in results.absent() if run.status == status]
        if runs:
            said.append(f"{counted(len(runs), 'run')} {text}: {listed([named(run) for run in runs])}.")
    if said:
        said.append("A seed counts where both sides have it; means are over the complete runs.")
    return said


def named(run: Run) -> str:
    """Return a run's variant and seed, and why it failed."""
    return f"{run.variant} with seed {run.seed}" + (f" ({run.error.rstrip('.')})" if run.error else "")
