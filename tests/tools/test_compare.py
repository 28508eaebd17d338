"""tools/compare.py: what it trains, what it keeps, and what it says before it trains."""

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
from comparison import run as running
from comparison import variants
from comparison.checks import check
from comparison.engines.local import LocalEngine
from comparison.files import write_json
from comparison.hooks import Diverged, EpochSeeds, Recorder
from comparison.jobs import CURVE, FAILURE, JOB, LOG, RESULT, Job, folder_name
from comparison.plan import Plan
from comparison.results import read
from comparison.worker import explain
from mmengine.config import Config, DictAction
from mmengine.dataset import worker_init_fn
from tool_runtime.errors import ToolError

CONFIG = str(ROOT / "configs" / "retinanet" / "retinanet_r18_fpn_giou_1xb4-4e_shapes.py")
LOSS = "model.bbox_head.loss_bbox.type"
SMALL = dict(num_images=8, image_size=(64, 64), object_size=(12, 40))


def tiny(data_root: Path) -> dict[str, Any]:
    """Options of a training of seconds on few small images, flipped at random in workers."""
    return {
        "data_root": str(data_root),
        "train_dataloader.dataset.spec": {**SMALL, "seed": 1},
        "val_dataloader.dataset.spec": {**SMALL, "seed": 1},
        "train_cfg.val_interval": 1,
        "model.test_cfg.score_thr": 0.0,
    }


def plan_of(folder: Path, losses: str = "GIoULoss,CIoULoss", **more: Any) -> Plan:
    settings = {"seeds": [0], "options": tiny(folder.parent / "data"), **more}
    return Plan(CONFIG, variants.from_vary([f"{LOSS}={losses}"]), folder=folder, **settings)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of which nothing is trained."""
    return plan_of(tmp_path_factory.mktemp("plan") / "runs", seeds=[0, 1])


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


def test_training_that_is_not_finite_is_stopped(plan: Plan) -> None:
    """At every 50th iteration by the loss, but under a gradient scaler; after an epoch by the weights."""
    recorder = Recorder(plan.job("GIoULoss", 0), resumed=False)
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


def test_variants_of_options() -> None:
    assert variants.from_vary(["a.type=GIoULoss,CIoULoss"]) == {
        "GIoULoss": {"a.type": "GIoULoss"},
        "CIoULoss": {"a.type": "CIoULoss"},
    }
    assert variants.from_vary(["a.type=DIoULoss", "a.loss_weight=1,2.5"]) == {
        "DIoULoss loss_weight=1": {"a.type": "DIoULoss", "a.loss_weight": 1},
        "DIoULoss loss_weight=2.5": {"a.type": "DIoULoss", "a.loss_weight": 2.5},
    }
    assert list(variants.from_vary(["b.focaler=(0,0.95),None"]).values()) == [
        {"b.focaler": (0, 0.95)},
        {"b.focaler": None},
    ]
    for wrong in ("a.type", "=A", "a.type=", "a.type=A,,B", "a.type=(A"):
        with pytest.raises(ToolError, match="--vary"):
            variants.from_vary([wrong])
    with pytest.raises(ToolError, match="given twice"):
        variants.from_vary(["a=1", "a=2"])
    with pytest.raises(ToolError, match="two variants are named 'A'"):
        variants.from_vary(["a.type=A,A"])


def test_variants_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text("as it is:\nstock GIoU:\n  x.type: mmdet_losses.stock.GIoULoss\n  x.loss_weight: 2.0\n")
    assert variants.from_file(str(file)) == {
        "as it is": {},
        "stock GIoU": {"x.type": "mmdet_losses.stock.GIoULoss", "x.loss_weight": 2.0},
    }
    for text, said in (
        ("", "nothing"),
        ("- a\n", "a list"),
        ("a: CIoULoss\n", "a str"),
        ("a: {}\na: {}\n", "stands twice"),
        ("a: [", "no YAML"),
    ):
        file.write_text(text)
        with pytest.raises(ToolError, match=said):
            variants.from_file(str(file))
    with pytest.raises(ToolError, match="no such file"):
        variants.from_file(str(tmp_path / "none.yaml"))


def test_stock_losses_as_variants() -> None:
    assert variants.from_stock(Config.fromfile(CONFIG)) == {
        "mmdet": {
            "model.bbox_head.loss_cls.type": "mmdet_losses.stock.FocalLoss",
            "model.bbox_head.loss_bbox.type": "mmdet_losses.stock.GIoULoss",
        },
        "mmdet_losses": {},
    }


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["5"], [0, 1, 2, 3, 4]),
        (["0", "3", "7"], [0, 3, 7]),
        (["0,3,7"], [0, 3, 7]),
        (["5-7"], [5, 6, 7]),
        (["7,"], [7]),
        (["1-2,", "9"], [1, 2, 9]),
    ],
)
def test_seeds(words: list[str], seeds: list[int]) -> None:
    assert variants.parse_seeds(words) == seeds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0"], "one seed or more"),
        ([","], "one seed or more"),
        (["3", "3"], "the seed 3 is there twice"),
        (["-1"], "got '-1'"),
        (["two"], "got 'two'"),
        (["1234567"], "write 1234567, for the seed"),
        (["0-99999"], "at most 10000"),
    ],
)
def test_wrong_seeds(words: list[str], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        variants.parse_seeds(words)


def test_folders_of_variants_differ() -> None:
    names = ["a b", "a_b", "a/b", "..", "GIoULoss", "é" * 200]
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names) and folders[4] == "GIoULoss"
    assert all(len(folder) < 120 and "/" not in folder and not folder.startswith(".") for folder in folders)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(baseline="GIoU"), "--baseline GIoU: expected one of the variants, .* did you mean GIoULoss"),
        (dict(variants={"a": {"model.bbox_hed.loss_bbox.type": "CIoULoss"}}), "no 'bbox_hed'; did you mean bbox_head"),
        (dict(variants={"a": {"modle": 1}}), "the config has no 'modle'; did you mean model"),
        (dict(variants={"a": {"model.bbox_head.num_classes.x": 1}}), "has no parts"),
        (dict(variants={"a": {"train_dataloader.dataset.pipeline.9.prob": 1}}), "has 4 entries"),
        (dict(variants={"a": {}, "b": {LOSS: "GIoULoss"}}), "a and b are the same training"),
        (dict(variants={"a": {"randomness.seed": 1}}), "is what --seeds sets"),
        (dict(options={"randomness.seed": 1}), "--cfg-options: randomness.seed"),
        (dict(options={"val_evaluator": None}), "has no val_evaluator"),
        (dict(config="retinanet_r18.py"), "does not exist"),
        (dict(length=("iters", 5)), "use --epochs"),
        (dict(length=("epochs", 0)), "expected 1 or more"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(next(iter(value.items())))[:40],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    right = {"config": CONFIG, "variants": variants.from_vary([f"{LOSS}=GIoULoss,CIoULoss"]), "seeds": [0]}
    with pytest.raises(ToolError, match=said):
        Plan(**{**right, "folder": tmp_path, **change})


@pytest.mark.parametrize(
    ("losses", "options", "said"),
    [
        ("GIoULoss,CIoULos", {}, "variant CIoULos: .*unknown loss 'CIoULos'; did you mean CIoULoss"),
        ("GIoULoss", {"model.bbox_head.loss_bbox.wieght": 1}, "variant GIoULoss: .*wieght"),
        ("GIoULoss", {"model.bbox_head.num_class": 3}, "variant GIoULoss: .*num_class"),
        ("GIoULoss", {"optim_wrapper.optimizer.learning_rate": 3}, "variant GIoULoss: .*learning_rate"),
        ("GIoULoss", {"train_dataloader.dataset.type": "CheckedCocoDataset"}, "annotations.json does not exist"),
    ],
)
def test_what_does_not_build_is_said_before_anything_is_trained(
    tmp_path: Path, losses: str, options: dict[str, Any], said: str
) -> None:
    settings = tiny(tmp_path / "data") | options
    if "CheckedCocoDataset" in options.values():
        settings |= {"train_dataloader.dataset.spec": None, "train_dataloader.dataset.spec_": None}
        settings = {key: value for key, value in settings.items() if "dataset.spec" not in key}
        settings["train_dataloader.dataset"] = {"_delete_": True, "type": "CheckedCocoDataset", "ann_file": "no.json"}
        del settings["train_dataloader.dataset.type"]
        said = "no.json does not exist"
    with pytest.raises(ToolError, match=said):
        check(plan_of(tmp_path / "runs", losses, options=settings))
    assert not (tmp_path / "runs").exists()


def test_metric_has_to_be_one_of_the_evaluation(plan: Plan) -> None:
    plan.metric = "bbox_AP"
    try:
        with pytest.raises(ToolError, match="--metric bbox_AP: expected one of bbox_mAP, "):
            check(plan)
    finally:
        plan.metric = "bbox_mAP"


def test_directory_of_something_else(plan: Plan) -> None:
    """Files of no comparison; one with other options; a variant whose name means something else now."""
    folder = plan.folder
    folder.mkdir()
    (folder / "epoch_1.pth").touch()
    with pytest.raises(ToolError, match="holds files that are no comparison's"):
        plan.check_folder()
    (folder / "epoch_1.pth").unlink()
    plan.check_folder()
    plan.save()
    plan.check_folder()
    more = plan_of(folder, "GIoULoss,DIoULoss", seeds=[0, 1, 2])
    more.check_folder()
    more.save()
    kept = json.loads((folder / "plan.json").read_text())["variants"]
    assert list(kept) == ["GIoULoss", "CIoULoss", "DIoULoss"]
    with pytest.raises(ToolError, match=r"another comparison.*train_cfg.max_epochs is 4 there and 2 now"):
        plan_of(folder, length=("epochs", 2)).check_folder()
    other = plan_of(folder, "CIoULoss,DIoULoss")
    other.variants = {"CIoULoss": other.variants["DIoULoss"]}
    other.digests = {"CIoULoss": other.digests["DIoULoss"]}
    with pytest.raises(ToolError, match="has a variant CIoULoss with other options"):
        other.check_folder()
    with running.held(folder), pytest.raises(ToolError, match="another process"), running.held(folder):
        pass


def test_what_is_done_and_what_is_not(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "runs", seeds=[0, 1])
    plan.save()
    first, second, third, fourth = plan.jobs()
    assert [(job.variant, job.seed) for job in plan.jobs()][:2] == [("GIoULoss", 0), ("CIoULoss", 0)]
    done = {"variant": "GIoULoss", "seed": 0, "status": "done", "metrics": {"bbox_mAP": 0.5}}
    write_json(first.file(RESULT), {**done, "config_sha256": first.digest})
    write_json(second.file(RESULT), {**done, "config_sha256": "of another config"})
    third.fail("the loss was not finite", again=False)
    fourth.file(FAILURE).write_text('{"half')
    write_json(fourth.file(CURVE), [])
    assert running.open_jobs(plan.jobs()) == [second, fourth]
    found = plan.results()
    assert [run.status for run in found.runs] == ["done", "missing", "failed", "missing"]
    assert found.runs[2].error == "the loss was not finite"
    assert any("remove" in line and str(third.folder) in line for line in running.describe(plan, plan.jobs(), []))
    running.start_afresh(plan.jobs())
    assert [run.status for run in plan.results().runs] == ["missing"] * 4


def test_schedule_is_stretched(tmp_path: Path) -> None:
    """Steps and the end of the schedule move, the warm-up in iterations does not."""
    steps = [
        {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 500},
        {"type": "MultiStepLR", "begin": 0, "end": 12, "by_epoch": True, "milestones": [8, 11], "gamma": 0.1},
    ]
    options = {"param_scheduler": steps, "train_cfg.max_epochs": 12}
    cfg = plan_of(tmp_path / "runs", options=options, length=("epochs", 24)).common
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.param_scheduler[0].end == 500
    assert (cfg.param_scheduler[1].end, cfg.param_scheduler[1].milestones) == (24, [16, 22])


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
