"""Two processes without a GPU, through tools/dist_train.sh and tools/dist_test.sh."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import torch
from command_line import ROOT, log_lines, metrics, run, tiny

PROBE = '''
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
import torch
import torch.distributed


@HOOKS.register_module()
class RankProbe(Hook):
    """Leaves what every process ended with."""

    def after_train(self, runner):
        model = getattr(runner.model, "module", runner.model)
        torch.save(
            {
                "world_size": get_world_size(),
                "backend": torch.distributed.get_backend() if get_world_size() > 1 else None,
                "wrapper": type(runner.model).__name__,
                "parameters": {name: value.detach().clone() for name, value in model.named_parameters()},
            },
            f"{runner.work_dir}/rank{get_rank()}.pt",
        )
'''

# FCOS divides by the mean over processes of what it counts, and no norm here looks at the whole batch: two processes of
# two images then are one process of four
CONFIG = f"""
_base_ = "{ROOT}/configs/fcos/fcos_r18_fpn_giou_1xb4-4e_shapes.py"
custom_imports = dict(imports=["mmdet_losses", "mmdet_losses.data.datasets", "rank_probe"], allow_failed_imports=False)
custom_hooks = [dict(type="RankProbe")]
model = dict(
    backbone=dict(norm_eval=True),
    neck=dict(norm_cfg=dict(_delete_=True, type="GN", num_groups=8)),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="SGD", lr=0.01))
"""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def parameters(work_dir: Path, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / f"rank{rank}.pt", weights_only=True)["parameters"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two epochs of one process, and the same of two processes, stopped and resumed after the first."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "rank_probe.py").write_text(PROBE)
    config = folder / "fcos_tiny.py"
    config.write_text(CONFIG)
    one, two = folder / "one", folder / "two"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        patch.setenv("PORT", free_port())
        run(
            "train.py",
            config,
            "--work-dir",
            one,
            *tiny(folder / "data", "train_cfg.val_interval=9", epochs=2, batch_size=4),
        )
        options = ("--work-dir", two)
        run(
            "dist_train.sh",
            config,
            2,
            *options,
            *tiny(folder / "data", "train_cfg.val_interval=9", epochs=1, batch_size=2),
        )
        resumed = run("dist_train.sh", config, 2, *options, "--resume", *tiny(folder / "data", epochs=2, batch_size=2))
        assert "resumed epoch: 1, iter: 2" in resumed
        tested = folder / "tested"
        checkpoint = two / "epoch_2.pth"
        run("dist_test.sh", config, checkpoint, 2, "--work-dir", tested, *tiny(folder / "data"))
    return {"one": one, "two": two, "tested": tested}


def test_processes_talk_through_gloo(trained: dict[str, Path]) -> None:
    for rank in range(2):
        probe = torch.load(trained["two"] / f"rank{rank}.pt", weights_only=True)
        assert (probe["world_size"], probe["backend"], probe["wrapper"]) == (2, "gloo", "MMDistributedDataParallel")
    assert torch.load(trained["one"] / "rank0.pt", weights_only=True)["world_size"] == 1


def test_both_processes_have_the_same_parameters(trained: dict[str, Path]) -> None:
    first, second = (parameters(trained["two"], rank) for rank in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_two_processes_train_what_one_trains_on_the_same_images(trained: dict[str, Path]) -> None:
    one, two = parameters(trained["one"], 0), parameters(trained["two"], 0)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
    losses = {
        run_name: [line["loss"] for line in log_lines(trained[run_name]) if "loss" in line]
        for run_name in ("one", "two")
    }
    assert len(losses["one"]) == len(losses["two"]) == 4
    assert losses["one"][-1] < losses["one"][0]


def test_two_processes_test_as_one_does(trained: dict[str, Path]) -> None:
    (logged,) = (json.loads(file.read_text()) for file in trained["tested"].glob("*/*.json"))
    assert metrics(logged) == metrics(log_lines(trained["two"])[-1])
    assert len(metrics(logged)) == 6
