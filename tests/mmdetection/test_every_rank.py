"""Predictions of one to four axes: what replaces a loss of MMDetection gives its value, or says what to pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses.registry import STOCK, stock

pytest.importorskip("mmdet.models")
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")

SHAPES = {1: (5,), 2: (6, 5), 3: (2, 3, 5), 4: (2, 3, 4, 5)}
"""No two axes alike, so that no form fits by chance."""
FORMS: dict[str, list[dict[str, Any]]] = {
    "CrossEntropyLoss": [{}, {"use_sigmoid": True}],
    "CrossEntropyCustomLoss": [{"num_classes": 3}, {"num_classes": 3, "use_sigmoid": True}],
    "FocalCustomLoss": [{"num_classes": 3}],
    "FocalLoss": [{}, {"activated": True}],
    "QualityFocalLoss": [{}, {"activated": True}, {"beta": 1.5}],
    "SIoULoss": [{"neg_gamma": True}],
    # mmdet counts before it uses the counts, which count nothing with p=0
    "SeesawLoss": [{"num_classes": 3, "p": 0.0, "return_dict": False}],
    "EQLV2Loss": [{"num_classes": 4}],
}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "CIoULoss": ("CIoULoss", {"alpha_gate": 0.5}),
    "EIoULoss": ("ExtendedIoULoss", {}),
}
"""What is the same loss here, where name or defaults differ."""
REFUSED = {
    ("CrossEntropyLoss", 1): "a softmax over the rows",
    ("CrossEntropyCustomLoss", 1): "a softmax over the rows",
    ("SeesawLoss", 1): "a row without the axis of the rows",
    ("DistributionFocalLoss", 1): "the same",
    ("GHMR", 1): "a target without axes, which broadcasts",
    ("MSELoss", 1): "the same",
    ("MarginL2Loss", 1): "the same",
    ("KnowledgeDistillationKLDivLoss", 3): "a distribution along axis 1, which is no row",
    ("KnowledgeDistillationKLDivLoss", 4): "the same",
}
"""Where mmdet computes a value of what is refused here; see test_only_these_are_refused."""


def targets(name: str, shape: tuple[int, ...], g: torch.Generator) -> Iterator[tuple[str, Any]]:
    """Every form of a target that the loss, or another of its kind, takes."""
    last, second = shape[:-1], shape[:1] + shape[2:]
    if name == "DistributionFocalLoss":
        yield "distances", 3.5 * torch.rand(last, generator=g)
        return
    if name == "MultiPosCrossEntropyLoss":  # what is neither 0 nor 1 is ignored here
        yield "one-hot", (torch.rand(shape, generator=g) < 0.3).float()
        return
    yield "dense", torch.rand(shape, generator=g)
    yield "one-hot", (torch.rand(shape, generator=g) < 0.3).float()
    labels = {"labels, classes last": last} | ({"labels, classes second": second} if len(shape) > 1 else {})
    for form, lead in labels.items():
        label = torch.randint(0, 3, lead, generator=g)
        # a label without axes broadcasts over a heat map in mmdet
        if name != "GaussianFocalLoss" or lead:
            yield form, label
        yield f"{form}, qualities", (label, torch.rand(lead, generator=g))


def drawn_boxes(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    corner, size = torch.rand(*shape[:-1], 4, generator=g).split(2, -1)
    return torch.cat([corner, corner + size + 0.1], -1)


def calls(name: str, rank: int) -> Iterator[tuple[str, Tensor, Any]]:
    g, shape = torch.Generator().manual_seed(rank), SHAPES[rank]
    if name.endswith("IoULoss"):
        yield "boxes", drawn_boxes(shape, g), drawn_boxes(shape, g)
        return
    for form, target in targets(name, shape, g):
        yield form, torch.rand(shape, generator=g) * 0.9 + 0.05, target


def outcome(loss: torch.nn.Module, pred: Tensor, target: Any, **call: Any) -> tuple[Tensor, Tensor] | Exception:
    pred = pred.clone().requires_grad_()
    try:
        value = loss(pred, target, **call)
        value.sum().backward()
    except Exception as error:
        return error
    return value.detach(), pred.grad


def reductions(name: str) -> list[dict[str, Any]]:
    """Those that mmdet's class looks at, and that mean the same."""
    if name == "EQLV2Loss":
        return [{}]
    if name.startswith("GHM"):
        return [{}, {"reduction_override": "none"}]
    # mmdet's mean divides the loss of the classes by the objects
    mean = [] if name == "SeesawLoss" else [{}]
    return [*mean, {"avg_factor": 7.0}, {"reduction_override": "sum"}, {"reduction_override": "none"}]


def both(name: str, rank: int) -> Iterator[tuple[str, Any, Any]]:
    """What ours and mmdet's give for every form of options, target and reduction."""
    own, more = OURS.get(name, (name, {}))
    for options in FORMS.get(name, [{}]):
        for form, pred, target in calls(name, rank):
            for call in reductions(name):
                if name.startswith("GHM"):
                    call = {**call, "label_weight": torch.ones_like(pred)}
                ours = outcome(getattr(ml, own)(**options, **more), pred, target, **call)
                theirs = outcome(stock(name)(**options), pred, target, **call)
                yield f"{options} {form} {call}", ours, theirs


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", sorted(STOCK.keys() - {"AssociativeEmbeddingLoss"}))  # takes no target of this kind
def test_value_of_mmdet_or_a_message(name: str, rank: int) -> None:
    agreed = 0
    for context, ours, theirs in both(name, rank):
        if isinstance(ours, Exception):
            assert isinstance(ours, ValueError) and "must" in str(ours), (context, ours)
            assert isinstance(theirs, Exception) or (name, rank) in REFUSED, (context, ours)
        elif not isinstance(theirs, Exception):
            for one, other in zip(ours, theirs, strict=True):
                assert one.shape == other.shape, context
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=context)
            agreed += 1
    # a loss of rows alone has nothing to agree on at other ranks
    assert agreed or rank != 2


@pytest.mark.parametrize(("name", "rank"), REFUSED, ids=str)
def test_only_these_are_refused(name: str, rank: int) -> None:
    """Or else the entry has no reason any more."""
    assert any(isinstance(ours, ValueError) and isinstance(theirs, tuple) for _, ours, theirs in both(name, rank))


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("activated", [False, True])
def test_weight_of_quality_maps(rank: int, activated: bool) -> None:
    g, shape = torch.Generator().manual_seed(rank), SHAPES[rank]
    pred, target = 0.05 + 0.9 * torch.rand(shape, generator=g), torch.rand(shape, generator=g)
    weight = torch.rand(shape[:1] + shape[2:], generator=g)
    weight[0] = 0
    ours, theirs = (kind(activated=activated) for kind in (ml.QualityFocalLoss, stock("QualityFocalLoss")))
    for call in ({}, {"avg_factor": 7.0}, {"reduction_override": "none"}):
        one = outcome(ours, pred, target, weight=weight, **call)
        for mine, other in zip(one, outcome(theirs, pred, target, weight=weight, **call), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
        same = outcome(ours, pred, target, weight=weight.unsqueeze(1), **call)
        assert all(map(torch.equal, one, same))


def test_quality_of_an_objectness_map() -> None:
    """Each of 2 x 4 zeros costs ln 2 / 4: the sum over two classes is ln 2 / 2, where four would give ln 2."""
    zeros = torch.zeros(1, 2, 1, 4)
    for loss in (ml.QualityFocalLoss(), ml.QualityFocalLoss(fused=True), stock("QualityFocalLoss")()):
        assert loss(zeros, zeros).item() == pytest.approx(0.34657359)


def test_rows_that_a_weight_names() -> None:
    """YOLOv3's head passes logits (b, n, c) and weights (b, n, 1): summed, the axis of the classes is of no matter."""
    g = torch.Generator().manual_seed(0)
    pred, target, weight = (torch.rand(2, 3, last, generator=g) for last in (5, 5, 1))
    loss = ml.QualityFocalLoss(reduction="sum")
    rows = loss(pred.flatten(0, 1), target.flatten(0, 1), weight.flatten())
    torch.testing.assert_close(loss(pred, target, weight), rows)
