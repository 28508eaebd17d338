"""GaussianFocalLoss in both orders of its arguments, with named peaks, and in the three heads of mmdet that use it."""

import pytest
import torch
from cases import run
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses.registry import stock

mmdet_models = pytest.importorskip("mmdet.models")

N, CLASSES = 12, 5
INDS, LABELS = torch.tensor([3, 0, 7, 7]), torch.tensor([1, 4, 0, 2])


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(N, CLASSES, generator=g).clamp(0.01, 0.99), torch.rand(N, CLASSES, generator=g)


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------- named peaks


@pytest.mark.parametrize("options", [{}, {"alpha": 1.5, "gamma": 3.0, "pos_weight": 0.25, "neg_weight": 0.75}])
def test_named_peaks_as_mmdets(options):
    ours, theirs = (cls(**options) for cls in (ml.GaussianFocalLoss, stock("GaussianFocalLoss")))
    pred, target = drawn()
    for call in ({"avg_factor": 4}, {"avg_factor": torch.tensor(4.0)}, {"reduction_override": "sum"}):
        call |= {"pos_inds": INDS, "pos_labels": LABELS}
        assert_same(run(ours, pred, target, **call), run(theirs, pred, target, **call))


def test_a_peak_that_is_named_twice_counts_twice():
    pred, target = drawn()
    loss = ml.GaussianFocalLoss(reduction="sum")
    once = loss(pred, target, pos_inds=INDS[:1], pos_labels=LABELS[:1])
    none = loss(pred, target, pos_inds=INDS[:0], pos_labels=LABELS[:0])
    twice = loss(pred, target, pos_inds=INDS[[0, 0]], pos_labels=LABELS[[0, 0]])
    torch.testing.assert_close(twice - none, 2 * (once - none))
    p = pred[3, 1]
    torch.testing.assert_close(once - none, -((1 - p) ** 2) * p.log(), rtol=1e-4, atol=1e-5)


def test_unreduced_named_peaks():
    pred, target = drawn()
    rows = ml.GaussianFocalLoss(reduction="none")(pred, target, pos_inds=INDS, pos_labels=LABELS)
    assert rows.shape == pred.shape
    total = ml.GaussianFocalLoss(reduction="sum")(pred, target, pos_inds=INDS, pos_labels=LABELS)
    torch.testing.assert_close(rows.sum(), total)
    heat = torch.zeros(N, CLASSES)
    heat[INDS, LABELS] = 1
    torch.testing.assert_close(
        rows[INDS, LABELS],
        ml.GaussianFocalLoss(reduction="none")(pred, heat)[INDS, LABELS]
        - (1 - target[INDS, LABELS]) ** 4 * pred[INDS, LABELS] ** 2 * (1 - pred[INDS, LABELS]).log(),
    )


def test_named_peaks_of_weight_zero_are_deleted():
    pred, target = drawn()
    weight = torch.ones(N)
    weight[[3, 5]] = 0
    junk_pred, junk_target = pred.clone(), target.clone()
    junk_pred[[3, 5]], junk_target[[3, 5]] = torch.nan, torch.inf
    loss = ml.GaussianFocalLoss(reduction="sum")
    call = {"weight": weight, "pos_inds": INDS, "pos_labels": LABELS}
    value, grad = run(loss, junk_pred, junk_target, **call)
    kept = torch.tensor([i for i in range(N) if i not in (3, 5)])
    expected, expected_grad = run(
        loss, pred[kept], target[kept], pos_inds=torch.tensor([0, 5, 5]), pos_labels=LABELS[1:]
    )
    assert torch.equal(value, expected)
    assert torch.equal(grad[kept], expected_grad)
    assert (grad[[3, 5]] == 0).all()


def test_named_peaks_that_do_not_fit():
    pred, target = drawn()
    loss = ml.GaussianFocalLoss()
    for call, match in (
        ({"pos_inds": INDS}, "pos_labels must hold integers"),
        ({"pos_labels": LABELS}, "pos_inds must hold integers"),
        ({"pos_inds": INDS, "pos_labels": LABELS[1:]}, "pos_labels must have the shape of pos_inds"),
        ({"pos_inds": INDS.float(), "pos_labels": LABELS}, "pos_inds must hold integers"),
        ({"pos_inds": INDS + N, "pos_labels": LABELS}, "pos_inds must hold indices from 0 to 11, got 15 in row 0"),
        ({"pos_inds": INDS, "pos_labels": LABELS - 1}, "pos_labels must hold indices from 0 to 4, got -1 in row 2"),
    ):
        with pytest.raises(ValueError, match=match):
            loss(pred, target, **call)
    with pytest.raises(ValueError, match=r"pred must have shape \(n, c\)"):
        loss(pred[None], target[None], pos_inds=INDS, pos_labels=LABELS)


# -------------------------------------------------------------------------------------------- order of arguments


def test_mmdets_order_of_arguments():
    """``pos_inds, pos_labels, weight, avg_factor, reduction_override`` after the target, as far as they are given."""
    ours, theirs = ml.GaussianFocalLoss(), stock("GaussianFocalLoss")()
    pred, target = drawn()
    weight = torch.rand(N, CLASSES)
    named = {"pos_inds": INDS, "pos_labels": LABELS}
    for args, call in (
        ((INDS, LABELS, None, 4.0), {}),
        ((INDS, LABELS, None, None, "sum"), {}),
        ((INDS, LABELS), {"avg_factor": 4.0}),
        ((INDS, LABELS), {"reduction_override": "sum"}),
        ((INDS,), {"pos_labels": LABELS, "avg_factor": 4.0}),
        ((None, None, weight), {}),
        ((None, None, weight, 4.0), {}),
        ((None, None, weight, 4.0, "none"), {}),
        ((None, None, None, 4.0), {}),
        ((None, None), {"weight": weight}),
    ):
        assert_same(run(ours, pred, target, *args, **call), run(theirs, pred, target, *args, **call))
    # with one peak and one row, where a weight has the same shape
    one = (torch.tensor([0]), torch.tensor([2]))
    assert_same(run(ours, pred[:1], target[:1], *one, None, 1.0), run(theirs, pred[:1], target[:1], *one, None, 1.0))
    # indices of another kind
    assert torch.equal(
        ours(pred, target, INDS.int(), LABELS.int(), None, 4.0), ours(pred, target, **named, avg_factor=4.0)
    )


def test_order_of_every_other_loss():
    """``weight, avg_factor, reduction_override`` after the target."""
    ours, theirs = ml.GaussianFocalLoss(), stock("GaussianFocalLoss")()
    pred, target = drawn()
    rows = torch.rand(N)
    for weight in (rows[:, None], torch.rand(N, CLASSES)):
        expected = run(theirs, pred, target, weight=weight, avg_factor=4.0)
        assert_same(run(ours, pred, target, weight, 4.0), expected)
        assert_same(run(ours, pred, target, weight, 4.0, None), expected)
        assert_same(run(ours, pred, target, weight, avg_factor=4.0), expected)
        none = run(theirs, pred, target, weight=weight, reduction_override="none")
        assert_same(run(ours, pred, target, weight, None, "none"), none)
    assert_same(run(ours, pred, target, rows), run(theirs, pred, target, weight=rows[:, None]))
    # a mask of integers is a weight
    mask = torch.arange(N) % 2
    assert_same(run(ours, pred, target, mask, 4.0), run(theirs, pred, target, weight=mask[:, None], avg_factor=4.0))
    named = {"pos_inds": INDS, "pos_labels": LABELS}
    by_name = run(ours, pred, target, weight=rows, avg_factor=4.0, **named)
    assert_same(run(ours, pred, target, rows, 4.0, **named), by_name)


def test_arguments_that_fit_no_order():
    pred, target = drawn()
    loss = ml.GaussianFocalLoss()
    with pytest.raises(TypeError, match="wieght"):
        loss(pred, target, wieght=torch.ones(N))
    with pytest.raises(TypeError, match="twice"):
        loss(pred, target, INDS, LABELS, None, 4.0, avg_factor=4.0)
    with pytest.raises(TypeError, match="twice"):
        loss(pred, target, INDS, LABELS, None, 4.0, "sum", 1)


@pytest.mark.compiler
def test_one_graph_with_named_peaks():
    torch._dynamo.reset()
    loss = ml.GaussianFocalLoss()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend="eager")
    pred, target = drawn()
    for count in (4, 3, 2):
        call = {"pos_inds": INDS[:count], "pos_labels": LABELS[:count], "avg_factor": torch.tensor(4.0)}
        torch.testing.assert_close(compiled(pred, target, **call), loss(pred, target, **call))


# ------------------------------------------------------------------------------------------------------- heads

IMAGE = 64
METAS = [{"img_shape": (IMAGE, IMAGE), "pad_shape": (IMAGE, IMAGE), "batch_input_shape": (IMAGE, IMAGE)}] * 2


def ground_truth(with_boxes: bool) -> list[InstanceData]:
    boxes = torch.tensor([[8.0, 8, 40, 50], [20.0, 10, 60, 63]]) if with_boxes else torch.zeros(0, 4)
    return [
        InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 3),
        InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)),
    ]


def centernet():
    head = mmdet_models.CenterNetHead(in_channels=8, feat_channels=8, num_classes=3)
    return head, [16], ["loss_center_heatmap"]


def centernet_update():
    head = mmdet_models.CenterNetUpdateHead(
        num_classes=3,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        strides=[8, 16],
        regress_ranges=((0, 32), (24, 10000)),
        norm_cfg=ConfigDict(type="GN", num_groups=4),
        train_cfg=None,
    )
    return head, [8, 4], ["loss_cls"]


def corner():
    head = mmdet_models.CornerHead(num_classes=3, in_channels=8, num_feat_levels=1, corner_emb_channels=1)
    return head, [16], ["loss_heatmap"]


@pytest.mark.parametrize("with_boxes", [True, False])
@pytest.mark.parametrize("build", [centernet, centernet_update, corner], ids=lambda build: build.__name__)
def test_heads_of_heat_maps(build, with_boxes):
    """The head builds this class, a step follows, and its losses and gradients are those of mmdet's own class."""
    torch.manual_seed(0)
    head, sizes, slots = build()
    features = [torch.randn(2, 8, size, size) for size in sizes]
    results = []
    for own in (True, False):
        for slot in slots:
            if own:
                assert type(getattr(head, slot)) is ml.GaussianFocalLoss
            else:
                loss = getattr(head, slot)
                options = {key: getattr(loss, key) for key in ("alpha", "gamma", "pos_weight", "neg_weight")}
                theirs = stock("GaussianFocalLoss")(**options, loss_weight=loss.loss_weight)
                setattr(head, slot, theirs)
        head.zero_grad()
        losses = head.loss_by_feat(*head(tuple(features)), ground_truth(with_boxes), METAS)
        values = {key: sum(value) if isinstance(value, list) else value for key, value in losses.items()}
        sum(values.values()).backward()
        gradients = {name: x.grad.clone() for name, x in head.named_parameters() if x.grad is not None}
        results.append((values, gradients))
    (values, gradients), (stock_values, stock_gradients) = results
    assert all(value.isfinite() for value in values.values())
    assert sum(value > 0 for value in values.values())
    assert values.keys() == stock_values.keys()
    assert gradients.keys() == stock_gradients.keys()
    for key, value in values.items():
        torch.testing.assert_close(value, stock_values[key], rtol=1e-5, atol=1e-6)
    for name, grad in gradients.items():
        assert (grad - stock_gradients[name]).abs().max() <= 1e-5 * stock_gradients[name].abs().max() + 1e-8, name
