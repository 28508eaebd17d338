"""Runs the command line tools as a user does, on a tiny drawn data set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    """Runs ``tools/<tool>`` to its end and returns what it printed; fails where the exit code is another."""
    process = start(tool, *arguments)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code, f"exit code {process.returncode}, expected {code}:\n{output[-4000:]}"
    return output


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
