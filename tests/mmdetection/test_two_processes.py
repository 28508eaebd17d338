"""Two gloo processes, one without objects: no loss waits for ever, and gradients and statistics are those of one."""

from __future__ import annotations

import pytest

pytest.importorskip("mmdet")

import torch
from cases import STATEFUL_CASES
from processes import run_ranks
from two_processes import APART, COMBINATIONS, HOLDING, OWN_DIVISOR, WHOLE

import mmdet_losses as ml
from mmdet_losses.registry import LOSSES

# its rows are the positives, which are all in one image, and these heads divide its result by the sum of their weights
ALL_IN_ONE = {("atss", "GHMR"), ("gfl", "GHMR")}
over_combinations = pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Of rank 0, rank 1 and the process alone; all losses in one start of the three, each with one thread."""
    folder = tmp_path_factory.mktemp("two_processes")
    run_ranks("two_processes", 3, folder, 400)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(3)]


def finished(results: list[dict], combination: tuple[str, str, str]) -> list[list[dict]]:
    done = [result[combination] for result in results]
    for found in done:
        assert not isinstance(found, str), f"{found}; a loss for another place belongs into SPECIAL of two_processes.py"
    return done


def assert_close(value: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-6) -> None:
    assert value.isfinite().all()
    assert (value - expected).abs().max() <= tolerance * expected.abs().max()


def test_every_loss_is_in_a_head():
    expected = {loss.__name__ for loss in LOSSES.values() if loss.slot not in APART}
    assert {name for _, _, name in COMBINATIONS} == expected


@over_combinations
def test_processes_have_the_same_gradients(results, combination):
    first, second, _ = finished(results, combination)
    for one, other in zip(first, second, strict=True):
        assert one["gradient"].any()
        assert_close(one["gradient"], other["gradient"], 1e-12)


@over_combinations
def test_two_processes_are_one_with_both_images(results, combination):
    """FCOS, ATSS and GFL average what they divide by over processes; RetinaNet and the box head do not.

    Where a row costs what the other rows of its call make of it, two processes are one that calls the loss for each
    image by itself. That is not one that calls it with both, whatever it divides by, as the tests below show, unless
    one image has all its rows.
    """
    head, _, name = combination
    first, second, alone = finished(results, combination)
    for step in range(2):
        gradient = first[step]["gradient"]
        if head in OWN_DIVISOR:
            assert_close(gradient, (first[step]["own"] + second[step]["own"]) / 2)
        elif name in WHOLE:
            assert_close(gradient, alone[step]["apart"])
            joint = alone[step]["gradient"]
            if (head, name) in ALL_IN_ONE:
                assert_close(gradient, joint)
            else:
                assert (gradient - joint).abs().max() > 1e-3 * joint.abs().max()
        else:
            assert_close(gradient, alone[step]["gradient"])


@over_combinations
def test_statistics_are_equal(results, combination):
    """On both processes, and, where the loss is one of rows, equal to those of one process with both images."""
    _, _, name = combination
    first, second, alone = finished(results, combination)
    stateful = name in HOLDING | {case.name for case in STATEFUL_CASES if not case.options.get("momentum")}
    assert any(found["moved"] for found in first) is stateful
    for one, other, joint in zip(first, second, alone, strict=True):
        assert one["statistics"].keys() == other["statistics"].keys() == joint["statistics"].keys()
        for key, value in one["statistics"].items():
            assert torch.equal(value, other["statistics"][key]), key
            if name not in WHOLE:
                assert_close(value, joint["statistics"][key])


# -------------------------------------------------------------------------------------- losses of a whole call


def gradients(loss: torch.nn.Module, parts: list[tuple], divisor: float | None = None) -> torch.Tensor:
    """Mean over processes of the gradients of what each passes to the loss, in all entries.

    ``divisor`` is the number of positives in all parts; each process divides by its share of it, as heads do.
    """
    found = []
    for pred, target in parts:
        pred = pred.clone().requires_grad_()
        avg_factor = None if divisor is None else divisor / len(parts)
        (grad,) = torch.autograd.grad(loss(pred, target, avg_factor=avg_factor), pred)
        found.append(grad / len(parts))
    return torch.cat(found)


def joined(*parts: tuple) -> list[tuple]:
    return [tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))]


@pytest.mark.parametrize(("name", "error"), [("APLoss", 1 / 2), ("RankSortLoss", 2 / 3)])
def test_negative_of_another_process_is_not_ranked(name, error):
    """It outranks the only positive: alone the positive is first and costs nothing, so that no divisor helps."""
    loss = getattr(ml, name)()
    own = torch.tensor([0.0, -5.0]), torch.tensor([1, 0])
    other = torch.tensor([5.0]), torch.tensor([0])
    assert gradients(loss, [own, other], 1).tolist() == [0, 0, 0]
    assert gradients(loss, joined(own, other), 1).tolist() == pytest.approx([-error, 0, error], rel=1e-6)


@pytest.mark.parametrize("name", ["APLoss", "RankSortLoss"])
def test_ranks_of_processes_are_those_of_one_where_no_entry_of_another_outranks_a_positive(name):
    loss = getattr(ml, name)(delta=0.5)
    g = torch.Generator().manual_seed(0)
    score = torch.randn(40, generator=g, dtype=torch.float64)
    quality = torch.rand(40, generator=g, dtype=torch.float64) * (torch.arange(40) < 12)
    lowest = score[:12].min() - 0.5
    negatives = lowest - torch.rand(30, generator=g, dtype=torch.float64)
    parts = (score, quality), (negatives, torch.zeros_like(negatives))
    assert_close(gradients(loss, list(parts), 12), gradients(loss, joined(*parts), 12))
    assert gradients(loss, list(parts), 12).any()


def test_density_of_another_process_is_not_counted():
    """Probabilities 1/4 of background and of an object: gradient norms 1/4 and 3/4, in two bins.

    Apart, ``g g`` fall into one bin, ``g`` and ``h`` into two: every weight is 1. Together there are three of four in
    the first bin, with a weight of 4 / (3 * 2), and one in the second, with 4 / (1 * 2).
    """
    loss = ml.GHMC(bins=2)
    logit = torch.tensor([[1 / 3]], dtype=torch.float64).log()
    first = logit.expand(2, 1), torch.tensor([[0.0], [0.0]], dtype=torch.float64)
    second = logit.expand(2, 1), torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    apart = gradients(loss, [first, second]).flatten()
    assert apart.tolist() == pytest.approx([0.25 / 4, 0.25 / 4, 0.25 / 4, -0.75 / 4], rel=1e-12)
    together = gradients(loss, joined(first, second)).flatten()
    low, high = 4 / (3 * 2), 4 / (1 * 2)
    assert together.tolist() == pytest.approx([low * 0.25 / 4] * 3 + [-high * 0.75 / 4], rel=1e-12)


def test_process_without_positives_counts_in_the_mean_of_ghmr():
    """The loss divides by what it counts itself: two processes of which one has nothing halve it."""
    loss = ml.GHMR(mu=0.75, bins=2)
    one = torch.tensor([[1.0]]), torch.tensor([[0.0]])  # d / sqrt(d**2 + mu**2) = 1 / 1.25
    none = torch.zeros(0, 1), torch.zeros(0, 1)
    assert gradients(loss, joined(one, none)).tolist() == [[pytest.approx(0.8)]]
    assert gradients(loss, [one, none]).tolist() == [[pytest.approx(0.4)]]


@pytest.mark.parametrize("name", ["GHMC", "GHMR"])
def test_one_bin_and_equal_counts_make_two_processes_one(name):
    loss = getattr(ml, name)(bins=1)
    g = torch.Generator().manual_seed(0)
    parts = [(torch.randn(9, 4, generator=g, dtype=torch.float64), torch.rand(9, 4, generator=g)) for _ in range(2)]
    assert_close(gradients(loss, parts), gradients(loss, joined(*parts)))
