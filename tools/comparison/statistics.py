"""What paired runs allow to say: differences with intervals, exact tests, and what a number of seeds can show.

Seeds pair the runs: a variant's difference to the baseline is taken seed by seed, so what a seed does to both of them
drops out. Only the metric of the settings is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, log2

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import ncf, norm, permutation_test, t
from statsmodels.stats.multitest import multipletests

from .results import Results, Run

ALPHA = 0.05
POWER = 0.8
CONFIDENCE = 0.95
EXACT = 16
"""Seeds up to which every change of signs is counted; above, as many are drawn."""
FEW = 3
"""Pairs from which on their spread says something."""
MOST = 10_000
"""Seeds up to which a number is said."""
MANY = 25
"""Extreme changes of signs, of two that are opposite one, from which on the power is that of the paired t test."""
DRAWN = 2**22
"""Changes of signs over all pairs that are drawn for the power with fewer, and at least 1,024 of each."""
LARGE = 10.0
"""Effects above, in standard deviations, are seen by any test."""
SAME = 1e-9
"""Values of AP that are no further apart are equal."""
Pick = Callable[[Run], "float | None"]


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of values; the mean is None without values, the deviation with less than two."""

    mean: float | None
    std: float | None
    count: int


@dataclass(frozen=True)
class Paired:
    """The differences of a variant to the baseline.

    Attributes:
        seeds: Seeds that both have a value of.
        values: Variant minus baseline, of each of these seeds.
        low, high: The interval of their mean, None with less than two or where all are equal.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None

    @property
    def summary(self) -> Summary:
        return summary(self.values)

    @property
    def constant(self) -> bool:
        """Whether there are several, all of them equal."""
        return len(self.values) > 1 and max(self.values) - min(self.values) <= SAME


@dataclass(frozen=True)
class Verdict:
    """What can be said of a variant.

    Attributes:
        variant: Its name.
        paired: Its differences to the baseline.
        p: Of the exact paired test; None where it is no test, since it could not reach ``ALPHA``.
        corrected: The same, corrected for the number of variants.
        best: The smallest ``corrected`` that its number of pairs can reach.
        detectable: The difference that would have been seen with a probability of ``POWER``, None where unknown.
        variants: Of how many variants it is one: of those with a test, where it has one.
    """

    variant: str
    paired: Paired
    p: float | None = None
    corrected: float | None = None
    best: float = 1.0
    detectable: float | None = None
    variants: int = 1

    @property
    def seen(self) -> bool:
        """Whether the test finds a difference."""
        return self.corrected is not None and self.corrected <= ALPHA


def summary(values: Sequence[float | None]) -> Summary:
    """Return mean and standard deviation of the values that exist."""
    known = [value for value in values if value is not None]
    return Summary(
        float(np.mean(known)) if known else None, float(np.std(known, ddof=1)) if len(known) > 1 else None, len(known)
    )


def metric_of(name: str) -> Pick:
    """Return what picks a metric of a run."""
    return lambda run: run.metrics.get(name)


def pair(results: Results, variant: str, pick: Pick) -> Paired:
    """Return the differences of a variant to the baseline, with the t interval of their mean.

    Args:
        results: The runs.
        variant: Name of the variant.
        pick: What is compared, None where a run does not have it.
    """
    runs, base = results.done(variant), results.done(results.settings.baseline)
    both = {seed: (pick(runs[seed]), pick(base[seed])) for seed in runs if seed in base}
    seeds = [seed for seed, (ours, theirs) in both.items() if ours is not None and theirs is not None]
    values = [both[seed][0] - both[seed][1] for seed in seeds]  # type: ignore[operator]
    paired = Paired(tuple(seeds), tuple(values))
    if len(values) < 2 or paired.constant:
        return paired
    low, high = t.interval(
        CONFIDENCE, len(values) - 1, loc=np.mean(values), scale=np.std(values, ddof=1) / len(values) ** 0.5
    )
    return Paired(paired.seeds, paired.values, float(low), float(high))


def exact_p(values: Sequence[float]) -> float:
    """Return the two-sided p-value of paired differences: where the pairs are alike, each sign was as likely."""
    return float(
        permutation_test(
            (np.asarray(values),),
            lambda sample, axis: sample.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=inf if len(values) <= EXACT else 2**EXACT,
            batch=2**12,
            random_state=0,
        ).pvalue
    )


def smallest_p(pairs: int) -> float:
    """Return the smallest p-value that the exact test can reach: one of two extreme choices of all signs."""
    return min(1.0, 2.0 ** (1 - pairs)) if pairs <= EXACT else 2 / (2**EXACT + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, after Holm."""
    return [float(p) for p in multipletests(ps, alpha=ALPHA, method="holm")[1]] if ps else []


def power(effect: float, pairs: int, alpha: float) -> float:
    """Return the probability that the exact test sees a difference, where the differences are normally distributed.

    Where many changes of signs are extreme enough, or are drawn, it is that of the paired t test, within two hundredths
    of the effect. The fewer there are, the further it is below: the share of drawn differences, and with one or two the
    exact value.

    Args:
        effect: The difference in standard deviations of the paired differences.
        pairs: Number of pairs.
        alpha: Level of the test, two-sided.
    """
    extreme = int(alpha * 2.0 ** min(pairs - 1, EXACT) + SAME)
    if extreme >= MANY or (extreme > 2 and pairs > EXACT):
        return float(ncf.sf(t.isf(alpha / 2, pairs - 1) ** 2, 1, pairs - 1, pairs * effect**2))
    if extreme > 2:
        drawn, shares = drawn_changes(pairs)
        sums = np.abs(drawn + effect * shares)
        return float(np.mean(np.sum(sums >= sums[0], axis=0) <= extreme))
    sides = (effect, -effect)
    alike = sum(norm.cdf(side) ** pairs for side in sides)
    # All signs but that of the smallest difference.
    but_one = sum(
        pairs * quad(lambda x, side=side: norm.pdf(x + side) * norm.cdf(side - x) ** (pairs - 1), 0, inf)[0]
        for side in sides
        if extreme > 1
    )
    return float(alike + but_one) if extreme else 0.0


@lru_cache(maxsize=1)
def drawn_changes(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of standard normal pairs under each change of signs, and how often an effect is in each.

    The first changes nothing. Of two that are opposite there is one.
    """
    signs = 1.0 - 2.0 * (np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs) & 1)
    draws = max(2**10, DRAWN // len(signs))
    return signs @ np.random.default_rng(0).standard_normal((pairs, draws)), signs.sum(1, keepdims=True)


def detectable(std: float, pairs: int, variants: int = 1) -> float | None:
    """Return the difference that would be seen with a probability of ``POWER``.

    Args:
        std: Standard deviation of the paired differences.
        pairs: Number of pairs.
        variants: How many variants are compared with the baseline: each at its share of ``ALPHA``.
    """
    if pairs < seeds_for_a_test(variants) or std <= SAME:
        return None
    return std * effect_seen(pairs, ALPHA / variants)


@lru_cache
def effect_seen(pairs: int, alpha: float) -> float:
    """Return the effect, in standard deviations of the paired differences, that has the power ``POWER``."""
    limit = 1.0
    while power(limit, pairs, alpha) < POWER:
        limit *= 2
    return float(brentq(lambda effect: power(effect, pairs, alpha) - POWER, 0.0, limit))


def seeds_needed(std: float, difference: float, variants: int = 1) -> int | None:
    """Return how many seeds see a difference with a probability of ``POWER``, None where more than ``MOST``.

    Args:
        std: Standard deviation of the paired differences.
        difference: The difference, not 0.
        variants: How many variants are compared with the baseline.
    """
    fewest = seeds_for_a_test(variants)
    effect, alpha = min(abs(difference) / std, LARGE), ALPHA / variants
    if power(effect, MOST, alpha) < POWER:
        return None
    low, high = fewest - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, alpha) >= POWER else (middle, high)
    return high


def seeds_for_a_test(variants: int = 1) -> int:
    """Return the number of seeds from which on the exact test can reach ``ALPHA`` after correction."""
    return ceil(1 + log2(variants / ALPHA))


def before(seeds: int, variants: int) -> str:
    """Return what a number of seeds can show at best, to be said before anything is trained.

    Args:
        seeds: Number of seeds of each variant.
        variants: Number of variants that are compared with the baseline, without it.
    """
    if variants < 1:
        return "Only the baseline is trained: its mean and spread are reported, and nothing is compared."
    allow = f"{seeds_for_a_test(variants)} seeds would allow one."
    if seeds < 2:
        return (
            "With one seed each variant's difference to the baseline is reported, but not whether it is more than "
            f"chance: no spread, no interval, no test. {allow}"
        )
    raw = smallest_p(seeds)
    best = min(1.0, variants * raw)
    text = (
        f"With {seeds} seeds and {variants} variant{'s' * (variants > 1)} beside the baseline, the exact paired test "
        f"cannot go below p = {best:.4g}"
    )
    if variants > 1:
        text += f" ({raw:.4g} for one, times {variants} after Holm's correction)"
    if best > ALPHA:
        return (
            f"{text}, so it cannot reach {ALPHA}: differences are reported with {100 * CONFIDENCE:.0f} % intervals, "
            f"and nothing is called a test. {allow}"
        )
    return f"{text}; a difference counts as seen at {ALPHA} or below."


def judge(results: Results) -> list[Verdict]:
    """Return what can be said of each variant beside the baseline."""
    pick = metric_of(results.settings.metric)
    return verdicts({variant: pair(results, variant, pick) for variant in results.others})


def verdicts(pairs: Mapping[str, Paired]) -> list[Verdict]:
    """Return what can be said of each of several differences, by name, which are tested together.

    Whether there is a test depends on the numbers of pairs alone, never on what was measured.
    """
    able = [variant for variant, paired in pairs.items() if smallest_p(len(paired.values)) <= ALPHA]
    best = dict(zip(able, holm([smallest_p(len(pairs[variant].values)) for variant in able]), strict=True))
    raw = {variant: exact_p(pairs[variant].values) for variant in able}
    corrected = dict(zip(able, holm(list(raw.values())), strict=True))
    found = []
    for variant, paired in pairs.items():
        least = best.get(variant, min(1.0, len(pairs) * smallest_p(len(paired.values))))
        tested = least <= ALPHA
        count, std = len(able) if tested else len(pairs), paired.summary.std
        found.append(
            Verdict(
                variant,
                paired,
                raw[variant] if tested else None,
                corrected[variant] if tested else None,
                least,
                detectable(std, len(paired.values), count) if tested and std is not None else None,
                count,
            )
        )
    return found


def curve(results: Results, variant: str, metric: str) -> dict[float, Summary]:
    """Return the metric after each epoch over the seeds of a variant, by epoch."""
    values: dict[float, list[float | None]] = {}
    for run in results.done(variant).values():
        for entry in run.curve:
            if entry.get(metric) is not None and entry.get("epoch") is not None:
                values.setdefault(entry["epoch"], []).append(entry[metric])  # type: ignore[arg-type]
    return {epoch: summary(values[epoch]) for epoch in sorted(values)}
