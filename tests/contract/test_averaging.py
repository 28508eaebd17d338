"""Averaged copies of a model hold its statistics, whether they average buffers or not."""

import copy
from collections.abc import Callable

import pytest
import torch
from cases import STATEFUL_CASES, over, run
from torch import Tensor, nn

import mmdet_losses as ml
from mmdet_losses import commit_statistics, copy_statistics
from mmdet_losses.modules.averaging import keep_out_of_averages

N = 11


def average_of_torch(model: nn.Module, buffers: bool) -> tuple[nn.Module, Callable[[nn.Module], None]]:
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=buffers)
    return averaged.module, averaged.update_parameters


def average_of_mmengine(model: nn.Module, buffers: bool) -> tuple[nn.Module, Callable[[nn.Module], None]]:
    model_classes = pytest.importorskip("mmengine.model")
    import mmengine.hooks  # noqa: F401

    averaged = model_classes.ExponentialMovingAverage(model, momentum=0.25, update_buffers=buffers)
    return averaged.module, averaged.update_parameters


def average_of_ones_own(model: nn.Module, buffers: bool) -> tuple[nn.Module, Callable[[nn.Module], None]]:
    """As the YOLO family writes it."""
    averaged = copy.deepcopy(model)

    @torch.no_grad()
    def update(model: nn.Module) -> None:
        state = model.state_dict()
        for name, value in averaged.state_dict().items():
            value.lerp_(state[name], 0.25)
        copy_statistics(model, averaged)

    return averaged, update


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_buffers() if "gathered" not in name}


def gathered(model: nn.Module) -> list[Tensor]:
    return [value for name, value in model.named_buffers() if "gathered" in name]


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("average", [average_of_torch, average_of_mmengine, average_of_ones_own])
@over(STATEFUL_CASES)
def test_statistics_of_an_average_are_those_of_the_model(case, average, buffers):
    """Over three iterations, the sums of an unfinished one excepted; the weights are averages, as ever."""
    model = nn.ModuleDict({"loss": case.build(), "layer": nn.Linear(1, 1, bias=False)})
    nn.init.constant_(model.layer.weight, 0.0)
    averaged, update = average(model, buffers)
    for seed in range(3):
        run(model.loss, *case.batch(N, seed=seed))
        commit_statistics(model)
        run(model.loss, *case.batch(N, seed=seed + 9))
        nn.init.constant_(model.layer.weight, seed + 1.0)
        update(model)
        torch.testing.assert_close(statistics(averaged), statistics(model), rtol=0, atol=0)
        assert not any(value.any() for value in gathered(averaged))
        assert any(value.any() for value in gathered(model))
    assert 0 < averaged.layer.weight.item() < 3


def test_averaged_ratio_is_that_of_the_progress():
    model = ml.UnifiedIoULoss()
    averaged, update = average_of_torch(model, True)
    for share in (0.0, 0.5, 1.0):
        model.set_progress(share)
        update(model)
    assert averaged.annealed_ratio == 0.5


def test_another_model_is_refused():
    with pytest.raises(ValueError, match=r"target must hold the losses of source.*\['SeesawLoss'\].*\['EQLV2Loss'\]"):
        copy_statistics(ml.SeesawLoss(num_classes=3), ml.EQLV2Loss(num_classes=3))


def test_average_that_holds_another_loss_is_left_as_it_is():
    """A model may get another loss at an epoch; its average is not told."""

    class Average(nn.Module):
        updates = 0

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.module = copy.deepcopy(model)

        def update_parameters(self, model: nn.Module) -> None:
            self.updates += 1

    for _ in range(2):  # a class that is given twice copies once
        keep_out_of_averages(Average)
    model = nn.ModuleDict({"loss": ml.SeesawLoss(num_classes=3)})
    averaged = Average(model)
    model.loss.cum_samples.fill_(1)
    averaged.update_parameters(model)
    assert averaged.module.loss.cum_samples.all()
    model.loss = ml.EQLV2Loss(num_classes=3)
    averaged.update_parameters(model)
    assert averaged.updates == 2
