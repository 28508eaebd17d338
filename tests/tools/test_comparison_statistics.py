"""What the statistics of a comparison say, against sums by hand, an enumeration of signs and statsmodels."""

from __future__ import annotations

import math
import random
from itertools import product
from statistics import NormalDist, mean, stdev

import pytest
from comparison import statistics, words
from comparison.results import METRICS, Results, Run
from comparison.statistics import Verdict
from comparison_world import BASE, NOISE, plus, results, run
from scipy.stats import t, ttest_rel
from statsmodels.stats.power import TTestPower


def signs(values: list[float]) -> float:
    """The share of all changes of signs whose mean is as far from 0."""
    seen = abs(sum(values)) - 1e-12
    changed = [
        abs(sum(sign * value for sign, value in zip(turned, values, strict=True))) >= seen
        for turned in product((1, -1), repeat=len(values))
    ]
    return sum(changed) / len(changed)


def only(found: Results) -> Verdict:
    """The verdict of the one variant."""
    (verdict,) = statistics.judge(found)
    return verdict


def said(found: Results) -> str:
    """The words of the one variant."""
    return words.verdict(found, only(found))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.02 + value for value in NOISE], id="an effect"),
        pytest.param(list(NOISE), id="none"),
        pytest.param([0.01, 0.01, 0.0, 0.0, -0.01, 0.01, 0.02], id="ties and zeros"),
        pytest.param([0.003] * 6, id="no spread"),
        pytest.param([0.0] * 6, id="nothing"),
        pytest.param([0.523 - 0.516, 0.516 - 0.523, 0.530 - 0.523, 0.1], id="ties but for rounding"),
    ],
)
def test_the_test_counts_changes_of_signs(values: list[float]) -> None:
    assert statistics.exact_p(values) == pytest.approx(signs(values), abs=1e-12)


def test_above_16_seeds_signs_are_drawn_and_the_p_value_stays() -> None:
    values = [0.002 + value for value in NOISE] * 2
    p = statistics.exact_p(values)
    assert p == statistics.exact_p(values)
    # The t test is near for so many values: the drawn share is off by 0.001 or so.
    assert p == pytest.approx(ttest_rel(values, [0.0] * 20).pvalue, abs=0.005)
    assert statistics.exact_p([0.1 + value for value in values]) == statistics.smallest_p(20) == 2 / 65537


def test_a_known_effect_is_seen() -> None:
    found = results({"GIoULoss": BASE, "CIoULoss": plus(0.02)})
    verdict = only(found)
    assert verdict.paired.summary.mean == pytest.approx(0.02)
    reach = t.ppf(0.975, 9) * stdev(NOISE) / math.sqrt(10)
    assert (verdict.paired.low, verdict.paired.high) == pytest.approx((0.02 - reach, 0.02 + reach))
    assert verdict.p == verdict.corrected == 2 / 1024
    assert said(found) == (
        f"CIoULoss: better by 0.020 AP, 95 % interval +{0.02 - reach:.4f} to +{0.02 + reach:.4f}, p = 0.002 corrected "
        "for the number of variants."
    )
    assert "worse by 0.020 AP" in said(results({"CIoULoss": plus(0.02), "GIoULoss": BASE}))


def test_without_an_effect_the_words_say_what_would_have_been_seen() -> None:
    found = results({"GIoULoss": BASE, "CIoULoss": plus(0.001)})
    verdict = only(found)
    assert verdict.corrected == pytest.approx(signs([0.001 + value for value in NOISE]))
    assert TTestPower().power(verdict.detectable / stdev(NOISE), 10, 0.05) == pytest.approx(0.8)
    seeds = math.ceil(TTestPower().solve_power(0.001 / stdev(NOISE), alpha=0.05, power=0.8))
    text = said(found)
    assert f"no difference can be seen with these seeds; one of {verdict.detectable:.2g} AP would have been" in text
    assert f"it would take about {seeds} seeds to see it, {seeds - 10} more" in text


def test_p_values_are_corrected_after_holm() -> None:
    aps = {"base": BASE, "a": plus(0.003), "b": plus(0.002), "c": plus(0.02)}
    verdicts = {verdict.variant: verdict for verdict in statistics.judge(results(aps))}
    raw = {name: signs([effect + value for value in NOISE]) for name, effect in (("a", 0.003), ("b", 0.002))}
    raw["c"] = 2 / 1024
    assert {name: verdict.p for name, verdict in verdicts.items()} == pytest.approx(raw)
    assert raw["c"] < raw["a"] < raw["b"]
    by_hand = {"c": 3 * raw["c"], "a": 2 * raw["a"], "b": max(2 * raw["a"], raw["b"])}
    assert {name: verdict.corrected for name, verdict in verdicts.items()} == pytest.approx(by_hand)
    for verdict in verdicts.values():
        assert verdict.detectable == pytest.approx(stdev(NOISE) * statistics.detectable(1.0, 10, 3))


def test_five_seeds_are_no_test() -> None:
    found = results({"GIoULoss": BASE[:5], "CIoULoss": plus(0.02)[:5]})
    verdict = only(found)
    assert (verdict.p, verdict.corrected, verdict.best) == (None, None, 0.0625)
    assert not verdict.seen
    assert "5 pairs of runs cannot reach p = 0.05 (0.0625 at best" in said(found)
    assert "this is no test" in said(found)


def test_variants_can_make_a_test_impossible() -> None:
    aps = {"base": BASE[:6], "a": plus(0.02)[:6]}
    assert only(results(aps)).corrected == 2 / 64
    verdicts = statistics.judge(results({**aps, "b": plus(0.01)[:6]}))
    assert [(verdict.p, verdict.best) for verdict in verdicts] == [(None, 4 / 64)] * 2


def test_a_variant_with_too_few_pairs_leaves_the_others_their_test() -> None:
    failed = [Run("b", seed, "failed", "out of memory") for seed in range(6)]
    few, many = reversed(statistics.judge(results({"base": BASE, "a": plus(0.02), "b": plus(0.02)}, without=failed)))
    assert (few.p, few.corrected, few.paired.seeds) == (None, None, (6, 7, 8, 9))
    assert (many.p, many.corrected) == (2 / 1024, 2 / 1024)


def test_a_missing_run_takes_its_pair_out() -> None:
    gone = [Run("GIoULoss", 2, "missing"), Run("CIoULoss", 7, "failed", "CUDA ran out of memory.")]
    found = results({"GIoULoss": BASE, "CIoULoss": plus(0.02)}, without=gone)
    left = [0.02 + value for seed, value in enumerate(NOISE) if seed not in (2, 7)]
    verdict = only(found)
    assert verdict.paired.seeds == (0, 1, 3, 4, 5, 6, 8, 9)
    assert verdict.paired.values == pytest.approx(left)
    assert verdict.p == 2 / 256
    assert words.absent(found)[:2] == [
        "1 run failed: CIoULoss with seed 7 (CUDA ran out of memory).",
        "1 run missing: GIoULoss with seed 2.",
    ]


def test_one_seed_says_what_it_cannot_say() -> None:
    found = results({"GIoULoss": [0.5], "CIoULoss": [0.507]})
    verdict = only(found)
    assert (verdict.p, verdict.paired.low, verdict.paired.high, verdict.detectable) == (None,) * 4
    assert verdict.paired.summary.std is None
    assert "+0.0070 AP with the one seed, 0. Whether this is more than chance cannot be said" in said(found)


def test_no_pair() -> None:
    gone = [Run("CIoULoss", 0), Run("GIoULoss", 1)]
    found = results({"GIoULoss": [0.5, 0.6], "CIoULoss": [0.5, 0.6]}, without=gone)
    assert only(found).paired.values == ()
    assert "nothing can be said, since no seed has AP of both" in said(found)


def test_the_same_with_every_seed() -> None:
    found = results({"GIoULoss": BASE, "CIoULoss": BASE})
    verdict = only(found)
    assert (verdict.p, verdict.paired.low, verdict.detectable) == (1.0, None, None)
    assert "the same AP as the baseline with each of 10 seeds" in said(found)


def test_a_difference_without_spread_has_no_interval() -> None:
    found = results({"GIoULoss": BASE, "CIoULoss": [value + 0.01 for value in BASE]})
    verdict = only(found)
    assert (verdict.p, verdict.paired.low, verdict.detectable) == (2 / 1024, None, None)
    assert "+0.0100 AP with each of 10 seeds. Without any spread there is no interval" in said(found)


@pytest.mark.parametrize("nothing", [-1.0, math.nan, None, math.inf])
def test_an_ap_that_does_not_exist_is_never_averaged(nothing: float | None) -> None:
    assert run("a", 0, nothing).metrics[METRICS[0]] is None
    found = results({"base": [*BASE[:3], nothing], "a": plus(0.01)[:4]})
    values = [entry.metrics[METRICS[0]] for entry in found.done("base").values()]
    summary = statistics.summary(values)
    assert (summary.mean, summary.std, summary.count) == (
        pytest.approx(mean(BASE[:3])),
        pytest.approx(stdev(BASE[:3])),
        3,
    )
    assert only(found).paired.seeds == (0, 1, 2)
    small = statistics.pair(found, "a", statistics.metric_of("bbox_mAP_s"))
    assert (small.values, small.summary.mean) == ((), None)


@pytest.mark.parametrize("effect", [0.0, 0.7, 1.8])
def test_with_the_fewest_seeds_all_signs_have_to_agree(effect: float) -> None:
    alike = NormalDist(effect).cdf(0) ** 6 + (1 - NormalDist(effect).cdf(0)) ** 6
    assert statistics.power(effect, 6, 0.05) == pytest.approx(alike)
    assert statistics.power(effect, 5, 0.05) == 0


def test_where_two_changes_of_signs_count_the_smallest_difference_may_disagree() -> None:
    # Without an effect each of the 2**9 changes of signs is as likely, and two on each side count.
    assert statistics.power(0, 9, 0.01) == pytest.approx(4 / 512)
    # 2,000 seeded draws of 9 normal values: the share of the tests that reach 0.01 passed 0.8 at 1.62.
    assert statistics.detectable(1.0, 9, 5) == pytest.approx(1.62, abs=0.02)
    assert statistics.detectable(1.0, 6) == pytest.approx(1.79, abs=0.01)


@pytest.mark.parametrize("seeds, variants", [(7, 1), (8, 2), (8, 1)])
def test_what_would_have_been_seen_is_seen_in_four_of_five_draws(seeds: int, variants: int) -> None:
    """With 3, 3 and 6 extreme changes of signs, 0.09, 0.08 and 0.04 standard deviations above the paired t test's."""
    effect = statistics.detectable(1.0, seeds, variants)
    normal = random.Random(1)
    draws = [[normal.gauss(effect, 1) for _ in range(seeds)] for _ in range(2000)]
    seen = mean(signs(values) <= 0.05 / variants for values in draws)
    assert seen == pytest.approx(0.8, abs=0.025)
    assert TTestPower().power(effect, seeds, 0.05 / variants) > 0.815


def test_with_many_extreme_changes_of_signs_the_t_test_says_what_would_be_seen() -> None:
    """From 25 on; below, the draws are within their own noise of it."""
    assert statistics.power(1.0, 10, 0.05) == pytest.approx(TTestPower().power(1.0, 10, 0.05))
    assert statistics.power(1.0, 10, 0.045) == pytest.approx(TTestPower().power(1.0, 10, 0.045), abs=0.02)
    # Of 65,536 drawn changes of signs 16 on each side count.
    assert statistics.power(0.7, 40, 0.05 / 200) == pytest.approx(TTestPower().power(0.7, 40, 0.05 / 200))


@pytest.mark.parametrize(
    "seeds, variants, text",
    [
        (5, 1, "cannot go below p = 0.0625, so it cannot reach 0.05"),
        (6, 1, "cannot go below p = 0.03125; a difference counts as seen"),
        (
            6,
            2,
            "cannot go below p = 0.0625 (0.03125 for one, times 2 after Holm's correction), so it cannot reach 0.05",
        ),
        (7, 2, "cannot go below p = 0.03125 (0.01562 for one, times 2 after Holm's correction); a difference"),
        (2, 5, "cannot go below p = 1 "),
        (1, 5, "no spread, no interval, no test. 8 seeds would allow one."),
        (10, 0, "nothing is compared"),
    ],
)
def test_before_training_it_is_said_what_the_seeds_can_reach(seeds: int, variants: int, text: str) -> None:
    assert text in statistics.before(seeds, variants)


@pytest.mark.parametrize("variants, seeds", [(1, 6), (2, 7), (5, 8), (6, 8), (7, 9), (20, 10)])
def test_the_fewest_seeds_of_a_test(variants: int, seeds: int) -> None:
    assert statistics.seeds_for_a_test(variants) == seeds
    assert variants * 2 / 2**seeds <= 0.05 < variants * 2 / 2 ** (seeds - 1)


@pytest.mark.parametrize("difference, variants", [(0.001, 1), (0.002, 3), (0.004, 5), (-0.001, 1)])
def test_seeds_that_a_difference_needs(difference: float, variants: int) -> None:
    seeds = statistics.seeds_needed(0.005, difference, variants)
    effect, alpha = abs(difference) / 0.005, 0.05 / variants
    assert seeds == math.ceil(TTestPower().solve_power(effect, alpha=alpha, power=0.8))


def test_seeds_have_a_least_and_a_largest_number() -> None:
    assert statistics.seeds_needed(0.005, 0.1) == 6
    assert statistics.seeds_needed(1e-8, 0.1, 7) == 9
    assert statistics.seeds_needed(0.005, 1e-5) is None


def test_curves_are_means_over_the_seeds_that_have_the_epoch() -> None:
    found = results({"a": [0.4, 0.6]})
    found.runs[1].curve.pop()
    points = statistics.curve(found, "a", "bbox_mAP")
    assert list(points) == [2, 4, 6]
    assert points[2].mean == pytest.approx(0.25)
    assert points[2].std == pytest.approx(stdev([0.2, 0.3]))
    assert (points[6].mean, points[6].std, points[6].count) == (pytest.approx(0.4 * 6 / 8), None, 1)


def test_an_interval_keeps_the_sign_of_its_ends() -> None:
    assert words.interval(0.0003, -0.00004, 3) == "+0.0003 to 0.0000"
    assert words.interval(-0.0123, 0.0, 3) == "-0.012 to 0.000"
