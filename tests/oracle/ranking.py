"""Ranking losses of a list of scores: one loop per positive over everything that may rank above it."""

from collections.abc import Sequence


def ramp(x: float, delta: float) -> float:
    """Stand-in of the step ``x >= 0``, linear from ``-delta`` to ``delta``."""
    if delta == 0:
        return float(x >= 0)
    return min(max(x / (2 * delta) + 0.5, 0.0), 1.0)


def average_precision(
    score: Sequence[float], target: Sequence[float], delta: float = 1.0
) -> tuple[list[float], list[list[float]]]:
    """AP-Loss (1904.06373): error ``1 - precision`` of each entry, and row i, what error i assigns as gradient.

    Precision is interpolated: that of a positive is the best among the positives that score no higher.
    """
    n = len(score)
    positives = [i for i in range(n) if target[i] > 0]
    negatives = [j for j in range(n) if target[j] == 0]
    errors, gradients = [0.0] * n, [[0.0] * n for _ in range(n)]

    def counts(i: int) -> tuple[float, float]:
        above = 1 + sum(ramp(score[j] - score[i], delta) for j in positives if j != i)
        return above, sum(ramp(score[j] - score[i], delta) for j in negatives)

    for i in positives:
        false = counts(i)[1]
        precision = max(a / (a + b) for a, b in (counts(k) for k in positives if score[k] <= score[i]))
        errors[i] = 1 - precision
        if false > 0:
            gradients[i][i] = -errors[i]
            for j in negatives:
                gradients[i][j] = errors[i] * ramp(score[j] - score[i], delta) / false
    return errors, gradients


def rank_sort(
    score: Sequence[float], quality: Sequence[float], delta: float = 0.5
) -> tuple[list[float], list[float], list[list[float]]]:
    """Rank & Sort Loss (2107.11669): ranking and sorting error of each entry, and row i, what both assign."""
    n = len(score)
    positives = [i for i in range(n) if quality[i] > 0]
    negatives = [j for j in range(n) if quality[j] == 0]
    ranking, sorting, gradients = [0.0] * n, [0.0] * n, [[0.0] * n for _ in range(n)]
    for i in positives:
        above = {j: ramp(score[j] - score[i], delta) for j in positives}
        false = {j: ramp(score[j] - score[i], delta) for j in negatives}
        rank, wrong = sum(above.values()), sum(false.values())
        ranking[i] = wrong / (rank + wrong)
        if wrong > 0:
            gradients[i][i] -= ranking[i]
            for j in negatives:
                gradients[i][j] += ranking[i] * false[j] / wrong

        better = [j for j in positives if quality[j] >= quality[i]]
        worse = [j for j in positives if quality[j] < quality[i]]
        current = sum(above[j] * (1 - quality[j]) for j in positives) / rank
        wanted = sum(above[j] * (1 - quality[j]) for j in better) / sum(above[j] for j in better)
        sorting[i] = current - wanted
        blame = sum(above[j] for j in worse)
        if blame > 1e-10:
            gradients[i][i] -= sorting[i]
            for j in worse:
                gradients[i][j] += sorting[i] * above[j] / blame
    return ranking, sorting, gradients
