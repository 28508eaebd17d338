"""Runs of tools/compare.py: what they measure, also when killed, and how its engines do them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("statsmodels")

import numpy as np
import torch
from command_line import ROOT, run, run_fork
from comparing import CONFIG, LOSS, SMALL, plan_of, tiny
from comparison import run as running
from comparison import variants
from comparison.engines.local import LocalEngine
from comparison.files import write_json
from comparison.hooks import Diverged, EpochSeeds, Recorder
from comparison.jobs import CURVE, JOB, LOG, RESULT, Job
from comparison.plan import Plan
from comparison.results import read
from comparison.worker import explain
from mmengine.config import DictAction
from mmengine.dataset import worker_init_fn
from tool_runtime.errors import ToolError


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """All that a run measured, without time and memory."""
    kept = {name: result[name] for name in ("status", "metrics", "per_class", "errors", "config_sha256")}
    return {**kept, "curve": [{key: entry[key] for key in entry if key != "seconds"} for entry in result["curve"]]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, str]:
    """One run that the command trained, and what the command said."""
    folder = tmp_path_factory.mktemp("trained")
    options = [f"{key}={value}" for key, value in tiny(folder / "data").items() if "spec" not in key]
    for split in ("train", "val"):
        sizes = {**SMALL, "seed": 1}.items()
        options += [f"{split}_dataloader.dataset.spec.{key}={value}".replace(" ", "") for key, value in sizes]
    (folder / "variants.yaml").write_text(f"WIoU:\n  {LOSS}: WIoULoss\n  model.bbox_head.loss_bbox.loss_weight: 1.5\n")
    said = run(
        "compare.py",
        CONFIG,
        *("--variants", folder / "variants.yaml", "--seeds", "4,", "--epochs", 2),
        *("--work-dir", folder / "runs", "--cfg-options", *options),
    )
    given = variants.from_file(str(folder / "variants.yaml"))
    parser_says = {key: value for key, _, value in (option.partition("=") for option in options)}
    settings = {key: DictAction._parse_iterable(value) for key, value in parser_says.items()}
    return Plan(CONFIG, given, [4, 5], folder / "runs", options=settings, length=("epochs", 2)), said


def test_command_trains_what_is_missing(trained: tuple[Plan, str]) -> None:
    """One run, with its report; of two seeds then only the other is missing."""
    plan, said = trained
    assert "Only the baseline is trained" in said and "1 variant with 1 seed: 1 run, 0 done, 1 to do" in said
    (done,) = read(plan.folder / "results.json").runs
    assert (done.variant, done.seed, done.status) == ("WIoU", 4, "done")
    assert done.seconds > 0 and done.peak_memory_mb > 100 and done.versions["mmdet"] == "3.3.0"
    assert [entry["epoch"] for entry in done.curve] == [1, 2]
    assert done.metrics["bbox_mAP_50"] > 0
    # MMDetection's evaluation rounds to three digits
    for name in ("bbox_mAP", "bbox_mAP_50", "bbox_mAP_s"):
        assert done.metrics[name] == pytest.approx(done.curve[-1][name], abs=5.1e-4)
    assert set(done.per_class) == {"circle", "rectangle", "triangle"}
    assert (plan.folder / "report.html").is_file()
    assert not list(plan.folder.glob("**/*.pth*"))

    plan.check_folder()
    plan.save()
    (line,) = running.dry_run(plan)
    assert line.endswith(f"-m comparison.worker {plan.folder}/runs/WIoU/seed5/job.json")
    assert (plan.folder / "commands.txt").read_text() == f"{line}\n"


def test_killed_run_measures_what_an_uninterrupted_one_does(trained: tuple[Plan, str], tmp_path: Path) -> None:
    """Random flips, a loss with a statistic, data loaders: killed between a checkpoint and its evaluation, too."""
    plan, _ = trained
    whole = plan.job("WIoU", 4)
    killed = replace(whole, folder=str(tmp_path / "run"))
    killed.save()
    program = ROOT / "tests" / "tools" / "killed_runs.py"
    code, said = run_fork(
        program.read_text(), [str(program), str(killed.file(JOB))], ROOT, PYTHONPATH=f"{ROOT / 'tools'}:{ROOT}"
    )
    assert code == 0, said[-3000:]
    assert json.loads(said.strip().splitlines()[-1]) == {
        "after a checkpoint, before it is evaluated": [-signal.SIGKILL, "epoch_1.pth"],
        "in the second epoch": [-signal.SIGKILL, "epoch_1.pth"],
        "when all is evaluated": [-signal.SIGKILL, "epoch_2.pth"],
        "at last": [0, ""],
    }
    results = [json.loads(job.file(RESULT).read_text()) for job in (whole, killed)]
    assert figures(results[0]) == figures(results[1])


def test_random_numbers_follow_from_seed_and_epoch() -> None:
    """In this process and in the workers of the data loader, which differ from epoch to epoch."""

    def begin(seed: int, epoch: int) -> tuple[float, float, float, int]:
        loader = SimpleNamespace(worker_init_fn=partial(worker_init_fn, num_workers=2, rank=0, seed=seed))
        EpochSeeds().before_train_epoch(SimpleNamespace(seed=seed, epoch=epoch, train_dataloader=loader))
        drawn = random.random(), float(np.random.rand()), float(torch.rand(1))
        return *drawn, loader.worker_init_fn.keywords["seed"]

    first = begin(3, 0)
    for other in (begin(3, 1), begin(4, 0)):
        assert all(one != another for one, another in zip(first, other, strict=True))
    assert begin(3, 0) == first
    assert all(begin(seed, 7)[3] + 100 < 2**32 for seed in range(20)), "numpy takes no larger seed"


def test_the_time_of_an_epoch_without_evaluation_is_in_its_checkpoint(tmp_path: Path) -> None:
    """Evaluated after 10 seconds, stopped after a checkpoint at 25 of them."""
    job = plan_of(tmp_path, "GIoULoss").job("GIoULoss", 0)
    job.save()
    write_json(job.file(CURVE), [{"epoch": 2, "iter": 4, "seconds": 10.0}])
    checkpoint: dict[str, Any] = {}
    stopped = Recorder(job, resumed=False)
    stopped.start -= 25
    runner = SimpleNamespace(iter=6, epoch=0, val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[])))
    stopped.before_save_checkpoint(runner, checkpoint)
    for resumed, seconds in ((True, 25), (False, 0)):
        recorder = Recorder(job, resumed=resumed)
        recorder.after_load_checkpoint(runner, checkpoint)
        recorder.before_train(runner)
        assert recorder.seconds == pytest.approx(seconds, abs=1)


def test_training_that_is_not_finite_is_stopped(tmp_path: Path) -> None:
    """At every 50th iteration by the loss, but under a gradient scaler; after an epoch by the weights."""
    recorder = Recorder(plan_of(tmp_path, "GIoULoss").job("GIoULoss", 0), resumed=False)
    model = torch.nn.Linear(1, 1)
    runner = SimpleNamespace(iter=49, epoch=1, max_iters=100, max_epochs=2, model=model, optim_wrapper=object())
    recorder.after_train_iter(runner, 0, outputs={"loss": torch.tensor(1.0)})
    with pytest.raises(Diverged, match="the loss was not finite at iteration 50 of 100"):
        recorder.after_train_iter(runner, 0, outputs={"loss": torch.tensor(float("nan"))})
    runner.optim_wrapper = SimpleNamespace(loss_scaler=object())
    recorder.after_train_iter(runner, 0, outputs={"loss": torch.tensor(float("nan"))})
    recorder.after_train_epoch(runner)
    model.bias.data.fill_(float("inf"))
    with pytest.raises(Diverged, match="the weights bias were not finite after epoch 2 of 2"):
        recorder.after_train_epoch(runner)
    assert explain(Diverged("the loss")) == ("the loss; the same seed would do so again", False)


class Scripted(Job):
    """A run whose worker is a few lines of Python."""

    def command(self) -> list[str]:
        return [sys.executable, "-S", "-c", self.config, self.folder]


DONE = """
import json, sys
result = {"variant": "a", "seed": 0, "status": "done", "metrics": {"bbox_mAP": 0.5}, "config_sha256": "1", "seconds": 1}
json.dump(result, open(sys.argv[1] + "/result.json", "w"))
"""
KILLED_ONCE = """
import os, pathlib, signal, sys
note = pathlib.Path(sys.argv[1], "started")
if not note.exists():
    note.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
FAILED = """
import json, pathlib, sys
open(sys.argv[1] + "/started", "a").write("x")
json.dump({"error": "planted", "again": AGAIN, "config_sha256": "1"}, open(sys.argv[1] + "/failure.json", "w"))
sys.exit(2)
"""


def scripted(folder: Path, program: str) -> Scripted:
    return Scripted("a", 0, program, "1", "bbox_mAP", str(folder / "run"), str(folder))


@pytest.mark.parametrize(
    ("program", "status", "starts"),
    [
        (KILLED_ONCE + DONE, "done", None),
        ("import os; os.kill(os.getpid(), 9)", "failed", None),
        (FAILED.replace("AGAIN", "True"), "failed", 2),
        (FAILED.replace("AGAIN", "False"), "failed", 1),
        ("import sys; sys.exit('no word')", "failed", None),
    ],
    ids=["killed-once", "killed", "again", "never-again", "silent"],
)
def test_a_failed_run_is_tried_once_more_where_that_may_help(
    tmp_path: Path, program: str, status: str, starts: int | None
) -> None:
    job = scripted(tmp_path, program)
    job.save()
    job.fail("of an earlier call", again=True)
    with LocalEngine(jobs=1) as engine:
        future = engine.submit(job)
        future.result(timeout=60)
        line = running.conclude(job, future)
    assert job.run().status == status
    if starts is not None:
        assert job.file("started").read_text() == "x" * starts
    if "SIGKILL" not in program and status == "done":
        assert line == "a, seed 0: bbox_mAP 0.5000, 1 s"
    if "os.kill" in program and status == "failed":
        assert "its worker was ended by SIGKILL" in job.run().error
    if "no word" in program:
        assert "exit code 1" in job.run().error and "ends with: no word" in job.run().error
    assert "of an earlier call" not in job.run().error
    # what may help is done by the next call again
    assert bool(running.open_jobs([job])) == (status == "failed" and bool(job.failure()["again"]))


def test_leaving_the_engine_ends_its_workers(tmp_path: Path) -> None:
    job = scripted(tmp_path, "import sys, time; open(sys.argv[1] + '/here', 'w'); time.sleep(300)")
    waiting = replace(job, folder=str(tmp_path / "second"))
    with LocalEngine(jobs=1) as engine:
        futures = [engine.submit(job), engine.submit(waiting)]
        end = time.monotonic() + 60
        while not job.file("here").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        (process,) = engine.processes
    assert process.returncode == -signal.SIGTERM
    assert futures[0].done() and futures[1].cancelled()
    assert job.run().status == "missing" and not waiting.file(LOG).exists()


@pytest.mark.parametrize(
    ("error", "said", "again"),
    [
        (ToolError("wrong option"), "wrong option", False),
        (MemoryError(), "out of memory", True),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory", True),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), "DataLoader worker", True),
        (OSError(5, "Input/output error"), "Input/output", True),
        (FileNotFoundError(2, "No such file", "a.jpg"), "a.jpg", False),
        (TypeError("got an unexpected keyword"), "TypeError: got", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_is_said_of_a_failure(error: Exception, said: str, again: bool) -> None:
    message, may_help = explain(error)
    assert said in message and may_help is again


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from comparison.engines.ray_cluster import RayEngine

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolError, match=r"needs Ray: pip install 'mmdet-losses\[cluster\]'"):
        RayEngine(None, tmp_path)


SBATCH = """#!/bin/sh
# Does each task of the array at once, without the tools that train.
echo "$@" > "$FAKE/sbatch"
for number in 1 2; do
    SLURM_ARRAY_TASK_ID=$number sh -c "$(printf '%s' "$*" | sed 's/.*--wrap=//')"
done
exit 1
"""
PYTHON = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
case "$*" in
    *--dry-run*) printf 'echo ran one >> "$FAKE/calls"\\necho ran two >> "$FAKE/calls"\\n' > "$FAKE/commands.txt" ;;
esac
"""


def test_slurm_script(tmp_path: Path) -> None:
    """A task for each line of the dry run, then the report, though the array ends with an error."""
    for name, text in (("sbatch", SBATCH), ("python", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = ROOT / "tools" / "slurm_compare.sh"
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "FAKE": str(tmp_path), "MOST_AT_ONCE": "4"}
    command = ["bash", str(script), "gpus", "compare", "config.py", str(tmp_path), "--vary", "a=1,2"]
    subprocess.run(command, env=environ, check=True, timeout=60)
    asked = f"-u {script.parent}/compare.py config.py --work-dir {tmp_path} --vary a=1,2"
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"{asked} --dry-run",
        "ran one",
        "ran two",
        f"{asked} --report",
    ]
    sbatch = (tmp_path / "sbatch").read_text()
    for words in ("-p gpus --job-name=compare --array=1-2%4 ", "--gres=gpu:1", "--wait", "--requeue"):
        assert words in sbatch
    assert subprocess.run(command[:4], env=environ, capture_output=True, timeout=60).returncode == 2


def test_gpus_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run for each GPU that may be used, or several on each."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    engine = LocalEngine(jobs=None)
    assert [engine.variables(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["3", "5", "3"]
    assert engine.jobs == 2 and "2 GPUs" in engine.about()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert LocalEngine().jobs == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
