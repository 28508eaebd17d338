"""The geometry of pairs in eager mode, with and without its hand-written backward, against the form of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import mmdet_losses.functional as F
from mmdet_losses.functional import giou_loss, giou_terms, pair_loss
from mmdet_losses.functional.geometry import BoxPair, aspect_angle, divide, framed
from mmdet_losses.functional.pairs import AspectChange, PackedPair, ValuePair, box_pair, transposed

OUTPUTS: dict[str, Callable[[BoxPair], Sequence[Tensor]]] = {
    "pred": lambda pair: pair.pred,
    "pred_size": lambda pair: pair.pred_size,
    "union": lambda pair: (pair.union,),
    "iou": lambda pair: (pair.iou,),
    "hull": lambda pair: pair.hull(),
    "offset": lambda pair: pair.offset(),
    "intersection": lambda pair: pair.intersection_size(),
    "lengths": lambda pair: (pair.squared_offset(), pair.squared_diagonal()),
    "axes": lambda pair: (pair.total((a.size - a.target_size) * (a.offset + a.hull) for a in pair.axes),),
    "aspect": lambda pair: (pair.aspect_change(),),
    "gap": lambda pair: (pair.signed_gap(),),
}


def batch(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Pairs that overlap, match, touch, lie apart, or are degenerate or inverted."""
    draw = torch.Generator().manual_seed(0)
    low, size = torch.rand(2, 200, 2, generator=draw, dtype=torch.float64) * 20
    target = torch.cat([low, low + size], 1)
    pred = target + 3 * torch.randn(200, 4, generator=draw, dtype=torch.float64)
    pred[:20] = target[:20]
    pred[20:30, 2] = pred[20:30, 0]
    target[30:40, 3] = target[30:40, 1]
    pred[40:50] += 100
    pred[50:60, :2] = target[50:60, 2:]
    pred[60:70] = pred[60:70].roll(2, 1)
    target[65:70] = target[65:70].roll(2, 1)
    pred[70:80] = target[70:80] = 5
    return pred * scale, target * scale


def gradient(build: Callable[[Tensor, Tensor], BoxPair], names: Sequence[str], scale: float) -> Tensor:
    pred, target = batch(scale)
    pred.requires_grad_()
    pair = build(pred, target)
    values = torch.stack([value for name in names for value in OUTPUTS[name](pair)])
    slopes = torch.rand(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.autograd.grad(values, pred, slopes)[0] * pair.unit.unsqueeze(1)


def with_gradient(pred: Tensor, target: Tensor) -> BoxPair:
    return box_pair(pred.requires_grad_(), target)


def without_gradient(pred: Tensor, target: Tensor) -> BoxPair:
    with torch.no_grad():
        return box_pair(pred.requires_grad_(), target.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e10, 1e-30, 1e30])
@pytest.mark.parametrize(
    ("build", "form"), [(with_gradient, PackedPair), (without_gradient, ValuePair), (box_pair, ValuePair)]
)
def test_values_are_those_of_the_plain_form(
    build: Callable[[Tensor, Tensor], BoxPair], form: type[BoxPair], scale: float, dtype: torch.dtype
) -> None:
    ours, plain = (make(*(boxes.to(dtype) for boxes in batch(scale))) for make in (build, framed))
    assert type(ours) is form
    for name, output in OUTPUTS.items():
        for value, expected in zip(output(ours), output(plain), strict=True):
            assert torch.equal(value, expected), name
    for value, expected in zip((*ours.target, *ours.target_size), (*plain.target, *plain.target_size), strict=True):
        assert torch.equal(value, expected)
    assert torch.equal(ours.unit, plain.unit)


IOU_LOSSES = sorted(
    name
    for name in F.__all__
    if name.endswith("iou_loss") and "box" not in name and "rotated" not in getattr(F, name).__module__
)


@pytest.mark.parametrize("name", IOU_LOSSES)
def test_losses_are_the_same_without_a_gradient(name: str) -> None:
    pred, target = (boxes.float() for boxes in batch())
    loss = partial(getattr(F, name), **({"ratio": 1.4} if name == "unified_iou_loss" else {}))
    expected = loss(pred.clone().requires_grad_(), target)
    assert expected.requires_grad
    with torch.no_grad():
        assert torch.equal(loss(pred.clone().requires_grad_(), target), expected)
    assert torch.equal(loss(pred, target), expected)


def test_quotient_by_nothing_is_its_numerator() -> None:
    assert divide(torch.tensor([3.0, 3.0, 0.0]), torch.tensor([0.0, -2.0, 0.0])).tolist() == [3, 3, 0]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_inner_iou_by_hand(ratio: float) -> None:
    """Sides of 4 that are 1 apart along x: sides of 4 r overlap by 4 r - 1."""
    pred, target = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[1.0, 0, 5, 4]])
    for pair in (box_pair(pred, target), framed(pred, target)):
        assert pair.inner_iou(ratio).item() == pytest.approx((4 * ratio - 1) / (4 * ratio + 1), rel=1e-6)


def test_least_side_has_no_slope() -> None:
    """Up to it the angle is that of the least side, as in the form of autograd."""
    spans = torch.tensor([[0.0, 0.5e-12, 1e-12, 2e-12, 1.0], [1.0, 1e-12, 1.0, 1.0, 1e-12]], dtype=torch.float64)
    leaf, other = spans.clone().requires_grad_(), spans.clone().requires_grad_()
    target = torch.ones_like(spans)
    AspectChange.apply(leaf, target).sum().backward()
    (aspect_angle(*target) - aspect_angle(*other)).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    assert leaf.grad[0, :3].tolist() == [0, 0, 0] and leaf.grad[0, 3] != 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", range(8))
def test_nothing_hides_a_bad_coordinate(column: int, bad: float) -> None:
    boxes = torch.tensor([[0.0, 0.0, 4.0, 3.0, 1.0, 1.0, 5.0, 6.0]])
    boxes[0, column] = bad
    pred, target = boxes.split(4, 1)
    value = giou_loss(pred, target)
    plain = pair_loss(framed(pred, target), giou_terms)
    assert not plain.isfinite().any() or bad == torch.inf
    torch.testing.assert_close(value, plain, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("names", [*((name,) for name in OUTPUTS), ("union", "iou"), tuple(OUTPUTS)], ids="-".join)
def test_gradient_is_that_of_autograd(names: tuple[str, ...], scale: float) -> None:
    torch.testing.assert_close(gradient(box_pair, names, scale), gradient(framed, names, scale), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("names", [("hull",), ("lengths", "iou"), ("offset", "gap"), tuple(OUTPUTS)], ids="-".join)
def test_extent_that_was_not_asked_for(names: tuple[str, ...]) -> None:
    late = gradient(partial(box_pair, extent=False), names, 1.0)
    torch.testing.assert_close(late, gradient(box_pair, names, 1.0), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("recorded", [False, True])
def test_forward_mode(recorded: bool) -> None:
    pred, target = (boxes[80:90] for boxes in batch())
    direction = torch.rand(pred.shape, generator=torch.Generator().manual_seed(2), dtype=pred.dtype)
    leaf = pred.clone().requires_grad_()
    (slope,) = torch.autograd.grad(box_pair(leaf, target).iou.sum(), leaf)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(leaf if recorded else pred, direction)
        tangent = forward_ad.unpack_dual(box_pair(dual, target).iou).tangent
    torch.testing.assert_close(tangent, (slope * direction).sum(1))


def test_gradient_has_a_gradient() -> None:
    pred, target = (boxes[80:90] for boxes in batch())

    def quotients(pred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What does not depend on the frame, which a difference would move."""
        pair = box_pair(pred, target)
        (width, height), (dx, dy) = pair.hull(), pair.offset()
        share = dx * dy / (pair.pred_size[0] * pair.pred_size[1])
        return pair.iou, pair.union / (width * height), share, pair.aspect_change(), pair.signed_gap() / pair.union

    assert torch.autograd.gradgradcheck(quotients, pred.requires_grad_())


@pytest.mark.parametrize("of_pred", [True, False])
def test_target_with_a_gradient(of_pred: bool) -> None:
    pred, target = (boxes[80:90] for boxes in batch())
    target.requires_grad_()

    def outputs(pred: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        pair = box_pair(pred, target)
        return pair.iou, pair.squared_offset() / pair.squared_diagonal(), pair.aspect_change()

    assert torch.autograd.gradcheck(outputs, (pred.requires_grad_(of_pred), target))


def test_transforms_of_functions() -> None:
    pred, target = (boxes[80:90] for boxes in batch())
    slope = torch.func.grad(lambda pred: box_pair(pred, target).iou.sum())(pred)
    leaf = pred.clone().requires_grad_()
    box_pair(leaf, target).iou.sum().backward()
    torch.testing.assert_close(slope, leaf.grad)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (7, 4), (4, 7)])
def test_transposed(shape: tuple[int, int]) -> None:
    matrix = torch.arange(shape[0] * shape[1]).view(shape)
    assert torch.equal(transposed(matrix), matrix.t())
    assert transposed(matrix).is_contiguous()
