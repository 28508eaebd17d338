"""Runs the command line tools as a user does, on a tiny drawn data set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
"""From here a program imports what the tools share."""


def environment() -> dict[str, str]:
    """One thread per process, this interpreter first on PATH, nothing of a surrounding launcher."""
    dropped = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "MMDET_LOSSES_TRACEBACK"}
    env = {key: value for key, value in os.environ.items() if key not in dropped}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    # the tests compare trainings on a CPU, bit for bit
    return {**env, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(tool: str, *arguments: object) -> subprocess.Popen:
    """Starts ``tools/<tool>`` in the root of the checkout."""
    path = str(TOOLS / tool)
    command = [path] if tool.endswith(".sh") else [sys.executable, path]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(tool: str, *arguments: object, code: int = 0) -> str:
    """Runs ``tools/<tool>`` to its end and returns what it printed; fails where the exit code is another.

    What is Python runs in a fork, see :func:`run_fork`: most of a short run would be imports.
    """
    if tool.endswith(".py"):
        program = f"import runpy; runpy.run_path({str(TOOLS / tool)!r}, run_name='__main__')"
        returned, output = run_fork(program, [str(TOOLS / tool), *map(str, arguments)], ROOT)
    else:
        process = start(tool, *arguments)
        output, _ = process.communicate(timeout=900)
        returned = process.returncode
    assert returned == code, f"exit code {returned}, expected {code}:\n{output[-4000:]}"
    return output


FORK = """
import atexit, os, signal, sys, traceback

signal.alarm(900)
os.chdir({folder!r})
os.environ.clear()
os.environ.update({environment!r})
sys.argv = {arguments!r}
sys.path[0] = os.path.dirname(sys.argv[0])
sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
code = 0
try:
    exec(compile({program!r}, "<program>", "exec"), {{"__name__": "__main__"}})
except SystemExit as end:
    code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if code and code is not end.code:
        print(end.code, file=sys.stderr)
except BaseException:
    code = 1
    traceback.print_exc()
atexit._run_exitfuncs()
sys.stderr.flush()
print("\\nEXIT", code, flush=True)
"""


def run_fork(program: str, arguments: Sequence[str], folder: Path, **variables: str) -> tuple[int, str]:
    """Exit code and output of a program in a process that has imported all but this package and MMDetection's models.

    Args:
        program: Its code.
        arguments: ``sys.argv``; beside the first of them is what the program imports.
        folder: Where it runs.
        **variables: Changes of the environment.
    """
    given = environment() | variables
    code = FORK.format(folder=str(folder), environment=given, arguments=list(arguments), program=program)
    print(json.dumps(code), file=fork_server().stdin, flush=True)
    failed, output = json.loads(fork_server().stdout.readline())
    assert not failed, output[-4000:]
    said, _, returned = output.rpartition("\nEXIT ")
    return int(returned), said


@cache
def fork_server() -> subprocess.Popen:
    """One for all tests of a process; it ends with its input."""
    command = [sys.executable, str(ROOT / "tests" / "mmdetection" / "fork_server.py"), "import_orders"]
    return subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tiny(data_root: object, *more: str, epochs: int = 1, batch_size: int = 4) -> list[str]:
    """``--cfg-options`` that make a shapes config train on eight fixed images, and evaluate on the same."""
    return [
        "--cfg-options",
        f"data_root={data_root}",
        "train_dataloader.dataset.spec.num_images=8",
        "val_dataloader.dataset.spec.num_images=8",
        "val_dataloader.dataset.spec.seed=1",
        "test_dataloader.dataset.spec.num_images=8",
        "test_dataloader.dataset.spec.seed=1",
        # flips are drawn in data loader workers, whose random state is not part of a checkpoint
        "train_dataloader.dataset.pipeline.2.prob=0.0",
        f"train_dataloader.batch_size={batch_size}",
        f"train_cfg.max_epochs={epochs}",
        "train_cfg.val_interval=1",
        "param_scheduler=None",
        "model.test_cfg.score_thr=0.0",
        "default_hooks.logger.interval=1",
        *more,
    ]


def log_lines(work_dir: Path) -> list[dict]:
    """All that training logged, over all its runs, oldest first."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def metrics(line: dict) -> dict[str, float]:
    """The evaluation's figures among a logged line."""
    return {key: value for key, value in line.items() if "bbox_mAP" in key}
