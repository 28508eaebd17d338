"""Dice loss and distillation against published values, and where MMDetection's are not finite or not right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F

STUDENT, TEACHER = [[0.0, 1, 2, -1, 0.5]], [[0.5, 1.5, 1, -2, 0]]


def tensor(values: list, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "value", "gradient"),
    [
        ({}, 0.3108987712, [-0.0817772184, -0.0205946543, 0.0181846003, 0.0147995697]),
        ({"naive_dice": True}, 0.3998682296, [-0.0760250467, -0.0319285689, 0.0256322082, 0.0058896606]),
        ({"naive_dice": True, "eps": 1.0}, 0.3285640401, [-0.0592864112, -0.0248987715, 0.0235638978, 0.0054144129]),
    ],
)
def test_dice(options, value, gradient):
    pred = tensor([[0.0, 2, -1, 3]]).requires_grad_()
    found = ml.DiceLoss(**options)(pred, torch.tensor([[1, 1, 0, 0]]))
    assert found.item() == pytest.approx(value, abs=6e-11)
    found.backward()
    assert pred.grad[0].tolist() == pytest.approx(gradient, abs=6e-11)


def test_naive_dice_of_probabilities():
    """Of 0.5 and 0.25 with the target 1 and 0: 1 - 2 * 0.5 / (0.75 + 1)."""
    loss = ml.DiceLoss(use_sigmoid=False, activate=False, naive_dice=True, eps=0.0)
    assert loss(tensor([[0.5, 0.25]]), torch.tensor([[1, 0]])).item() == pytest.approx(3 / 7)


def test_dice_of_a_large_mask_in_half_precision():
    """262,144 pixels, whose sums overflow in float16: p = 0.5 and a full target, 1 - n / (n / 4 + n) = 0.2."""
    pred = torch.zeros(1, 512, 512, dtype=torch.float16, requires_grad=True)
    loss = ml.DiceLoss()(pred, torch.ones(1, 512, 512, dtype=torch.float16))
    assert loss.item() == pytest.approx(0.2, rel=1e-5)
    assert loss.dtype == torch.float32
    big = torch.zeros(1, 512, 512, requires_grad=True)
    ml.DiceLoss()(big, torch.ones(1, 512, 512)).backward()
    assert (big.grad < 0).all()


def test_dice_of_an_empty_target_has_a_gradient_in_its_naive_form_alone():
    pred = tensor([[0.0, 2, -1]]).requires_grad_()
    for options, moves in (({}, False), ({"naive_dice": True}, True)):
        (gradient,) = torch.autograd.grad(ml.DiceLoss(**options)(pred, torch.zeros(1, 3)), pred)
        assert (gradient != 0).all() if moves else (gradient == 0).all()


def test_dice_takes_a_mask_of_any_dtype_and_any_shape():
    pred = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    mask = pred > 0.3
    expected = ml.DiceLoss(reduction="none")(pred, mask.float())
    assert expected.shape == (3,)
    for dtype in (torch.bool, torch.uint8, torch.int64):
        assert torch.equal(ml.DiceLoss(reduction="none")(pred, mask.to(dtype)), expected)
    with pytest.raises(ValueError, match=r"target must have the shape of pred, \(3, 2, 5\), got \(1, 2, 5\)"):
        ml.DiceLoss()(pred, mask[:1].float())
    with pytest.raises(ValueError, match="a mask in each row"):
        ml.DiceLoss()(pred[0, 0], mask[0, 0].float())


def test_dice_understands_the_order_of_mmdet():
    """There the reduction stands before avg_factor."""
    pred, target, weight = torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([1.0, 0.5])
    loss = ml.DiceLoss()
    assert loss(pred, target, weight, "sum") == loss(pred, target, weight, reduction_override="sum")
    assert loss(pred, target, weight, "mean", 4.0) == loss(pred, target, weight, avg_factor=4.0)


def test_dice_without_a_softmax_form():
    with pytest.raises(ValueError, match="use_sigmoid must be True"):
        ml.DiceLoss(use_sigmoid=False)
    ml.DiceLoss(use_sigmoid=False, activate=False)


@pytest.mark.parametrize(
    ("temperature", "mean", "total"),
    [(1, 0.04891280876, 0.2445640438), (5, 0.04668658447, 0.2334329224), (10, 0.04638105452, 0.2319052726)],
)
def test_distillation(temperature, mean, total):
    pred, target = tensor(STUDENT), tensor(TEACHER)
    for form, value in (("mean", mean), ("sum", total)):
        found = ml.KnowledgeDistillationKLDivLoss(T=temperature, bin_reduction=form)(pred, target)
        assert found.item() == pytest.approx(value, rel=1e-9)


def test_gradient_of_distillation():
    pred, target = tensor(STUDENT).requires_grad_(), tensor(TEACHER).requires_grad_()
    ml.KnowledgeDistillationKLDivLoss()(pred, target).backward()
    expected = [-0.0306976733, -0.0339261792, 0.0321395122, 0.0238095375, 0.0086747994]  # central differences
    assert pred.grad[0].tolist() == pytest.approx(expected, abs=3e-9)
    assert target.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_no_row_of_a_distillation_is_negative_in_half_precision(dtype):
    """MMDetection's are in 43 of 100 rows, under autocast of a CPU in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    target = 2 * torch.randn(4000, 17, generator=generator)
    pred = target + 0.5 * torch.randn(4000, 17, generator=generator)
    pred, target = pred.to(dtype), target.to(dtype)
    loss = ml.KnowledgeDistillationKLDivLoss(reduction="none")
    with torch.autocast("cpu", dtype=dtype):
        found = loss(pred, target)
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), loss(pred.double(), target.double()), rtol=1e-4, atol=1e-7)


def test_distillation_of_near_equal_logits_keeps_its_digits():
    """T^2 KL is to second order half the variance of the difference, here of 1e-4 in one of two bins of half. A sum of
    differences of logarithms, as MMDetection's, is off by more than all of it."""
    pred, target = torch.tensor([[1e-4, 0.0]]), torch.zeros(1, 2)
    found = ml.KnowledgeDistillationKLDivLoss(T=1, bin_reduction="sum")(pred, target)
    assert found.item() == pytest.approx(0.5 * 1e-8 / 4, rel=5e-3)


def test_distillation_where_mmdet_broadcasts_or_is_nan():
    pred, target = torch.tensor([[0.0, 1, 2], [3, 0, 0]]), torch.tensor([[1.0, 0, 0], [0, 0, 5]])
    loss = ml.KnowledgeDistillationKLDivLoss()
    for weight in (torch.tensor([1.0, 0.0]), torch.tensor([[1.0], [0.0]])):
        assert loss(pred, target, weight).item() == pytest.approx(0.1309, abs=5e-5)
    assert loss(pred[:0], target[:0]).item() == 0
    with pytest.raises(ValueError, match=r"pred must have shape \(n, bins\)"):
        loss(pred[0], target[0])


def test_forms_of_distillation_agree(monkeypatch):
    """Eagerly its own backward; under a transform of functions every operation; derivatives of both by differences."""
    pred, target = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def total(x):
        return F.knowledge_distillation_kl_div_loss(x, target, T=2).sum()

    leaf = pred.clone().requires_grad_()
    slope, value = torch.func.grad_and_value(total)(pred)
    torch.testing.assert_close(value, total(pred), rtol=1e-12, atol=0)
    torch.testing.assert_close(slope, torch.autograd.grad(total(leaf), leaf)[0], rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(total, leaf) and torch.autograd.gradgradcheck(total, leaf)
    assert (F.knowledge_distillation_kl_div_loss(target, target) == 0).all()
    monkeypatch.setattr("mmdet_losses.functional.distillation.plain_divergence", None)
    torch.testing.assert_close(total(pred), value, rtol=1e-12, atol=0)
