"""The layer that decodes distributions: the inverse of what the distribution focal loss trains."""

import pytest
import torch
from cases import BINS, draw_range
from oracle import distribution
from torch.nn.functional import softmax

import mmdet_losses as ml
from mmdet_losses.functional import integral

LOW = (torch.float16, torch.bfloat16)
RANGES = [(0.0, None), (0.0, 4.0), (-2.5, 7.0), (3.0, 3.5), (0.1, 0.7)]


@pytest.mark.parametrize(("y_min", "y_max"), RANGES)
def test_decodes_what_the_loss_trains(y_min, y_max):
    """The logits at which the loss is least, found from the loss alone, stand for the target."""
    last = BINS - 1 if y_max is None else y_max
    target = torch.linspace(y_min, last, 41, dtype=torch.float64)
    pred = torch.zeros(41, BINS, dtype=torch.float64, requires_grad=True)
    loss = ml.DistributionFocalLoss(reduction="sum", y_min=y_min, y_max=y_max)
    # The gradient of a cross-entropy is softmax(pred) minus the distribution that it is least at.
    (grad,) = torch.autograd.grad(loss(pred, target), pred)
    best = (softmax(pred, -1) - grad).clamp(min=0)
    torch.testing.assert_close(best.sum(1), torch.ones(41, dtype=torch.float64))
    assert (best > 1e-12).sum(1).max() <= 2
    decoded = ml.Integral(y_min, y_max, bins=BINS)(best.clamp(min=1e-30).log())
    torch.testing.assert_close(decoded, target, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("y_min", "y_max"), RANGES)
def test_gradient_descent_arrives_at_the_target(y_min, y_max):
    last = BINS - 1 if y_max is None else y_max
    target = torch.linspace(y_min, last, 11)
    pred = torch.zeros(11, BINS, requires_grad=True)
    loss, decode = ml.DistributionFocalLoss(reduction="sum", y_min=y_min, y_max=y_max), ml.Integral(y_min, y_max, BINS)
    assert (decode(pred) - target).abs().max() > 0.4 * (last - y_min)
    optimizer = torch.optim.Adam([pred], lr=0.5)
    for _ in range(150):
        optimizer.zero_grad()
        loss(pred, target).backward()
        optimizer.step()
    assert (decode(pred) - target).abs().max() < 0.02 * (last - y_min)


@pytest.mark.parametrize("reg_max", [16, 7])
def test_is_mmdets_layer_by_default(reg_max):
    gfl_head = pytest.importorskip("mmdet.models.dense_heads.gfl_head")
    pred = torch.randn(30, 4 * (reg_max + 1), generator=torch.Generator().manual_seed(0)) * 5
    ours, theirs = (pred.clone().requires_grad_() for _ in range(2))
    layer = ml.Integral() if reg_max == 16 else ml.Integral(bins=reg_max + 1)
    value, expected = layer(ours), gfl_head.Integral(reg_max)(theirs)
    assert value.shape == (30, 4)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    scale = torch.rand(30, 4)
    value.backward(scale)
    expected.backward(scale)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    # Levels flattened into rows of one side each, in which mmdet takes four rows for a box.
    rows = pred.reshape(-1, reg_max + 1)
    assert torch.equal(layer(rows), layer(pred).reshape(-1))


def test_shapes():
    layer = ml.Integral(-1.0, 1.0, bins=BINS)
    pred = torch.randn(3, 2, 4 * BINS)
    assert layer(pred).shape == (3, 2, 4)
    assert layer(pred[..., : 2 * BINS]).shape == (3, 2, 2)
    assert layer(pred[..., :BINS]).shape == (3, 2)
    assert layer(pred[0, 0, :BINS]).shape == ()
    assert layer(pred[:0]).shape == (0, 2, 4)
    torch.testing.assert_close(layer(pred)[..., 1], layer(pred[..., BINS : 2 * BINS]))
    for wrong in (pred[..., :-1], pred[..., :0], pred[..., : BINS - 1], torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"pred must have shape \(\*, 9\)"):
            layer(wrong)
    with pytest.raises(ValueError, match="pred must be a floating-point tensor"):
        layer(torch.zeros(2, BINS, dtype=torch.long))


def test_scalar_reference():
    pred, _ = draw_range(torch.Generator().manual_seed(0), 20)
    expected = [distribution.integral(row, -1.5, 4.5) for row in pred.tolist()]
    assert integral(pred, bins=BINS, y_min=-1.5, y_max=4.5).tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(ml.Integral(-1.5, 4.5, BINS), pred.requires_grad_())


def test_half_precision_and_large_logits():
    pred = torch.tensor([[1e4] + [-1e4] * (BINS - 1), [-1e4] * (BINS - 1) + [1e4]])
    assert ml.Integral(2.0, 7.0, BINS)(pred).tolist() == [2.0, 7.0]
    for low in LOW:
        rounded = torch.randn(5, BINS).to(low)
        value = ml.Integral(0.1, 0.7, BINS).to(low)(rounded)
        assert value.dtype == torch.float32
        assert torch.equal(value, ml.Integral(0.1, 0.7, BINS)(rounded.float()))


def test_one_graph():
    torch._dynamo.reset()
    layer = ml.Integral(-1.0, 1.0, BINS)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="eager")
    for n in (5, 0, 1, 7):
        pred = torch.randn(n, 4 * BINS)
        torch.testing.assert_close(compiled(pred), layer(pred))


def test_debug_names_the_label_outside_the_range():
    loss = ml.DistributionFocalLoss(y_min=-2.0, y_max=2.0, debug=True)
    target = torch.tensor([-2.0, 2.0, 0.3])
    loss(torch.zeros(3, BINS), target)
    target[1] = 2.1
    with pytest.raises(ValueError, match=r"target must hold distances, -2 to 2 .*2\.09.* in row 1"):
        loss(torch.zeros(3, BINS), target)
    with pytest.raises(ValueError, match="y_max must be more than y_min"):
        ml.DistributionFocalLoss(y_min=9.0)(torch.zeros(3, BINS), target)


def test_it_is_no_loss_and_has_no_state():
    assert "Integral" not in ml.registry.LOSSES
    assert not ml.Integral().state_dict()
    assert "bins=17" in repr(ml.Integral())
