"""A training loop of one's own: each optimizer's step commits in one process, and in several says what to add."""

import copy
import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable

import pytest
import torch
from cases import STATEFUL_CASES, over
from cases.case import Case
from torch import Tensor, nn

import mmdet_losses as ml
from mmdet_losses import commit_statistics
from mmdet_losses.modules import steps
from mmdet_losses.modules.state import REMINDERS, SUSPECT

N = 11


class Detector(nn.Module):
    """Shifts what it is given, and holds a loss."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))
        self.criterion = case.build()

    def forward(self, batch: tuple) -> Tensor:
        pred, target = batch
        loss = self.criterion(pred + self.shift, target)
        return sum(loss.values()) if isinstance(loss, dict) else loss.sum()


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if name != "shift"}


def assert_same(first: nn.Module, second: nn.Module) -> None:
    torch.testing.assert_close(statistics(first), statistics(second), rtol=0, atol=0)


def optimizer_of(model: nn.Module, **options: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([model.shift], lr=0.0, **options)


def by_hand(case: Case, iterations: Iterable[Iterable[tuple]]) -> Detector:
    """A model with a commit after each iteration, which has one call for each of its batches."""
    model = Detector(case)
    for batches in iterations:
        for batch in batches:
            model(batch)
        commit_statistics(model)
    return model


def batches(case: Case, number: int) -> list[tuple]:
    return [case.batch(N, seed=seed) for seed in range(number)]


@over(STATEFUL_CASES)
def test_step_commits(case):
    model, expected = Detector(case), by_hand(case, [[batch] for batch in batches(case, 3)])
    start, optimizer = copy.deepcopy(model), optimizer_of(model)
    for batch in batches(case, 3):
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()
    assert_same(model, expected)
    assert any(not torch.equal(value, statistics(start)[name]) for name, value in statistics(model).items())


@over(STATEFUL_CASES)
def test_one_commit_for_all_calls_of_an_accumulated_step(case):
    parts = batches(case, 4)
    model, expected = Detector(case), by_hand(case, [parts[:2], parts[2:]])
    optimizer = optimizer_of(model)
    for number, batch in enumerate(parts):
        model(batch).backward()
        if number % 2:
            optimizer.step()
    assert_same(model, expected)


@over(STATEFUL_CASES)
def test_further_optimizers_change_nothing(case):
    """One steps between the loss and its gradient, as those of discriminators do, one after it."""
    parts = batches(case, 2)
    model, expected = Detector(case), by_hand(case, [[batch] for batch in parts])
    other = torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    optimizer = optimizer_of(model)
    for batch in parts:
        loss = model(batch)
        other.step()
        loss.backward()
        optimizer.step()
        other.step()
    assert_same(model, expected)


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="torch before 2.3 scales on CUDA alone")
@over(STATEFUL_CASES)
def test_step_that_a_scaler_skips_leaves_the_sums_to_the_next(case):
    parts = batches(case, 3)
    model, expected = Detector(case), by_hand(case, [parts[:1], parts[1:]])
    optimizer, scaler = optimizer_of(model), torch.amp.GradScaler("cpu")
    for number, batch in enumerate(parts):
        optimizer.zero_grad()
        scaler.scale(model(batch)).backward()
        if number == 1:
            model.shift.grad.fill_(torch.inf)
        before = statistics(model)
        scaler.step(optimizer)
        scaler.update()
        if number == 1:
            torch.testing.assert_close(statistics(model), before, rtol=0, atol=0)
    assert_same(model, expected)


@over(STATEFUL_CASES)
def test_commit_by_hand_takes_the_place_of_the_step(case):
    """From the first one on; a copy, such as one read from a file, is committed by the step again."""
    model = Detector(case)
    optimizer = optimizer_of(model)
    commit_statistics(model)
    before = statistics(model)
    model(case.batch(N)).backward()
    optimizer.step()
    torch.testing.assert_close(statistics(model), before, rtol=0, atol=0)
    copied = copy.deepcopy(model)
    optimizer.step()
    commit_statistics(model)
    assert_same(model, by_hand(case, [[case.batch(N)]]))
    assert_same(copied, model)


def test_step_of_both_commits_once():
    """A loop that commits after each step has what it had: its first step has committed already."""
    case = next(case for case in STATEFUL_CASES if case.name == "WIoULoss")
    parts = batches(case, 3)
    model = Detector(case)
    optimizer = optimizer_of(model)
    for batch in parts:
        model(batch).backward()
        optimizer.step()
        commit_statistics(model)
    assert_same(model, by_hand(case, [[batch] for batch in parts]))


@pytest.mark.compiler
@pytest.mark.filterwarnings("ignore")
def test_compiled_step_commits():
    torch._dynamo.reset()
    case = next(case for case in STATEFUL_CASES if case.name == "SeesawLoss")
    model = Detector(case)
    optimizer = optimizer_of(model)
    step = torch.compile(optimizer.step, backend="eager")
    for batch in batches(case, 3):
        model(batch).backward()
        step()
    torch._dynamo.reset()
    assert_same(model, by_hand(case, [[batch] for batch in batches(case, 3)]))


@over(STATEFUL_CASES)
def test_compiler_that_takes_the_hooks_off_is_spoken_of(case, monkeypatch):
    """As torch 2.1 leaves its optimizers after any torch.compile, for good."""
    model = Detector(case)
    optimizer_of(model)

    def step(self: torch.optim.SGD) -> None:
        """Without hooks."""

    step.hooked = True
    monkeypatch.setattr(torch.optim.SGD, "step", step)
    optimizer = optimizer_of(model)
    batch = case.batch(2)

    def iterate(number: int) -> None:
        for _ in range(number):
            model(batch).backward()
            optimizer.step()

    iterate(SUSPECT - 1)
    with pytest.warns(UserWarning, match=rf"in {SUSPECT} calls.*call mmdet_losses.commit_statistics\(model\)"):
        iterate(1)
    commit_statistics(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        iterate(SUSPECT)


# ------------------------------------------------------------------------------------------------ several processes


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The first of two equal processes; what it gave to collectives."""
    given = []

    def all_reduce(flat: Tensor) -> None:
        given.append(flat.clone())
        flat.mul_(2)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    return given


def train(model: Detector, case: Case, number: int, then: Callable[[nn.Module], None] = lambda model: None) -> None:
    optimizers = [optimizer_of(model), optimizer_of(model)]
    for batch in batches(case, number):
        model(batch).backward()
        for optimizer in optimizers:
            optimizer.step()
        then(model)


@over(STATEFUL_CASES)
def test_step_of_one_of_several_processes_says_what_to_add(case, one_of_two):
    """The other may not make this step: a collective in it would wait for ever."""
    model = Detector(case)
    before = statistics(model)
    with pytest.warns(UserWarning, match=r"3 optimizer steps.*commit_statistics\(model\).*on every process"):
        train(model, case, 2)
    assert not one_of_two
    torch.testing.assert_close(statistics(model), before, rtol=0, atol=0)
    del model
    gc.collect()


@over(STATEFUL_CASES)
def test_commit_by_hand_on_several_processes(case, one_of_two):
    """With two optimizers a first commit comes after two steps; no word is said, and there is one collective each."""
    model = Detector(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, case, 3, commit_statistics)
    assert len(one_of_two) == 3
    assert all(sums.any() for sums in one_of_two)


def test_losses_that_gather_nothing_are_not_spoken_of(one_of_two):
    """Copies for an average, and losses of a model that is not trained."""
    model, case = Detector(STATEFUL_CASES[0]), STATEFUL_CASES[0]
    train(Detector(case), case, 1)
    gc.collect()
    optimizer = optimizer_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(REMINDERS[1]):
            optimizer.step()


# --------------------------------------------------------------------------------------------------------- annealed


def annealed_step(loss: nn.Module) -> None:
    shift = nn.Parameter(torch.zeros(4))
    target = torch.tensor([[0.0, 0, 10, 10]])
    loss(target + 1 + shift, target).backward()
    torch.optim.SGD([shift], lr=0.0).step()


def test_annealed_loss_that_nobody_tells_the_progress():
    loss, twin = ml.UnifiedIoULoss(), ml.UnifiedIoULoss()
    with pytest.warns(UserWarning, match=r"UnifiedIoULoss.*set_progress\(share\)") as caught:
        annealed_step(loss)
        annealed_step(loss)
    assert len(caught) == 1
    copies = [copy.deepcopy(loss), copy.deepcopy(twin)]
    told = ml.UnifiedIoULoss()
    told.set_progress(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annealed_step(told)
        annealed_step(ml.UnifiedIoULoss(ratio=1.5))
    del copies


# -------------------------------------------------------------------------------------------------------- the hook


def test_dead_losses_are_forgotten():
    reference = weakref.ref(ml.SeesawLoss(num_classes=3))
    gc.collect()
    assert reference() is None
    loss = ml.SeesawLoss(num_classes=3)
    assert loss in steps.LISTENERS


def test_nothing_is_hooked_without_statistics():
    code = (
        "import torch, mmdet_losses as ml\n"
        "from mmdet_losses.modules import steps\n"
        "from torch.optim import optimizer\n"
        "update = torch.optim.swa_utils.AveragedModel.update_parameters\n"
        "losses = ml.GIoULoss(), ml.FocalLoss(), ml.GHMC(), ml.WIoULoss(1), ml.UnifiedIoULoss(ratio=1.0)\n"
        "assert not optimizer._global_optimizer_post_hooks and not steps.HOOKED\n"
        "assert torch.optim.swa_utils.AveragedModel.update_parameters is update\n"
        "losses = ml.WIoULoss(), ml.SeesawLoss()\n"
        "assert len(optimizer._global_optimizer_post_hooks) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
