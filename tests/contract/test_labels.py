"""Labels of every integer dtype count as int64 ones do, and what is no label says what to pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import CASES, RANK_CASES, Case, map_target, never_select, over, run
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F

DTYPES = [torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


def holds_labels(case: Case) -> bool:
    _, target = case.batch(7)
    return not (target[0] if isinstance(target, tuple) else target).is_floating_point()


LABEL_CASES = [case for case in [*CASES, *RANK_CASES] if holds_labels(case)]
CLASSES_WITH_LABELS = {case.name for case in LABEL_CASES}


def as_dtype(target: Any, dtype: torch.dtype) -> tuple[Any, Any]:
    """The labels of a target in a dtype, and the same numbers as int64."""
    low = -1 if dtype.is_signed else 0
    high = 1 if dtype is torch.bool else 100

    def narrow(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_floating_point() else tensor.clamp(low, high).to(dtype)

    def wide(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_floating_point() else narrow(tensor).long()

    return map_target(target, narrow), map_target(target, wide)


def test_every_loss_of_labels_is_here() -> None:
    assert {
        "CrossEntropyLoss",
        "FocalLoss",
        "QualityFocalLoss",
        "SeesawLoss",
        "EQLV2Loss",
        "GHMC",
    } <= CLASSES_WITH_LABELS
    assert {"APLoss", "RankSortLoss", "LabelSmoothLoss", "EqualizationLoss"} <= CLASSES_WITH_LABELS


@over_dtypes
@pytest.mark.parametrize("path", ["select", "replace"])
@over(LABEL_CASES)
def test_value_of_int64_labels(case: Case, path: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "replace":
        never_select(monkeypatch)
    pred, target = case.batch(7)
    labels, wide = as_dtype(target, dtype)
    for options in ({}, {"debug": True}) if path == "select" and dtype.is_signed else ({},):
        for mine, other in zip(run(case.build(**options), pred, labels), run(case.build(), pred, wide), strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int8, torch.uint8], ids=str)
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "FocalLoss", "QualityFocalLoss"])
def test_kernels_by_hand_take_them_too(name: str, dtype: torch.dtype) -> None:
    case = next(case for case in LABEL_CASES if case.name == name)
    pred, target = case.batch(7)
    labels, wide = as_dtype(target, dtype)
    for mine, other in zip(run(case.build(fused=True), pred, labels), run(case.build(), pred, wide), strict=True):
        torch.testing.assert_close(mine, other)


MANY = 300
"""More classes than 8 bits count: as int8, 300 is 44."""
SMALL = {torch.int8: [0, 43, 44, 100, 127], torch.uint8: [0, 44, 156, 200, 255]}
OPTIONS: dict[str, dict[str, Any]] = {
    "CrossEntropyCustomLoss": {"num_classes": MANY},
    "EQLV2Loss": {"num_classes": MANY - 1},
    "EqualizationLoss": {"class_frequency": [0.5, 1e-4] * (MANY // 2)},
    "EqualizedFocalLoss": {"num_classes": MANY},
    "FocalCustomLoss": {"num_classes": MANY},
    "SeesawLoss": {"num_classes": MANY - 2, "return_dict": False},
}


@pytest.mark.parametrize("dtype", SMALL, ids=str)
@pytest.mark.parametrize("name", sorted(CLASSES_WITH_LABELS))
def test_more_classes_than_the_dtype_counts(name: str, dtype: torch.dtype) -> None:
    """A label of 100 of 300 classes was background as int8, and 156 as uint8 was torch's -100, which is ignored."""
    g = torch.Generator().manual_seed(0)
    label = torch.tensor(SMALL[dtype], dtype=dtype)
    pred = torch.rand(len(label), MANY, generator=g)
    if name == "QualityFocalLoss":
        score = torch.rand(len(label), generator=g)
        labels, wide = (label, score), (label.long(), score)
    else:
        labels, wide = label, label.long()
    loss = getattr(ml, name)(**OPTIONS.get(name, {}))
    value = loss(pred, labels)
    assert torch.equal(value, loss(pred, wide))
    shifted = (wide[0] + 300, score) if name == "QualityFocalLoss" else wide * 0
    assert not torch.equal(value, loss(pred, shifted))
    debugged = getattr(ml, name)(**OPTIONS.get(name, {}), debug=True)
    assert torch.equal(debugged(pred, labels), value)


FUNCTIONS = {
    "asymmetric_loss": {},
    "equalization_loss": {"class_frequency": torch.full((MANY,), 1e-4)},
    "equalization_v2_loss": {"ratio": torch.full((MANY - 1,), 0.5)},
    "equalized_focal_loss": {"ratio": torch.full((MANY,), 0.5)},
    "gaussian_focal_loss": {},
    "quality_focal_loss": {"score": torch.rand(5)},
    "seesaw_class_loss": {"counts": torch.arange(MANY)},
    "sigmoid_cross_entropy": {},
    "sigmoid_focal_loss": {},
    "softmax_cross_entropy": {},
    "softmax_focal_loss": {},
}


@pytest.mark.parametrize("dtype", [*SMALL, torch.int32], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_them_too(name: str, dtype: torch.dtype) -> None:
    label = torch.tensor(SMALL.get(dtype, [0, 43, 100, 256, 299])).to(dtype)
    pred = torch.rand(len(label), MANY, generator=torch.Generator().manual_seed(0))
    function = getattr(F, name)
    assert torch.equal(function(pred, label, **FUNCTIONS[name]), function(pred, label.long(), **FUNCTIONS[name]))


@over_dtypes
def test_class_of_a_mask(dtype: torch.dtype) -> None:
    """As an index, uint8 and bool are masks to torch."""
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(4, 3, 5, 5, generator=g), (torch.rand(4, 5, 5, generator=g) < 0.5).float()
    label = torch.tensor([0, 1, 1, 0])
    for options in ({}, {"class_weight": [1.0, 2.0, 3.0]}):
        loss = ml.CrossEntropyLoss(use_mask=True, **options)
        assert torch.equal(loss(pred, target, label.to(dtype)), loss(pred, target, label))


@pytest.mark.parametrize("wrong", [torch.float32, torch.float16, torch.complex64], ids=str)
@over(LABEL_CASES)
def test_labels_that_are_none(case: Case, wrong: torch.dtype) -> None:
    pred, target = case.batch(7)
    if case.form == "flat":
        return
    bad = (target[0].to(wrong), target[1]) if isinstance(target, tuple) else target.to(wrong)
    with pytest.raises(ValueError, match=rf"target.*{str(wrong).removeprefix('torch.')}.*\.long\(\)"):
        case.build()(pred, bad)


@pytest.mark.parametrize("name", ["FocalLoss", "AsymmetricLoss", "CrossEntropyLoss", "GHMC", "APLoss"])
def test_masks_in_the_slot_of_masks(name: str) -> None:
    """FCNMaskHead passes logits (n, c, 28, 28) and masks (n, 28, 28), of which no labels can be made."""
    pred, masks = torch.zeros(2, 3, 28, 28), torch.zeros(2, 28, 28)
    with pytest.raises(ValueError, match=r"CrossEntropyLoss\(use_mask=True\)") as error:
        getattr(ml, name)()(pred, masks)
    assert ".long()" not in str(error.value)
    assert ml.CrossEntropyLoss(use_mask=True)(pred, masks, torch.tensor([0, 2])).isfinite()


def test_a_value_for_one_channel() -> None:
    with pytest.raises(ValueError, match=r"target\.unsqueeze\(-1\)"):
        ml.FocalLoss()(torch.zeros(3, 1), torch.zeros(3))
