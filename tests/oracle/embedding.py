"""Losses of embeddings, in plain Python."""

from collections.abc import Sequence

from .dual import Number, exp, freeze, log1p, sqrt


def multi_pos(z: Sequence[Number], y: Sequence[int]) -> Number:
    """QDTrack (2006.06664), equation 5: ``ln(1 + sum_pos sum_neg exp(z_neg - z_pos))``."""
    positives = [x for x, label in zip(z, y, strict=True) if label >= 1]
    negatives = [x for x, label in zip(z, y, strict=True) if label == 0]
    return log1p(sum((exp(n - p) for p in positives for n in negatives), start=0.0))


def margin_l2(p: Sequence[Number], y: Sequence[float], pos: float = 0.0, neg: float = 0.0) -> list[Number]:
    """``(clamp(p - margin, 0, 1) - y)^2``."""
    moved = [x - (pos if label == 1 else neg if label == 0 else 0.0) for x, label in zip(p, y, strict=True)]
    clamped = [0.0 if x < 0 else 1.0 if x > 1 else x for x in moved]
    return [(x - label) ** 2 for x, label in zip(clamped, y, strict=True)]


def mined_l2(p: Sequence, y: Sequence, most: int, **margins: float) -> list[list[Number]]:
    """With at most ``most`` negatives per positive, those of the largest loss; the others are 0."""
    rows = [margin_l2(*row, **margins) for row in zip(p, y, strict=True)]
    negatives = [(freeze(rows[i][k]), i, k) for i, row in enumerate(y) for k, label in enumerate(row) if label == 0]
    kept = most * sum(label == 1 for row in y for label in row)
    for _, i, k in sorted(negatives, key=lambda entry: -entry[0])[kept:]:
        rows[i][k] = 0.0
    return rows


def distance(a: Sequence[Number], b: Sequence[Number]) -> Number:
    squared = sum((x - z) ** 2 for x, z in zip(a, b, strict=True))
    return sqrt(squared) if squared > 0 else 0.0


def triplets(rows: Sequence[Sequence[Number]], identity: Sequence[int], margin: float = 0.3) -> list[Number]:
    """Batch-hard triplets (1703.07737), equation 5."""
    losses = []
    for i, row in enumerate(rows):
        far = [distance(row, other) for j, other in enumerate(rows) if identity[j] == identity[i]]
        near = [distance(row, other) for j, other in enumerate(rows) if identity[j] != identity[i]]
        gap = max(far, key=freeze) - min(near, key=freeze) + margin if near else 0.0
        losses.append(gap if gap > 0 else 0.0)
    return losses
