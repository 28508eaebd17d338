"""Ranking losses: the whole batch against the scalar reference, and what the contract says of every loss."""

import copy
import io
import pickle

import pytest
import torch
from cases import CLASSES, RANK_CASES, NoWaiting, autocast, map_target, never_select, over, run, spoil
from cases.bad import DTYPES
from cases.compiler import Counting, fresh_compiler, sizes  # noqa: F401  the fixture
from torch import Tensor

import mmdet_losses as ml
from mmdet_losses import functional as F
from mmdet_losses.functional import ranking
from mmdet_losses.functional.classification import one_hot

N = 12
DELETED = torch.tensor([False, True, False, False, True, True, False, False, False, True, False, False])
CALLS = [{}, {"reduction_override": "sum"}, {"avg_factor": 3.0}, {"avg_factor": torch.tensor(3)}]


@pytest.fixture(params=["select", "replace"])
def path(request, monkeypatch):
    """Entries are picked on a CPU; elsewhere nothing reads a value back."""
    if request.param == "replace":
        never_select(monkeypatch)
    return request.param


def dense(pred: Tensor, target: Tensor) -> Tensor:
    """The target of each entry, -1 for what is ignored."""
    if target.shape == pred.shape:
        return target.double()
    return torch.where(target[:, None] < 0, -1, one_hot(target, pred.shape[1]).double())


def reference(case, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Error of each entry, and the matrix of the gradients that each error assigns."""
    errors, gradients = case.reference(pred.double().flatten().tolist(), dense(pred, target).flatten().tolist())
    return torch.tensor(errors, dtype=torch.float64), torch.tensor(gradients, dtype=torch.float64)


def coarse(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and qualities of few values, so that there are ties of every kind."""
    quality = (target * 4).ceil() / 4 if target.is_floating_point() else target
    return (pred * 2).round() / 2, quality


@pytest.mark.parametrize("ties", [False, True])
@over(RANK_CASES)
def test_value_and_gradient(case, ties, path):
    for seed in range(4):
        pred, target = case.batch(N, torch.float64, seed=seed)
        if ties:
            pred, target = coarse(pred, target)
        errors, gradients = reference(case, pred, target)
        assert (errors > 0.01).sum() >= 2
        value, grad = run(case.build(reduction="none"), pred, target)
        torch.testing.assert_close(value.flatten(), errors, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(grad.flatten(), gradients.sum(0), rtol=1e-9, atol=1e-11)

        # each error passes its own upstream gradient on
        upstream = torch.randn(pred.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        leaf = pred.clone().requires_grad_()
        case.build(reduction="none")(leaf, target).backward(upstream)
        torch.testing.assert_close(leaf.grad.flatten(), upstream.flatten() @ gradients, rtol=1e-9, atol=1e-11)

        single, single_target = pred.float(), map_target(target, lambda x: x.float() if x.is_floating_point() else x)
        errors, gradients = reference(case, single, single_target)
        value, grad = run(case.build(reduction="none"), single, single_target)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.flatten().double(), errors, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(grad.flatten().double(), gradients.sum(0), rtol=1e-5, atol=1e-6)


@over(RANK_CASES)
def test_reductions(case, path):
    """The published loss is the mean over the positives, with and without their number as avg_factor."""
    pred, target = case.batch(N, torch.float64)
    errors, gradients = reference(case, pred, target)
    count = int((dense(pred, target) > 0).sum())
    assert 2 <= count < errors.numel()
    factors = {"mean": ({}, count), "sum": ({"reduction_override": "sum"}, 1)}
    factors |= {f"avg_factor={f}": ({"avg_factor": f}, float(f)) for f in (count, 7.0, torch.tensor(2))}
    for call, divisor in factors.values():
        value, grad = run(case.build(loss_weight=1.5), pred, target, **call)
        torch.testing.assert_close(value, 1.5 * errors.sum() / divisor)
        torch.testing.assert_close(grad.flatten(), 1.5 * gradients.sum(0) / divisor)
    for zero in (0, torch.tensor(0.0)):
        value, grad = run(case.build(), pred, target, avg_factor=zero)
        assert value == 0
        assert (grad == 0).all()
    with pytest.raises(ValueError, match="avg_factor"):
        case.build(reduction="sum")(pred, target, avg_factor=2)
    none = case.build(reduction="none", loss_weight=1.5)
    assert torch.equal(none(pred, target, avg_factor=0), none(pred, target))
    torch.testing.assert_close(none(pred, target).flatten(), 1.5 * errors)


@over(RANK_CASES)
def test_upstream_gradient(case):
    pred, target = case.batch(N)
    _, plain = run(case.build(), pred, target)
    leaf = pred.clone().requires_grad_()
    (-3 * case.build()(leaf, target)).backward()
    torch.testing.assert_close(leaf.grad, -3 * plain)
    leaf = pred.double().requires_grad_()
    (first,) = torch.autograd.grad(case.build()(leaf, target), leaf, create_graph=True)
    assert not first.requires_grad  # assigned: constants


@over(RANK_CASES)
def test_weight_zero_is_deleted(case, path):
    pred, target = case.batch(N)
    weight = torch.where(DELETED, 0, torch.linspace(0.5, 2, N))
    kept = pred[~DELETED], target[~DELETED]
    junk = spoil(pred, target, DELETED)
    for call in CALLS:
        value, grad = run(case.build(), *junk, weight, **call)
        expected, expected_grad = run(case.build(), *kept, weight[~DELETED], **call)
        assert (grad[DELETED] == 0).all()
        if path == "select":
            assert torch.equal(value, expected)
            assert torch.equal(grad[~DELETED], expected_grad)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grad[~DELETED], expected_grad, rtol=1e-5, atol=1e-7)
        harmless, harmless_grad = run(case.build(), pred, target, weight, **call)
        assert torch.equal(value, harmless)
        assert torch.equal(grad, harmless_grad)
    rows, _ = run(case.build(reduction="none"), *junk, weight)
    assert rows.shape == pred.shape
    assert (rows[DELETED] == 0).all()
    unweighted = case.build(reduction="none")(*kept)
    per_row = weight[~DELETED].reshape(-1, *[1] * (pred.ndim - 1))
    torch.testing.assert_close(rows[~DELETED], unweighted * per_row)

    zero = torch.zeros(N)
    for call in [*CALLS, {"reduction_override": "none"}]:
        value, grad = run(case.build(), *spoil(pred, target, torch.ones(N, dtype=torch.bool)), zero, **call)
        assert (value == 0).all()
        assert (grad == 0).all()


@over([case for case in RANK_CASES if case.form != "flat"])
def test_weight_per_element(case, path):
    """Also single entries are deleted; a positive's weight multiplies its error and what that assigns."""
    pred, target = case.batch(N, torch.float64)
    weight = torch.rand(pred.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.2
    weight[torch.rand(pred.shape, generator=torch.Generator().manual_seed(3)) < 0.3] = 0
    marked = torch.where(weight == 0, -1, dense(pred, target))
    errors, gradients = case.reference(pred.flatten().tolist(), marked.flatten().tolist())
    errors, gradients = (torch.tensor(x, dtype=torch.float64) for x in (errors, gradients))
    value, grad = run(case.build(), torch.where(weight == 0, torch.nan, pred), target, weight)
    count = (marked > 0).sum()
    torch.testing.assert_close(value, (errors * weight.flatten()).sum() / count)
    torch.testing.assert_close(grad.flatten(), weight.flatten() @ gradients / count)
    column = case.build()(pred, target, weight[:1] + 1)
    torch.testing.assert_close(column, case.build()(pred, target, (weight[:1] + 1).expand_as(pred)))


@over(RANK_CASES)
def test_target_below_zero_is_ignored(case, path):
    pred, target = case.batch(N)
    marked = torch.where(DELETED if target.ndim == 1 else DELETED[:, None], -1, target)
    junk, _ = spoil(pred, target, DELETED)
    for call in CALLS:
        value, grad = run(case.build(), junk, marked, **call)
        expected, expected_grad = run(case.build(), pred[~DELETED], target[~DELETED], **call)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grad[~DELETED], expected_grad, rtol=1e-5, atol=1e-7)
        assert (grad[DELETED] == 0).all()


@over(RANK_CASES)
def test_laws(case, path):
    """Order of the entries, a shift of all logits, and what the gradients sum to."""
    pred, target = case.batch(N, torch.float64)
    value, grad = run(case.build(), pred, target)
    assert value > 0.01
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    shuffled, shuffled_grad = run(case.build(), pred[order], target[order])
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(shuffled_grad, grad[order])
    if case.options.get("delta") != 0:
        shifted, shifted_grad = run(case.build(), pred + 3.7, target)
        torch.testing.assert_close(shifted, value)
        torch.testing.assert_close(shifted_grad, grad)
    assert grad.sum().abs() < 1e-12  # every error is a balance of pull and push
    assert (grad[dense(pred, target).reshape(pred.shape) == 0] >= 0).all()
    assert torch.equal(case.build()(pred, target), case.build()(pred.clone(), target.clone()))
    flat_loss = case.build(reduction="none")(pred.flatten(), dense(pred, target).flatten())
    if case.form != "labels":
        torch.testing.assert_close(flat_loss.reshape(pred.shape), case.build(reduction="none")(pred, target))


@over(RANK_CASES)
def test_bounds_and_best(case, path):
    low, high = case.loss_class.bounds
    pred, target = case.batch(300, torch.float64)
    value = case.build(reduction="none")(pred, target)
    assert low <= value.min()
    assert value.max() < high
    assert case.loss_class.best == 0
    best, grad = run(case.build(), 1e9 * dense(pred, target).reshape(pred.shape), target)
    assert best.abs() < 1e-12
    assert grad.abs().max() < 1e-12


def test_bounds_are_not_idle():
    """A good positive below many bad ones, and these among very many negatives."""
    score = torch.full((100_000,), 10.0)
    quality = torch.zeros(100_000)
    quality[:1000], quality[0], score[0] = 0.01, 1.0, 0.0
    for loss in (ml.APLoss(reduction="none"), ml.RankSortLoss(reduction="none")):
        assert loss(score, quality).max() > 0.95 * loss.bounds[1]


@over(RANK_CASES)
def test_empty_and_one_sided(case, path):
    pred, target = case.batch(N)
    background = torch.full_like(target, CLASSES if case.form == "labels" else 0)
    for p, t in (
        (pred[:0], target[:0]),
        (pred, background),
        (pred, torch.full_like(target, -1)),
        (pred, torch.ones_like(target)),
        (pred[:1], torch.ones_like(target[:1])),
    ):
        for weight in (None, torch.ones(len(p)), torch.zeros(len(p))):
            for call in [*CALLS, {"reduction_override": "none"}, {"avg_factor": 0}]:
                parameter = torch.ones((), requires_grad=True)
                value = case.build()(p * parameter, t, weight, **call)
                assert value.shape == (p.shape if call.get("reduction_override") == "none" else ())
                value.sum().backward()
                assert parameter.grad.isfinite()
                if not (t.numel() and (t == 1).all()):
                    assert (value == 0).all()
                    assert parameter.grad == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@over(RANK_CASES)
def test_bad_logits(case, dtype, path):
    numbers = torch.tensor([0.0, 1e-3, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4, 1e4, 0.0])
    for seed in range(4):
        pred, target = case.batch(16, dtype, seed=seed)
        g = torch.Generator().manual_seed(seed)
        pred = numbers[torch.randint(0, len(numbers), pred.shape, generator=g)].to(dtype)
        value, grad = run(case.build(reduction="none"), pred, target)
        assert value.isfinite().all()
        assert (value >= 0).all()
        assert grad.isfinite().all()
        errors, gradients = reference(case, pred, target)
        torch.testing.assert_close(value.flatten().double(), errors, rtol=1e-5, atol=1e-6)
        scale = 1e-5 if dtype in (torch.float32, torch.float64) else 2e-2
        torch.testing.assert_close(grad.flatten().double(), gradients.sum(0), rtol=scale, atol=scale)


@over(RANK_CASES)
def test_nan_is_not_hidden(case, path):
    pred, target = case.batch(N)
    entry = dense(pred, target).reshape(pred.shape)
    for kind in (entry > 0, entry == 0):
        broken = pred.clone()
        broken[tuple(kind.nonzero()[0])] = torch.nan
        assert case.build()(broken, target).isnan()


@pytest.mark.parametrize("low", DTYPES[2:], ids=str)
@over(RANK_CASES)
def test_low_precision_is_upcast_first(case, low):
    pred, target = case.batch(N, low)
    wide = target.float() if target.is_floating_point() else target
    for call in ({}, {"reduction_override": "none"}, {"avg_factor": 2.5}):
        value, grad = run(case.build(), pred, target, **call)
        expected, expected_grad = run(case.build(), pred.float(), wide, **call)
        assert value.dtype == torch.float32
        assert grad.dtype == low
        assert torch.equal(value, expected)
        assert torch.equal(grad, expected_grad.to(low))
        with autocast(low):
            under, under_grad = run(case.build(), pred, target, **call)
        assert torch.equal(under, value)
        assert torch.equal(under_grad, grad)
    wide = case.build()(pred.double(), target, torch.ones(N))
    assert wide.dtype == torch.float64
    narrow = case.build()(
        pred.float(), target, torch.ones(N, dtype=torch.float64), avg_factor=torch.tensor(2.0).double()
    )
    assert narrow.dtype == torch.float32


@pytest.mark.compiler
@pytest.mark.usefixtures("fresh_compiler")
@over(RANK_CASES)
def test_one_graph_for_all_sizes(case):
    loss = case.build()
    backend = Counting()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=backend)
    for n in sizes(case, RANK_CASES):
        pred, target = case.batch(max(n, 1), seed=n)
        weight = torch.rand(max(n, 1), generator=torch.Generator().manual_seed(n))
        weight[::3] = 0
        pred, target, weight = pred[:n], target[:n], weight[:n]
        pred = torch.where((weight == 0).reshape(-1, *[1] * (pred.ndim - 1)), torch.nan, pred)
        factor = torch.tensor(float(n + 1))
        value, grad = run(compiled, pred, target, weight, avg_factor=factor)
        expected, expected_grad = run(loss, pred, target, weight, avg_factor=factor)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-7)
    assert backend.graphs <= 3


@over(RANK_CASES)
def test_a_device_is_never_waited_for(case, monkeypatch):
    never_select(monkeypatch)
    # under its operator's name nothing would be seen of what it does
    monkeypatch.setattr(ranking, "count_above_of_lower", ranking.lower_counts)
    pred, target = case.batch(N)
    for weight in (None, torch.ones(N)):
        for call in [*CALLS, {"reduction_override": "none"}]:
            leaf = pred.clone().requires_grad_()
            with NoWaiting():
                case.build()(leaf, target, weight, **call).sum().backward()
            assert leaf.grad is not None


@over(RANK_CASES)
def test_module(case):
    loss = case.build(loss_weight=1.5)
    pred, target = case.batch(N)
    before = pred.clone(), target.clone()
    expected = loss(pred, target)
    assert torch.equal(pred, before[0])
    assert torch.equal(target, before[1])
    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(pred, target), expected)
    assert not loss.state_dict()
    assert loss.use_sigmoid is True
    assert "delta=" in repr(loss)
    with torch.inference_mode():
        assert torch.equal(loss(pred, target), expected)
    leaf = pred.clone().requires_grad_()
    value = loss(leaf, target)
    value /= 2.0
    value.backward()


@over(RANK_CASES)
def test_errors(case):
    pred, target = case.batch(N)
    for wrong in (target[:-1], target[None], None, "target"):
        with pytest.raises(ValueError, match="target"):
            case.build()(pred, wrong)
    for shape in ((), (N + 1,), (N, CLASSES + 1), (1, N), (1, 1, 1)):
        with pytest.raises(ValueError, match="weight"):
            case.build()(pred, target, torch.ones(shape))
    with pytest.raises(ValueError, match="reduction_override"):
        case.build()(pred, target, reduction_override="avg")
    with pytest.raises(ValueError, match="delta must be 0 or more, got -1"):
        case.build(delta=-1.0)
    with pytest.raises(ValueError, match="use_sigmoid"):
        case.build(use_sigmoid=False)
    with pytest.raises(ValueError, match="delta_RS"):
        case.build(delta_RS=0.5)
    bad = pred.clone()
    bad[3] = torch.nan
    row = case.build(debug=True)
    weight = torch.ones(N)
    if case.form == "flat":
        target = target.clamp(min=0)
    with pytest.raises(ValueError, match=r"pred .*row 3"):
        row(bad, target)
    weight[3] = 0
    assert row(bad, target, weight).isfinite()
    ignored = target.clone()
    ignored[3] = -1
    assert row(bad, ignored).isfinite()


def test_parts_of_rank_and_sort():
    """Both errors, each with its own gradient; labels leave no sorting error."""
    score = torch.tensor([1.0, 2, 1.5, -3], requires_grad=True)
    quality = torch.tensor([0.8, 0.6, 0, 0])
    rank, sort = F.rank_sort_errors(score, quality)
    torch.testing.assert_close(rank.sum() / 2, torch.tensor(0.2))
    torch.testing.assert_close(sort.sum() / 2, torch.tensor(0.2 / 3))
    (grad,) = torch.autograd.grad(rank.sum() / 2, score, retain_graph=True)
    torch.testing.assert_close(grad, torch.tensor([-0.2, 0, 0.2, 0]))
    (grad,) = torch.autograd.grad(sort.sum() / 2, score)
    torch.testing.assert_close(grad, torch.tensor([-0.2, 0.2, 0, 0]) / 3)
    assert (F.rank_sort_errors(score, torch.tensor([1, 1, 0, 0]))[1] == 0).all()


@pytest.mark.parametrize("name", ["APLoss", "RankSortLoss"])
def test_many_entries(name, monkeypatch):
    """160,000 entries with 1,600 positives: picked and unpicked agree, in memory that grows with their number."""
    g = torch.Generator().manual_seed(0)
    pred = torch.randn(2000, 80, generator=g) - 4.6
    target = torch.rand(2000, 80, generator=g) * (torch.rand(2000, 80, generator=g) < 0.01)
    loss = getattr(ml, name)()
    picked = run(loss, pred, target)
    never_select(monkeypatch)
    for one, other in zip(run(loss, pred, target), picked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)
