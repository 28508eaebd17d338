"""The monitor's figures and what it keeps, without waiting; they are those of a CPU."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case
from on_gpu import DEVICE, no_waiting, there, train
from torch import nn

from mmdet_losses.monitor.watch import Watch


def figures(case: Case, device: str) -> dict[tuple[str, str], float]:
    """Of a call in an iteration that is observed, after one that is not."""
    loss = case.build().to(device).train()
    pred, target = case.batch(40) if device == "cpu" else there(case.batch(40))
    train(loss, pred, target)  # what a loss makes once
    watch = Watch(nn.ModuleDict({"loss": loss}))
    for observed in (False, True):
        watch.begin()
        with no_waiting():
            if observed:
                watch.observe()
            train(loss, pred, target)
        calls, found = watch.end()
        assert calls[-1].name == "loss"
    return found.read()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_figures(case: Case) -> None:
    found, expected = figures(case, DEVICE), figures(case, "cpu")
    assert set(found) == set(expected)
    for key, value in found.items():
        assert value == pytest.approx(expected[key], rel=1e-3, abs=1e-5), key
    assert torch.tensor(list(found.values())).isfinite().all()
