"""The geometry of pairs in eager mode, whose gradient is written out, against the form that autograd goes through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from mmdet_losses.functional.geometry import BoxPair, framed
from mmdet_losses.functional.pairs import PackedPair, box_pair, transposed

OUTPUTS: dict[str, Callable[[BoxPair], Sequence[Tensor]]] = {
    "pred": lambda pair: pair.pred,
    "pred_size": lambda pair: pair.pred_size,
    "union": lambda pair: (pair.union,),
    "iou": lambda pair: (pair.iou,),
    "hull": lambda pair: pair.hull(),
    "offset": lambda pair: pair.offset(),
    "inner": lambda pair: pair.inner(),
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
    pred[70:80] = target[70:80] = 5
    return pred * scale, target * scale


def gradient(build: Callable[[Tensor, Tensor], BoxPair], names: Sequence[str], scale: float) -> Tensor:
    pred, target = batch(scale)
    pred.requires_grad_()
    pair = build(pred, target)
    values = torch.stack([value for name in names for value in OUTPUTS[name](pair)])
    slopes = torch.rand(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.autograd.grad(values, pred, slopes)[0] * pair.unit.unsqueeze(1)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_values_are_those_of_the_plain_form(scale: float) -> None:
    packed, plain = (build(*batch(scale)) for build in (box_pair, framed))
    assert isinstance(packed, PackedPair)
    for name, output in OUTPUTS.items():
        for ours, expected in zip(output(packed), output(plain), strict=True):
            assert torch.equal(ours, expected), name
    for ours, expected in zip((*packed.target, *packed.target_size), (*plain.target, *plain.target_size), strict=True):
        assert torch.equal(ours, expected)
    assert torch.equal(packed.unit, plain.unit)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("names", [*((name,) for name in OUTPUTS), ("union", "iou"), tuple(OUTPUTS)], ids="-".join)
def test_gradient_is_that_of_autograd(names: tuple[str, ...], scale: float) -> None:
    torch.testing.assert_close(gradient(box_pair, names, scale), gradient(framed, names, scale), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("names", [("hull",), ("lengths", "iou"), ("offset", "gap"), tuple(OUTPUTS)], ids="-".join)
def test_extent_that_was_not_asked_for(names: tuple[str, ...]) -> None:
    late = gradient(partial(box_pair, extent=False), names, 1.0)
    torch.testing.assert_close(late, gradient(box_pair, names, 1.0), rtol=1e-12, atol=1e-13)


def test_gradient_has_a_gradient() -> None:
    pred, target = (boxes[80:90] for boxes in batch())

    def quotients(pred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What does not depend on the frame, which a difference would move."""
        pair = box_pair(pred, target)
        (width, height), (dx, dy) = pair.hull(), pair.offset()
        share = dx * dy / (pair.pred_size[0] * pair.pred_size[1])
        return pair.iou, pair.union / (width * height), share, pair.aspect_change(), pair.signed_gap() / pair.union

    assert torch.autograd.gradgradcheck(quotients, pred.requires_grad_())


def test_target_with_a_gradient() -> None:
    pred, target = (boxes[80:90].requires_grad_() for boxes in batch())
    assert torch.autograd.gradcheck(lambda *boxes: box_pair(*boxes).iou, (pred, target))


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
