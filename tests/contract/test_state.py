"""Running statistics: gathered in training calls alone, committed once per iteration, kept with the model."""

import copy
import io
import pickle
import warnings
from types import SimpleNamespace

import pytest
import torch
from cases import CLASSES, STATEFUL_CASES, map_target, over, run, spoil
from oracle import harmonized
from torch import Tensor, nn

import mmdet_losses as ml
from mmdet_losses import commit_statistics
from mmdet_losses.modules.state import FORGOTTEN

N = 23


def statistics(loss: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loss.state_dict().items()}


def gathered(loss: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loss.named_buffers() if "gathered_" in name}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], rtol: float = 0, atol: float = 0) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=rtol, atol=atol, msg=name)


def differ(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return any(not torch.equal(value, second[name]) for name, value in first.items())


def train(loss: nn.Module, *batches) -> None:
    """One training call each, and a commit."""
    for batch in batches:
        run(loss, *batch)
    commit_statistics(loss)


def be_one_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)


# ------------------------------------------------------------------------------------------------- all of them


def test_which_losses_have_statistics():
    assert {"GHMC", "GHMR", "SeesawLoss", "EQLV2Loss", "EqualizedFocalLoss"} <= {case.name for case in STATEFUL_CASES}


@over(STATEFUL_CASES)
def test_calls_wait_for_the_commit(case):
    """A head with five levels calls five times; all of them use the statistics of the iterations before."""
    loss = case.build()
    first, second = case.batch(N), case.batch(N, seed=1)
    before, expected = statistics(loss), loss(*second)
    for _ in range(3):
        run(loss, *first)
    assert not differ(statistics(loss), before)
    assert torch.equal(loss(*second), expected)
    assert any(value.any() for value in gathered(loss).values())
    commit_statistics(loss)
    assert differ(statistics(loss), before)
    assert not torch.equal(loss(*second), expected)
    commit_statistics(loss)
    loss.eval()
    after = statistics(loss)
    commit_statistics(loss)  # nothing new
    assert_same(statistics(loss), after)
    assert not any(value.any() for value in gathered(loss).values())


@over(STATEFUL_CASES)
def test_order_of_calls_does_not_matter(case):
    first, second = case.batch(N), case.batch(N // 2, seed=1)
    one, other = case.build(), case.build()
    train(one, first, second)
    train(other, second, first)
    assert_same(statistics(one), statistics(other), rtol=1e-6, atol=1e-9)


@over(STATEFUL_CASES)
def test_processes_add_up(case, monkeypatch):
    """Two processes with a batch each end where one with both does, by one collective for all losses."""
    batches = case.batch(N), case.batch(N // 2, seed=1)
    ranks = [nn.ModuleList([case.build(), ml.GIoULoss(), case.build()]) for _ in range(2)]
    for rank, batch in zip(ranks, batches, strict=True):
        for loss in rank[::2]:
            run(loss, *batch)
    sums = [torch.cat([value.flatten() for value in gathered(rank).values()]) for rank in ranks]
    collectives = []

    def all_reduce(flat: Tensor) -> None:
        collectives.append(flat.clone())
        flat.copy_(sum(sums))

    be_one_of_two(monkeypatch)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    for rank in ranks:
        commit_statistics(rank)
    assert len(collectives) == 2
    assert_same(statistics(ranks[0]), statistics(ranks[1]))
    monkeypatch.undo()
    alone = case.build()
    train(alone, *batches)
    assert_same(statistics(ranks[0][2]), statistics(alone), rtol=1e-6, atol=1e-9)


def test_no_collective_without_statistics(monkeypatch):
    be_one_of_two(monkeypatch)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: pytest.fail("a collective for nothing"))
    commit_statistics(nn.ModuleList([ml.GIoULoss(), ml.FocalLoss(), ml.GHMC()]))


@pytest.mark.parametrize("how", ["eval", "no_grad", "inference", "scoring"])
@over(STATEFUL_CASES)
def test_only_training_calls_are_gathered(case, how):
    """PAA scores its candidates with ``reduction_override='none'``; validation may compute losses."""
    loss = case.build()
    pred, target = case.batch(N)
    before = statistics(loss)
    if how == "eval":
        loss.eval()
        run(loss, pred, target)
    elif how == "scoring":
        run(loss, pred, target, reduction_override="none")
    else:
        with torch.no_grad() if how == "no_grad" else torch.inference_mode():
            loss(pred, target)
    assert not any(value.any() for value in gathered(loss).values())
    commit_statistics(loss)
    assert_same(statistics(loss), before)
    loss.train()
    train(loss, (pred, target))
    assert differ(statistics(loss), before)


@over(STATEFUL_CASES)
def test_rows_of_weight_zero_are_not_gathered(case):
    pred, target = case.batch(N)
    deleted = torch.zeros(N, dtype=torch.bool)
    deleted[::3] = True
    one, other = case.build(), case.build()
    train(one, (*spoil(pred, target, deleted), (~deleted).float()))
    train(other, (pred[~deleted], map_target(target, lambda x: x[~deleted])))
    assert_same(statistics(one), statistics(other), rtol=1e-6, atol=1e-9)


@over(STATEFUL_CASES)
def test_nan_does_not_stay(case):
    """Mixed precision skips a step with an overflow and goes on; so do the statistics."""
    loss = case.build()
    pred, target = case.batch(N)
    broken = pred.clone()
    broken[2] = torch.nan
    broken[3] = torch.inf
    train(loss, (broken, target))
    assert all(value.isfinite().all() for value in statistics(loss).values())
    train(loss, (pred, target))
    assert all(value.isfinite().all() for value in statistics(loss).values())
    assert loss(pred, target).isfinite()


@over(STATEFUL_CASES)
def test_empty_calls_change_nothing_lasting(case):
    loss = case.build()
    pred, target = case.batch(3)
    empty = pred[:0], map_target(target, lambda x: x[:0])
    before = statistics(loss)
    train(loss, empty, empty)
    assert_same(statistics(loss), before)
    batch = case.batch(N)
    train(loss, empty, batch)
    other = case.build()
    train(other, batch)
    assert_same(statistics(loss), statistics(other))


@over(STATEFUL_CASES)
def test_saved_and_resumed(case):
    """Through a file, between iterations: training goes on as if it had not been stopped."""
    first, second, third = (case.batch(N, seed=seed) for seed in range(3))
    loss = case.build()
    train(loss, first, second)
    buffer = io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    assert not any("gathered" in name for name in loss.state_dict())
    buffer.seek(0)
    resumed = case.loss_class(**case.options)
    resumed.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    assert torch.equal(resumed(*third), loss(*third))
    commit_statistics(nn.ModuleList([loss, resumed]))
    for one in (loss, resumed):
        train(one, third)
    assert_same(statistics(resumed), statistics(loss))


@over(STATEFUL_CASES)
def test_copies_have_statistics_of_their_own(case):
    """The EMA hook copies the model."""
    loss = case.build()
    batch = case.batch(N)
    train(loss, batch)
    twins = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    before = statistics(loss)
    for twin in twins:
        assert_same(statistics(twin), before)
        assert torch.equal(twin(*batch), loss(*batch))
        train(twin, case.batch(N, seed=1))
        assert differ(statistics(twin), before)
    assert_same(statistics(loss), before)


@over(STATEFUL_CASES)
def test_statistics_stay_float32(case):
    """A count in bfloat16 ends at 256, one in half at 65504."""
    loss = case.build()
    train(loss, case.batch(N))
    before = statistics(loss)
    for dtype in (torch.float16, torch.bfloat16):
        loss.to(dtype)
        assert all(value.dtype == torch.float32 for value in [*statistics(loss).values(), *gathered(loss).values()])
    assert_same(statistics(loss), before)
    pred, target = case.batch(N)
    train(loss, (pred.bfloat16(), target))
    assert differ(statistics(loss), before)


@over(STATEFUL_CASES)
def test_nothing_commits_for_too_long(case):
    loss = case.build()
    batch = case.batch(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            run(loss, *batch)
    holder = next(module for module in loss.modules() if getattr(module, "sum_names", ()))
    assert holder.uncommitted == 3
    commit_statistics(loss)
    assert holder.uncommitted == 0
    holder.uncommitted = FORGOTTEN - 2
    run(loss, *batch)
    with pytest.warns(UserWarning, match=r"commit_statistics.*LossStateHook"):
        run(loss, *batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(loss, *batch)


@pytest.mark.compiler
@over(STATEFUL_CASES)
def test_compiled_calls_are_gathered(case):
    torch._dynamo.reset()
    loss, eager = case.build(), case.build()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend="eager")
    for seed in range(3):
        batch = case.batch(N + seed, seed=seed)
        for one in (compiled, eager):
            run(one, *batch)
        assert_same(gathered(loss), gathered(eager), rtol=1e-6, atol=1e-9)
        for one in (loss, eager):
            commit_statistics(one)
        assert_same(statistics(loss), statistics(eager), rtol=1e-6, atol=1e-9)
    torch._dynamo.reset()


# ----------------------------------------------------------------------------------------------------- the hook


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


@over(STATEFUL_CASES)
def test_hook_commits_after_each_iteration(case):
    pytest.importorskip("mmengine", reason="the hook is MMEngine's")
    import mmengine.hooks  # noqa: F401  with which the hooks of this package are known
    from mmengine.registry import HOOKS, MODEL_WRAPPERS

    hook = HOOKS.build(dict(type="LossStateHook"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODEL_WRAPPERS.module_dict, "Wrapper", Wrapper)
        for wrap in (lambda model: model, Wrapper):
            loss, alone = case.build(), case.build()
            runner = SimpleNamespace(model=wrap(nn.ModuleList([loss])), iter=0, max_iters=2)
            hook.before_train(runner)
            for seed in range(2):
                hook.before_train_iter(runner, seed)
                run(loss, *case.batch(N, seed=seed))
                hook.after_train_iter(runner, seed)
                train(alone, case.batch(N, seed=seed))
            assert_same(statistics(loss), statistics(alone))


def test_hook_commits_before_others_save_and_evaluate():
    pytest.importorskip("mmengine", reason="the hook is MMEngine's")
    from mmengine.hooks import CheckpointHook, EMAHook
    from mmengine.runner.priority import get_priority

    from mmdet_losses.hooks import LossStateHook

    for other in (CheckpointHook, EMAHook):
        assert get_priority(LossStateHook.priority) < get_priority(other.priority)


class Warming(ml.Annealed):
    progress = None

    def set_progress(self, progress: float) -> None:
        self.progress = progress


def test_hook_tells_the_progress():
    pytest.importorskip("mmengine", reason="the hook is MMEngine's")
    from mmdet_losses.hooks import LossStateHook

    hook, warming = LossStateHook(), Warming()
    runner = SimpleNamespace(model=nn.ModuleList([warming]), iter=0, max_iters=8)
    hook.before_train(runner)
    for i in (0, 3, 7):
        runner.iter = i
        hook.before_train_iter(runner, i)
        assert warming.progress == i / 8


# ---------------------------------------------------------------------------------------------------- each of them


def test_seesaw_counts_labels():
    loss = ml.SeesawLoss(num_classes=3)
    logits = torch.zeros(7, 5, requires_grad=True)
    labels = torch.tensor([0, 0, 2, 3, 3, 3, -1])
    loss(logits, labels)
    loss(logits, labels, torch.tensor([1.0, 0, 0.5, 1, 0, 0, 0]))
    commit_statistics(loss)
    assert loss.cum_samples.tolist() == [3, 0, 2, 5]
    loss(logits, labels)
    commit_statistics(loss)
    assert loss.cum_samples.tolist() == [5, 0, 3, 9]


@pytest.mark.parametrize("weighted", [False, True])
@over([case for case in STATEFUL_CASES if case.name in ("EQLV2Loss", "EqualizedFocalLoss")])
def test_gathered_gradients_are_those_of_the_loss(case, weighted):
    """In closed form during the forward pass, against what autograd gives."""
    loss = case.build(reduction="sum")
    pred, target = case.batch(N, torch.float64)
    weight = torch.rand(N, generator=torch.Generator().manual_seed(0)) if weighted else None
    _, grad = run(loss, pred, target, weight)
    positive = target if target.ndim == 2 else nn.functional.one_hot(target, CLASSES + 1)[:, :CLASSES]
    size = grad[:, :CLASSES].abs()
    expected = {"gathered_positive": (size * positive).sum(0), "gathered_negative": (size * (1 - positive)).sum(0)}
    assert_same(gathered(loss), {name: value.float() for name, value in expected.items()}, rtol=1e-5, atol=1e-7)
    positive, negative = gathered(loss).values()
    commit_statistics(loss)
    ratio = positive / negative
    torch.testing.assert_close(loss.pos_neg, ratio.clamp(max=1) if case.name == "EqualizedFocalLoss" else ratio)


def test_class_without_gradients_keeps_its_ratio():
    """One label and weight 0 everywhere else: nothing is known, and the ratio is not 0."""
    loss = ml.EqualizedFocalLoss(num_classes=2)
    weight = torch.tensor([[1.0, 0.0]])
    loss(torch.zeros(1, 2, requires_grad=True), torch.tensor([1]), weight)
    commit_statistics(loss)
    assert loss.pos_neg.tolist() == [0, 1]


def test_focal_power_of_rare_classes_grows():
    loss = ml.EqualizedFocalLoss(num_classes=2, reduction="none")
    logits = torch.zeros(40, 2, requires_grad=True)
    labels = torch.tensor([0] * 39 + [1])
    train(loss, (logits, labels))
    assert loss.pos_neg[0] == 1
    assert loss.pos_neg[1] < 0.02
    power = 2 + 8 * (1 - loss.pos_neg[1].item())
    expected = power / 2 * 0.75 * 0.5**power * torch.log(torch.tensor(2.0))
    torch.testing.assert_close(loss(logits, labels)[0, 1].detach(), expected)


def histogram(norms: list[float], bins: int = 10) -> list[int]:
    places = [min(int(g * bins), bins - 1) for g in norms]
    return [places.count(b) for b in range(bins)]


def test_harmonizing_mean_of_the_elements_of_a_call():
    """First iteration: the mean over its calls, not a share of it. Later: moved towards the new; empty bins stay."""
    loss = ml.GHMC(momentum=0.75)
    levels = [torch.tensor([0.1, 0.3, 0.3, 0.9]), torch.tensor([0.3, 0.52])]
    label = [torch.zeros(4, 1), torch.zeros(2, 1)]
    train(loss, *((p.logit()[:, None], y) for p, y in zip(levels, label, strict=True)))
    expected = [0, 0.5, 0, 1.5, 0, 0.5, 0, 0, 0, 0.5]
    norms = [0.1001, 0.3001, 0.3001, 0.9001, 0.3001, 0.52]
    assert [n / 2 for n in histogram(norms)] == expected
    torch.testing.assert_close(loss.acc_sum, torch.tensor(expected), msg=str(loss.acc_sum))
    train(loss, (torch.tensor([[0.35], [0.75]]).logit(), torch.zeros(2, 1)))
    expected[3] = 0.75 * 1.5 + 0.25 * 1
    expected[7] = 1
    torch.testing.assert_close(loss.acc_sum, torch.tensor(expected))


@pytest.mark.parametrize("name", ["GHMC", "GHMR"])
def test_first_harmonized_loss_is_that_of_its_own_histogram(name):
    case = next(case for case in STATEFUL_CASES if case.name == name)
    pred, target = case.batch(N)
    fresh, plain = getattr(ml, name)(momentum=0.75), getattr(ml, name)()
    assert torch.equal(fresh(pred, target), plain(pred, target))
    # and the same histogram again, committed, changes nothing either
    train(fresh, (pred, target))
    torch.testing.assert_close(fresh(pred, target), plain(pred, target))
    small = tuple(0.02 * x if x.is_floating_point() else x for x in (pred, target))
    assert not torch.allclose(fresh(*small), plain(*small), rtol=0.01)


def test_harmonized_levels_share_the_statistics_of_all_of_them():
    """A large and a small level: after the commit their losses add up to that of both together, times two calls."""
    loss = ml.GHMR(momentum=0.5)
    g = torch.Generator().manual_seed(0)
    pred, target = torch.randn(40, 4, generator=g, dtype=torch.float64), torch.zeros(40, 4, dtype=torch.float64)
    # every bin in both parts, so that both count the same bins
    steps = torch.tensor([0.0, 0.001, 0.003, 0.005, 0.007, 0.009, 0.012, 0.016, 0.022, 0.2] * 2)
    pred[:5] = pred[35:] = steps.reshape(5, 4)
    parts = [(pred[:35], target[:35]), (pred[35:], target[35:])]
    train(loss, *parts)
    total = sum(loss(*part) for part in parts)
    rows = harmonized.ghm_r(pred.tolist(), target.tolist())
    assert total.item() == pytest.approx(2 * sum(map(sum, rows)) / pred.numel(), rel=1e-6)


def test_many_elements_are_counted_exactly():
    """float32 counts by ones up to 2**24, which a dense head has more elements than."""
    from mmdet_losses.functional import bin_edges, gradient_histogram

    norm = torch.full((2**24 + 3,), 0.05)
    assert gradient_histogram(norm, torch.ones_like(norm, dtype=torch.bool), bin_edges(2)).count.tolist() == [
        2**24 + 3,
        0,
    ]
