"""Options, config, process set-up and Runner of the tools that train or test."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_losses import config_path
from mmdet_losses.data.data_root import merge_options

from . import checkpoints, distributed
from .errors import ToolError
from .preflight import check_losses, check_option_keys, config_errors

# MMEngine 0.10 reads package data through pkg_resources, which warns at every use
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

PR_SET_PDEATHSIG = 1
"""Option of ``prctl``: the signal that a process gets when its parent ends."""


class ConfigOptions(DictAction):
    """MMEngine's ``DictAction``, with a usage error for a word without ``key=``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        for value in values:
            if "=" not in value or value.startswith("="):
                parser.error(f"argument {option_string}: expected key=value, got {value!r}")
        super().__call__(parser, namespace, values, option_string)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        metavar="KEY=VALUE",
        help="settings that override the config, such as model.bbox_head.loss_bbox.type=SIoULoss; a list is "
        'key="[a,b]" or key=a,b, and may be nested: key="[(a,b),(c,d)]" (quoted, without spaces)',
    )


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local-rank``."""
    parser.add_argument("--work-dir", help="where logs and checkpoints go; ./work_dirs/<config name> by default")
    add_config_options(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes; without a GPU they talk through gloo",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the command line to it.

    Args:
        args: With ``config`` and the options of :func:`add_launch_options`.

    Returns:
        The config, with ``launcher`` and ``work_dir`` set.

    Raises:
        ToolError: Where the file is missing or cannot be read, or an option does not fit it.
    """
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", Path(args.config).stem)
    return cfg


def read_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and merge ``--cfg-options`` into it.

    Args:
        path: Of the file, or the name of one of the package's own configs (:func:`~mmdet_losses.config_path`).
        options: What overrides it.

    Raises:
        ToolError: Where the file is missing or cannot be read, or an option does not fit it.
    """
    file = find_config(path)
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # a config is a program: whatever it raises is about the config
        raise ToolError(f"config {path} cannot be read: {type(error).__name__}: {error}") from error
    if options:
        check_option_keys(cfg, options)
        try:
            merge_options(cfg, options)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = error.args[0] if error.args else type(error).__name__
            raise ToolError(f"--cfg-options does not fit {path}: {reason}") from error
    return cfg


def find_config(path: str) -> str:
    """The path of a config, if there is one; else of the package's own the one that is meant, which a line says.

    Raises:
        ToolError: Where there is neither.
    """
    file = Path(path)
    if file.is_file():
        return path
    try:
        found = config_path(path)
    except FileNotFoundError:
        near = get_close_matches(file.name, [other.name for other in file.parent.glob("*.py")], n=1)
        raise ToolError(
            f"config {path} does not exist"
            + (f"; did you mean {file.parent / near[0]}?" if near else f" (looked in {file.absolute().parent})")
        ) from None
    print(f"config: {found}", flush=True)
    return found


def enable_amp(cfg: Config) -> None:
    """Set MMEngine's automatic mixed precision with a dynamic loss scale.

    Raises:
        ToolError: Without a GPU, which MMEngine's wrapper requires.
    """
    if get_device() == "cpu":
        raise ToolError("--amp needs a GPU, and none is visible: leave --amp out")
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.loss_scale = "dynamic"


def prepare_process() -> None:
    """Set the limits of torch.compile and how checkpoints are read and written; once per process, before a Runner."""
    setup_cache_size_limit_of_dynamo()
    checkpoints.install()


def exit_on_sigterm(message: str) -> None:
    """Let SIGTERM end this process at once, with a message and exit code 143.

    No exception is raised: one that arrives while a data loader forks would be swallowed. There is nothing to clean
    up, since checkpoints are written atomically.
    """
    tie_forks()
    main_process = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() == main_process:  # and not a worker of a data loader
            os.write(2, f"{message}\n".encode())
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)


def tie_forks() -> None:
    """Tie the children that this process forks from now on to its life, by ``PR_SET_PDEATHSIG`` (Linux).

    A data loader's worker watches its parent, but one whose parent ends before it begins to watch would wait for ever
    and hold shared memory and output.
    """
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def note() -> None:
        nonlocal parent
        parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    os.register_at_fork(before=note, after_in_child=tie)


def add_hook(cfg: Config, name: str) -> None:
    """Add a hook, unless the config has it, also in a scope or as a class."""
    hooks = list(cfg.get("custom_hooks") or [])
    kinds = [hook.get("type") for hook in hooks if isinstance(hook, dict)]
    if not any(getattr(kind, "__name__", str(kind)).rpartition(".")[2] == name for kind in kinds):
        cfg.custom_hooks = [*hooks, dict(type=name)]


def build_runner(cfg: Config) -> Runner:
    """Check the losses of ``cfg``, set up CPU processes and build the Runner.

    Raises:
        ToolError: Where the config has an error that a user can put right.
    """
    if cfg.get("load_from") and "://" not in cfg.load_from and not Path(cfg.load_from).expanduser().is_file():
        raise ToolError(f"checkpoint {cfg.load_from} does not exist")
    check_losses(cfg)
    distributed.setup_cpu(cfg)
    with config_errors(cfg.filename):
        if "runner_type" in cfg:
            return RUNNERS.build(cfg)
        return Runner.from_cfg(cfg)
