"""What each process of ``test_runner_state.py`` runs: trainings whose second process has less to call its loss for."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path

import torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

import mmdet_losses as ml

NUMBERS = ([1, 1, 2, 3], [2, 0, 0, 1])
"""Labels of each iteration, of both processes; where there are none, the loss is not called."""


class Counting(BaseModel):
    """Counts labels with a Seesaw loss, beside a second branch with parameters of its own."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.shift, self.other = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.criterion = ml.SeesawLoss(num_classes=1, return_dict=False)
        self.rank, self.seen = rank, [0]

    def forward(self, inputs: Tensor, data_samples: object = None, mode: str = "loss") -> dict[str, Tensor]:
        number = NUMBERS[self.rank][int(inputs)]
        loss = 0 * (self.shift + self.other)
        if number:
            logits = torch.zeros(number, 3) + self.shift
            loss = loss + self.criterion(logits, torch.zeros(number, dtype=torch.long))
        return dict(loss=loss)


class Overflowing(OptimWrapper):
    """Skips every other step, as mixed precision does after an overflow, and steps what is no part of the model."""

    probe = 0

    def step(self, **options: object) -> None:
        self.probe += 1
        if self.probe % 2:
            super().step(**options)
        if torch.distributed.get_rank() == 0:
            torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1).step()


class TwoOptimizers(MMDistributedDataParallel):
    """Steps one optimizer between the loss and its gradient, one after it."""

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        loss = self(**data, mode="loss")["loss"]
        optim_wrapper["other"].step()
        loss.backward()
        optim_wrapper["own"].step()
        return dict(loss=loss)


def sgd(parameter: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter], lr=0.0)


def train(rank: int, folder: Path, name: str) -> list[int]:
    """Samples before the first iteration and after each."""
    model = Counting(rank)
    wrap = TwoOptimizers if name == "two optimizers" else MMDistributedDataParallel
    own = OptimWrapper(sgd(model.shift), accumulative_counts=2 if name == "accumulated" else 1)
    wrapper = {
        "two optimizers": lambda: OptimWrapperDict(own=own, other=OptimWrapper(sgd(model.other))),
        "skipped": lambda: Overflowing(sgd(model.shift)),
    }.get(name, lambda: own)()
    wrapped = wrap(model, broadcast_buffers=False, find_unused_parameters=True)
    runner = Runner(
        model=wrapped,
        work_dir=str(folder / f"{name}{rank}"),
        train_dataloader=DataLoader([dict(inputs=torch.tensor(i)) for i in range(4)], batch_size=1),
        train_cfg=dict(by_epoch=False, max_iters=4, val_interval=10**6),
        optim_wrapper=wrapper,
        default_hooks=dict(checkpoint=None, logger=None),
        experiment_name=f"{name}{rank}",
        log_level="ERROR",
    )
    after = runner.call_hook

    def note(hook: str, **options: object) -> None:
        after(hook, **options)
        if hook == "after_train_iter":
            model.seen.append(int(model.criterion.cum_samples[0]))

    runner.call_hook = note
    runner.train()
    return model.seen


def own_loop(rank: int) -> tuple[int, str]:
    model, said = Counting(rank), ""
    optimizer = sgd(model.shift)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(4):
            model(torch.tensor(i))["loss"].backward()
            optimizer.step()
    said = " ".join(str(one.message) for one in caught)
    return int(model.criterion.cum_samples[0]), said


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", datetime.timedelta(seconds=60), world_size=2, rank=rank
    )
    kept = [ml.SeesawLoss(num_classes=7) for _ in range(2 - rank)]
    names = ("plain", "accumulated", "skipped", "two optimizers")
    results: dict = {name: train(rank, folder, name) for name in names}
    results["own loop"], results["said"] = own_loop(rank)
    assert len(kept) == 2 - rank
    torch.save(results, folder / f"rank{rank}.pt")
