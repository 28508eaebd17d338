"""Distributed training without a GPU, which MMEngine leaves to its caller."""

from __future__ import annotations

import os
from datetime import timedelta

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device

from .errors import ToolError

LAUNCHER_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
"""Per launcher, the variables of rank, world size and local rank."""


def setup_cpu(cfg: Config) -> None:
    """Start a gloo process group and set its model wrapper, where a launcher is used without a GPU.

    MMEngine's ``init_dist`` selects a CUDA device for every backend, and its default model wrapper passes
    ``device_ids``; both fail on a CPU. Does nothing with a GPU, or where ``cfg.launcher`` is 'none'.

    Args:
        cfg: Full config; ``model_wrapper_cfg`` is set in place.

    Raises:
        ToolError: Where the launcher's environment variables are missing.
    """
    if cfg.get("launcher", "none") == "none" or get_device() != "cpu":
        return
    names = LAUNCHER_VARIABLES[cfg.launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ToolError(
            f"--launcher {cfg.launcher} needs the environment variable {missing[0]}, which its launcher sets: "
            "start with tools/dist_train.sh or tools/dist_test.sh, or leave out --launcher for one process"
        )
    for name, source in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), names, strict=True):
        os.environ[name] = os.environ[source]
    os.environ.setdefault("MASTER_PORT", "29500")
    if "MASTER_ADDR" not in os.environ:
        raise ToolError(f"--launcher {cfg.launcher} without a GPU needs MASTER_ADDR, the address of the first machine")

    if not torch.distributed.is_initialized():
        timeout = cfg.get("env_cfg", {}).get("dist_cfg", {}).get("timeout")
        options = {} if timeout is None else {"timeout": timedelta(seconds=timeout)}
        torch.distributed.init_process_group("gloo", **options)

    wrapper = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    wrapper.update(cfg.get("model_wrapper_cfg") or {})
    wrapper["device_ids"] = None
    cfg.model_wrapper_cfg = wrapper


def shut_down() -> None:
    """Destroy the process group, or torch warns at exit."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
