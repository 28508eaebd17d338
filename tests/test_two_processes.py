"""Two gloo processes, one without objects: no loss waits for ever, and gradients and statistics are those of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import torch
from cases import CASES, RANK_CASES, STATEFUL_CASES
from two_processes import COMBINATIONS

from mmdet_losses.registry import LOSSES

TESTS = Path(__file__).parent
# what a row costs depends on the others of its process and level, so that two processes are not one
WHOLE = {case.name for case in CASES if case.whole} | {case.name for case in RANK_CASES}
over_combinations = pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Of rank 0, rank 1 and the process alone; all losses in one start of the three, each with one thread."""
    folder = tmp_path_factory.mktemp("two_processes")
    path = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    logs = [folder / f"rank{rank}.log" for rank in range(3)]
    processes = []
    for rank, log in enumerate(logs):
        with log.open("w") as out:
            command = [sys.executable, str(TESTS / "two_processes.py"), str(rank), str(folder)]
            processes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert codes == [0, 0, 0], "\n".join(log.read_text()[-2000:] for log in logs)
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
    expected = {loss.__name__ for loss in LOSSES.values() if loss.slot != "composite"}
    assert {name for _, _, name in COMBINATIONS} == expected


@over_combinations
def test_processes_have_the_same_gradients(results, combination):
    first, second, _ = finished(results, combination)
    for one, other in zip(first, second, strict=True):
        assert one["gradient"].any()
        assert_close(one["gradient"], other["gradient"], 1e-12)


@over_combinations
def test_two_processes_are_one_with_both_images(results, combination):
    """FCOS, ATSS and GFL average what they divide by over processes; RetinaNet and the box head do not."""
    head, _, name = combination
    first, second, alone = finished(results, combination)
    for step in range(2):
        gradient = first[step]["gradient"]
        if head in ("retinanet", "bbox_head"):
            assert_close(gradient, (first[step]["own"] + second[step]["own"]) / 2)
        elif name not in WHOLE:
            assert_close(gradient, alone[step]["gradient"])


@over_combinations
def test_statistics_are_equal(results, combination):
    """On both processes, and, where the loss is one of rows, equal to those of one process with both images."""
    _, _, name = combination
    first, second, alone = finished(results, combination)
    stateful = name in {case.name for case in STATEFUL_CASES if not case.options.get("momentum")}
    assert any(found["moved"] for found in first) is stateful
    for one, other, joint in zip(first, second, alone, strict=True):
        assert one["statistics"].keys() == other["statistics"].keys() == joint["statistics"].keys()
        for key, value in one["statistics"].items():
            assert torch.equal(value, other["statistics"][key]), key
            if name not in WHOLE:
                assert_close(value, joint["statistics"][key])
