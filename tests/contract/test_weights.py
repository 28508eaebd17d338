"""Shapes of weights: those that heads pass, and an error for every other, also where sizes happen to broadcast."""

import math

import pytest
import torch
from cases import BOX_CASES, CASES, CLASSES, COORDINATE_CASES, ROTATED_CASES, over

import mmdet_losses as ml
from mmdet_losses.modules.classes.base import FocalForm

N = 7

ROW_CASES = [case for case in CASES if case.per_row]
ELEMENT_CASES = [case for case in CASES if not case.per_row]


def rising(*shape: int) -> torch.Tensor:
    """Weights that are all different, so that rows and columns cannot be mistaken for each other."""
    count = torch.Size(shape).numel()
    return torch.arange(1.0, count + 1).reshape(shape) / count


def unreduced(case, n=N):
    pred, target = case.batch(n)
    loss = case.build(reduction="none")
    return loss, pred, target, loss(pred, target)


@over(CASES)
def test_no_weight_is_weight_one(case):
    pred, target = case.batch(N)
    for call in ({}, {"reduction_override": "sum"}, {"reduction_override": "none"}, {"avg_factor": 3}):
        weighted = case.build()(pred, target, torch.ones(N), **call)
        torch.testing.assert_close(weighted, case.build()(pred, target, **call), rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [N, CLASSES, 4, 1])
@over(CASES)
def test_weight_per_row(case, n):
    """``(n,)`` is one weight per row, also when there are as many rows as classes or coordinates."""
    loss, pred, target, plain = unreduced(case, n)
    torch.testing.assert_close(
        loss(pred, target, rising(n)), plain * case.weight_like_row(rising(n)), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("n", [N, 4, 1])
@over(BOX_CASES + ROTATED_CASES)
def test_weight_of_boxes(case, n):
    loss, pred, target, plain = unreduced(case, n)
    torch.testing.assert_close(loss(pred, target, rising(n, 1)), plain * rising(n), rtol=1e-6, atol=0)
    weight = rising(n, pred.shape[1])
    torch.testing.assert_close(loss(pred, target, weight), plain * weight.mean(-1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [N, CLASSES, 4, 1])
@over(ELEMENT_CASES)
def test_weight_per_element(case, n):
    loss, pred, target, plain = unreduced(case, n)
    columns = pred.shape[1]
    for shape in ((n, columns), (n, 1), (1, columns), (1, 1)):
        weight = rising(*shape)
        torch.testing.assert_close(loss(pred, target, weight), plain * weight, rtol=1e-6, atol=0)


def test_flattened_weight_of_focal_loss():
    """FSAF passes one weight per element in one axis."""
    for case in ELEMENT_CASES:
        if not isinstance(case.build(), FocalForm):
            continue
        loss, pred, target, plain = unreduced(case)
        weight = rising(N * CLASSES)
        torch.testing.assert_close(loss(pred, target, weight), plain * weight.reshape(N, CLASSES), rtol=1e-6, atol=0)


def wrong_shapes(case, n: int) -> list[tuple[int, ...]]:
    columns = case.batch(n)[0].shape[1]
    shapes = [(), (n + 1,), (n, columns + 1), (n + 1, columns), (n, columns, 1), (1, n), (1, 1, 1)]
    if n != 1:
        shapes += [(1,), (n - 1,), (0,)]
    if columns != n:
        shapes += [(columns,), (columns, n)]
    if case.per_row and n != 1:
        shapes += [(1, 1), (1, columns), (n, 2)]
    if case.per_row and case.kind not in ("box", "rotated"):
        shapes += [(n, columns)]
    return [shape for shape in shapes if not (shape == (1, n) and not case.per_row and n in (1, columns))]


@pytest.mark.parametrize("n", [N, CLASSES, 4, 2])
@over(CASES)
def test_wrong_shape_raises(case, n):
    pred, target = case.batch(n)
    for shape in wrong_shapes(case, n):
        for reduction in ("none", "mean"):
            with pytest.raises(ValueError, match="weight") as error:
                case.build(reduction=reduction)(pred, target, torch.ones(shape))
            assert str(tuple(shape)) in str(error.value), (shape, str(error.value))


@over(CASES)
def test_weight_that_is_no_tensor_raises(case):
    pred, target = case.batch(N)
    with pytest.raises(ValueError, match="weight"):
        case.build()(pred, target, [1.0] * N)


@over(COORDINATE_CASES)
def test_three_axes(case):
    """YOLOv3 passes ``(B, N, 2)`` predictions and ``(B, N, 1)`` weights."""
    pred, target = (x.reshape(2, 3, 4) for x in case.batch(6))
    loss = case.build(reduction="none")
    plain = loss(pred, target)
    assert plain.shape == pred.shape
    for shape in ((2, 3, 1), (1, 3, 4), (2, 3, 4), (1, 1, 1)):
        torch.testing.assert_close(loss(pred, target, rising(*shape)), plain * rising(*shape), rtol=1e-6, atol=0)
    torch.testing.assert_close(loss(pred, target, rising(2)), plain * rising(2)[:, None, None], rtol=1e-6, atol=0)
    for shape in ((3,), (4,), (2, 3), (3, 4), (2, 4, 1)):
        with pytest.raises(ValueError, match="weight"):
            loss(pred, target, torch.ones(shape))


def test_three_axes_of_classification():
    """YOLOv3's class scores ``(B, N, C)`` with a mask ``(B, N, 1)``, objectness ``(B, N)`` with ``(B, N)``."""
    logits, target = torch.randn(2, 3, CLASSES), torch.rand(2, 3, CLASSES)
    loss = ml.CrossEntropyLoss(use_sigmoid=True, reduction="none")
    plain = loss(logits, target)
    assert plain.shape == logits.shape
    torch.testing.assert_close(loss(logits, target, rising(2, 3, 1)), plain * rising(2, 3, 1))
    torch.testing.assert_close(loss(logits[..., 0], target[..., 0], rising(2, 3)), plain[..., 0] * rising(2, 3))
    varifocal = ml.VarifocalLoss(reduction="none")
    torch.testing.assert_close(varifocal(logits, target, rising(2, 3, 1)), varifocal(logits, target) * rising(2, 3, 1))


def test_maps():
    """CornerNet's offsets ``(B, 2, H, W)`` with a mask ``(B, 1, H, W)``, or the same for each image."""
    pred, target = torch.randn(2, 2, 3, 5), torch.randn(2, 2, 3, 5)
    loss = ml.SmoothL1Loss(reduction="none")
    for shape in ((2, 1, 3, 5), (1, 1, 3, 5)):
        torch.testing.assert_close(loss(pred, target, rising(*shape)), loss(pred, target) * rising(*shape))
    with pytest.raises(ValueError, match="weight"):
        loss(pred, target, torch.ones(2, 3, 3, 5))


@pytest.mark.parametrize("junk", [0.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "weight",
    [
        [[2.0], [0.0], [3.0]],
        [[0.0], [2.0], [0.0]],
        [[0.0], [0.0], [0.0]],
        [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 1.0]],
        [[2.0, 0.0, 3.0]],
        [[0.0, 2.0, 0.0]],
        [[2.0]],
        [[0.0]],
    ],
)
def test_what_counts_by_hand(weight, junk):
    """Errors 1 to 9 with junk wherever a weight is 0, or a row of weights that holds for all."""
    weight = torch.tensor(weight)
    every = weight.expand(3, 3)
    pred = torch.arange(1.0, 10).reshape(3, 3)
    expected = [[w * x for w, x in zip(*rows, strict=True)] for rows in zip(every.tolist(), pred.tolist(), strict=True)]
    total = sum(map(sum, expected))
    pred = pred.masked_fill(every == 0, junk).requires_grad_()
    for reduction, avg_factor, value, share in (
        ("none", None, expected, 1),
        ("sum", None, total, 1),
        ("mean", None, total / 9, 1 / 9),
        ("mean", 4.0, total / 4, 1 / 4),
    ):
        loss = ml.L1Loss(reduction=reduction)(pred, torch.zeros(3, 3), weight, avg_factor=avg_factor)
        assert loss.tolist() == pytest.approx(value) if reduction != "none" else loss.tolist() == value
        (grad,) = torch.autograd.grad(loss.sum(), pred)
        torch.testing.assert_close(grad, every * share)
