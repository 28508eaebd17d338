"""Losses of embeddings: published values, sampling and triplets against loops, and what MMDetection's do wrong."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from oracle import embedding
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F


def tensor(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("pred", "target", "value"),
    [
        ([1.0, 2, -1], [1, 0, 0], 1.349012217),
        ([1.0, 2, -1], [1, 1, 0], 0.1698460196),
        ([0.5, -0.3, 1.2, 2], [1, 0, 1, 0], 2.125810816),
        ([0.5, -0.3, 1.2, 2, 7, -7], [1, 0, 1, 0, -1, -1], 2.125810816),  # ignored, where mmdet counts logits of 0
        ([1.0, 2], [1, 1], 0.0),
        ([1.0, 2], [0, 0], 0.0),
        ([1.0, 2], [-1, -1], 0.0),
    ],
)
def test_multi_pos(pred, target, value):
    logits = tensor([pred]).requires_grad_()
    found = ml.MultiPosCrossEntropyLoss()(logits, torch.tensor([target]))
    assert found.item() == pytest.approx(value, rel=1e-9)
    found.backward()
    assert logits.grad.isfinite().all()


def test_multi_pos_of_large_logits():
    pred = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = ml.MultiPosCrossEntropyLoss()(pred, torch.tensor([[0, 1]]))
    loss.backward()
    assert loss.item() == 2e4
    assert pred.grad.tolist() == [[1.0, -1.0]]


def similarities(seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(6, 5, generator=g, dtype=torch.float64), (torch.rand(6, 5, generator=g) < 0.2).long()


@pytest.mark.parametrize("name", ["MarginL2Loss", "L2Loss"])
@pytest.mark.parametrize("most", [1, 3])
def test_hard_negatives(name, most):
    """Those of the largest loss, and the mean over what takes part; QDTrack has 3, 0, 0.1."""
    pred, target = similarities()
    options = dict(neg_pos_ub=most, pos_margin=0, neg_margin=0.1, hard_mining=True)
    rows = embedding.mined_l2(pred.tolist(), target.tolist(), most, neg=0.1)
    positives, negatives = int((target == 1).sum()), int((target == 0).sum())
    taken = positives + min(negatives, most * positives)
    loss = getattr(ml, name)(**options)
    assert loss(pred, target).item() == pytest.approx(sum(map(sum, rows)) / taken, rel=1e-12)
    assert loss(pred, target, reduction_override="sum").item() == pytest.approx(sum(map(sum, rows)), rel=1e-12)
    torch.testing.assert_close(loss(pred, target, reduction_override="none"), tensor(rows))


def test_random_negatives():
    """As many as there may be, and others with another seed."""
    pred, target = torch.full((4, 50), 0.5), torch.zeros(4, 50)
    target[0, :3] = 1
    loss = ml.MarginL2Loss(neg_pos_ub=2, reduction="none")
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        drawn.append(loss(pred, target) > 0)
        assert drawn[-1][target == 1].all()
        assert drawn[-1][target == 0].sum() == 6
    assert not torch.equal(*drawn)


def test_negatives_without_a_positive():
    loss = ml.L2Loss(neg_pos_ub=3, hard_mining=True)
    assert loss(torch.rand(3, 4), torch.zeros(3, 4)).item() == 0


def test_inputs_are_left_as_they_are():
    """MMDetection's write the margin into the prediction and -1 into the target, and die of a leaf."""
    pred, target = similarities()
    pred.requires_grad_()
    weight = torch.ones(6, 5)
    weight[0] = 0
    before = [tensor.detach().clone() for tensor in (pred, target, weight)]
    ml.MarginL2Loss(neg_pos_ub=1, pos_margin=0.1, neg_margin=0.1)(pred, target, weight).backward()
    assert all(torch.equal(tensor.detach(), old) for tensor, old in zip((pred, target, weight), before, strict=True))


def test_margin_l2_by_hand():
    """clamp(0.8 - 0.2) of a positive, clamp(0.05 - 0.1) = 0 and clamp(1.2 - 0.1) = 1 of negatives."""
    pred, target = tensor([[0.8, 0.05, 1.2]]), torch.tensor([[1, 0, 0]])
    found = ml.MarginL2Loss(pos_margin=0.2, neg_margin=0.1, reduction="none")(pred, target)
    assert found.tolist() == [pytest.approx([0.16, 0.0, 1.0])]


def identities(seed: int = 0, n: int = 12) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=g, dtype=torch.float64), torch.randint(0, 3, (n,), generator=g)


def test_triplets_against_loops():
    pred, target = identities()
    rows = embedding.triplets(pred.tolist(), target.tolist())
    for reduction, expected in (("none", rows), ("sum", sum(rows)), ("mean", sum(rows) / len(rows))):
        found = ml.TripletLoss(reduction=reduction)(pred, target)
        torch.testing.assert_close(found, tensor(expected), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(ml.TripletLoss(), (pred.requires_grad_(), target))


def test_triplets_of_the_function():
    """Margin and rows by default; distances below 1; rows that take no part; none at all."""
    pred, target = identities(2)
    expected = tensor(embedding.triplets((0.1 * pred).tolist(), target.tolist()))
    torch.testing.assert_close(F.triplet_loss(0.1 * pred, target), expected)
    alone = F.triplet_loss(pred[:3], torch.tensor([0, 0, 1]), torch.tensor([True, True, False]))
    assert alone.tolist() == [0, 0, 0]
    assert F.triplet_loss(pred[:0], target[:0]).shape == (0,)


def test_triplets_far_from_the_origin_keep_their_digits():
    """Distances by a product of matrices, as torch takes them of more than 25 rows, would have none."""
    pred, target = (1000 + identities(3, 40)[0]).float(), identities(3, 40)[1]
    expected = torch.tensor(embedding.triplets(pred.tolist(), target.tolist()))
    torch.testing.assert_close(F.triplet_loss(pred, target), expected, rtol=1e-3, atol=1e-3)


def test_triplets_as_mmdet():
    stock = pytest.importorskip("mmdet.models.losses").TripletLoss
    pred, target = identities(1)
    ours, theirs = (pred.clone().requires_grad_() for _ in range(2))
    value, expected = ml.TripletLoss(0.5, 2.0)(ours, target), stock(0.5, 2.0)(theirs, target)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)
    value.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("select", [True, False])
def test_a_row_of_weight_0_is_in_no_triplet(select, monkeypatch):
    if not select:
        from cases import never_select

        never_select(monkeypatch)
    pred, target = identities()
    weight = torch.ones(12)
    weight[[0, 5]] = 0
    spoilt = pred.clone()
    spoilt[[0, 5]] = torch.nan
    spoilt.requires_grad_()
    found = ml.TripletLoss()(spoilt, target, weight, avg_factor=3)
    expected = ml.TripletLoss()(pred[weight != 0], target[weight != 0])
    torch.testing.assert_close(found, expected)
    found.backward()
    assert (spoilt.grad[[0, 5]] == 0).all()
    assert spoilt.grad.isfinite().all()


def test_one_identity_and_no_rows():
    pred = torch.randn(4, 3, requires_grad=True)
    for loss in (
        ml.TripletLoss()(pred, torch.zeros(4, dtype=torch.int64)),
        ml.TripletLoss()(pred[:0], torch.zeros(0).long()),
    ):
        assert loss.item() == 0
        loss.backward()
    assert (pred.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_triplets_of_half_precision(dtype):
    pred, target = identities()
    half = (100 * pred).to(dtype).requires_grad_()
    loss = ml.TripletLoss()(half, target)
    assert loss.dtype == torch.float32
    loss.backward()
    assert half.grad.isfinite().all()
    torch.testing.assert_close(loss, ml.TripletLoss()(half.detach().float(), target))


def test_equal_embeddings_have_a_finite_gradient():
    pred = torch.zeros(4, 3, requires_grad=True)
    loss = ml.TripletLoss()(pred, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert (pred.grad == 0).all()


def test_corner_embeddings():
    """Of two objects, (1, 0.6) and (0.5, 0.1): pull 0.02 and push 0.125 at the weights 0.25."""
    top_left, bottom_right = tensor([[[[1.0, 0.5]]]]), tensor([[[[0.6, 0.1]]]])
    objects = [[[0, 0], [0, 0]], [[0, 1], [0, 1]]]
    pull, push = ml.AssociativeEmbeddingLoss()(top_left, bottom_right, [objects])
    assert (pull.item(), push.item()) == (pytest.approx(0.02), pytest.approx(0.125))
    twice = ml.AssociativeEmbeddingLoss(loss_weight=2.0)(
        top_left.expand(2, -1, -1, -1), bottom_right.expand(2, -1, -1, -1), [objects, []]
    )
    assert [part.item() for part in twice] == pytest.approx([0.04, 0.25])


def test_an_object_is_one_in_every_channel():
    """MMDetection takes each channel for an object. One object has nothing to be pushed from."""
    top_left, bottom_right = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    pull, push = ml.AssociativeEmbeddingLoss(1.0, 1.0)(top_left, bottom_right, [[[[1, 2], [3, 3]]]])
    first, second = top_left[0, :, 1, 2], bottom_right[0, :, 3, 3]
    assert push.item() == 0
    assert pull.item() == pytest.approx(((first - second) ** 2).sum().item() / 2, rel=1e-5)


def test_push_of_several_channels():
    """The distances of three objects are 0.5, 2 and 1.5: (1 - 0.5) for each of the two that are near, over 6 pairs."""
    corners = tensor([[0.0, 0], [0.25, 0.25], [1, 1]])
    pull, push = F.associative_embedding_loss(corners, corners)
    assert pull.item() == 0 and push.item() == pytest.approx(1 / 6)
    for part in F.associative_embedding_loss(corners.to("meta"), corners.to("meta")):
        assert part.device.type == "meta" and part.shape == ()


def test_corner_embeddings_as_mmdet():
    stock = pytest.importorskip("mmdet.models.losses").AssociativeEmbeddingLoss
    g = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 1, 8, 8, generator=g, dtype=torch.float64) for _ in range(2)]
    objects = [[[[0, 0], [3, 4]], [[1, 1], [7, 7]], [[2, 5], [6, 6]]], [[[4, 4], [5, 5]]]]
    results = []
    for loss in (ml.AssociativeEmbeddingLoss(0.1, 0.4), stock(0.1, 0.4)):
        leaves = [part.clone().requires_grad_() for part in maps]
        pull, push = loss(*leaves, objects)
        (pull + push).backward()
        results.append([pull.detach(), push.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_no_objects_keep_the_graph():
    maps = torch.randn(1, 1, 4, 4, requires_grad=True)
    pull, push = ml.AssociativeEmbeddingLoss()(maps, maps, [[]])
    (pull + push).backward()
    assert (pull.item(), push.item()) == (0, 0)
    assert (maps.grad == 0).all()


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (ml.TripletLoss(), (torch.zeros(3), torch.zeros(3).long()), r"pred must have shape \(n, d\)"),
        (ml.TripletLoss(), (torch.zeros(3, 2), torch.zeros(4).long()), r"target must have shape \(3,\)"),
        (ml.TripletLoss(), (torch.zeros(3, 2), [0, 1, 2]), "target must be a tensor"),
        (ml.MultiPosCrossEntropyLoss(), (torch.zeros(3), torch.zeros(3)), r"pred must have shape \(n, c\)"),
        (ml.MarginL2Loss(), (torch.zeros(3, 2), torch.zeros(1, 2)), "shape of pred"),
        (ml.AssociativeEmbeddingLoss(), (torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), []), "pred must have shape"),
        (ml.AssociativeEmbeddingLoss(), (torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3), [[]]), "2 images, got 1"),
    ],
)
def test_errors(loss, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss(*arguments)


def test_triplets_are_one_graph_for_all_sizes():
    graphs = []
    torch._dynamo.reset()
    compiled = torch.compile(
        ml.TripletLoss(), dynamic=True, fullgraph=True, backend=lambda module, _: graphs.append(1) or module.forward
    )
    for n in (4, 7, 12):
        pred, target = torch.randn(n, 3, generator=torch.Generator().manual_seed(n)), torch.arange(n) % 3
        assert compiled(pred, target).item() == pytest.approx(ml.TripletLoss()(pred, target).item(), rel=1e-6)
    assert len(graphs) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38])
def test_triplets_of_bad_embeddings(value):
    """What is not finite is not hidden where it counts, and does not reach the others where it has weight 0."""
    pred = torch.tensor([[0.0, 0], [3, 4], [0, 1], [value, 0]])
    target = torch.tensor([1, 1, 2, 2])
    loss = ml.TripletLoss()
    assert not loss(pred, target).isfinite() or value == 3e38
    pred.requires_grad_()
    found = loss(pred, target, torch.tensor([1.0, 1, 1, 0]))
    found.backward()
    assert found.item() == loss(pred[:3], target[:3]).item()
    assert pred.grad.isfinite().all() and not pred.grad[3].any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_corner_embeddings_that_are_not_finite_count_where_an_object_is(value):
    maps = torch.tensor([[[[1.0, value]]]])
    loss = ml.AssociativeEmbeddingLoss()
    for cells, finite in (([[[0, 0], [0, 0]]], True), ([[[0, 1], [0, 1]]], False)):
        pull, _ = loss(maps, torch.zeros(1, 1, 1, 2), [cells])
        assert pull.isfinite() == finite


@pytest.mark.parametrize("loss", [ml.TripletLoss(0.5), ml.AssociativeEmbeddingLoss(0.1, 0.2)])
def test_copies_and_pickles(loss):
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert repr(other) == repr(loss)
    with pytest.raises(ValueError, match="hard_mining must be True"):
        ml.TripletLoss(hard_mining=False)


@pytest.mark.parametrize("name", ["MarginL2Loss", "L2Loss", "MultiPosCrossEntropyLoss"])
def test_as_mmdet_where_it_is_right(name):
    """QDTrack's options, and weights."""
    losses = pytest.importorskip("mmdet.models.losses")
    options = {} if name.startswith("Multi") else dict(neg_pos_ub=3, pos_margin=0, neg_margin=0.1, hard_mining=True)
    pred, target = similarities(3)
    weight = torch.tensor([1.0, 0, 2, 1, 1, 0.5], dtype=torch.float64)
    weight = weight if name.startswith("Multi") else None
    results = []
    for module, prediction in ((ml, pred.clone()), (losses, pred.clone())):
        loss = getattr(module, name)(loss_weight=0.25, **options)
        leaf = prediction.requires_grad_()
        value = loss(leaf * 1, target.clone(), weight, **({"avg_factor": 5.5} if weight is not None else {}))
        value.backward()
        results.append((value.detach(), leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
