"""What tools/compare.py is asked for: variants, seeds, its directory, and all that it refuses before it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("statsmodels")

import compare
from comparing import CONFIG, LOSS, plan_of, tiny
from comparison import results, variants
from comparison import run as running
from comparison.checks import check
from comparison.files import write_json
from comparison.jobs import CURVE, FAILURE, RESULT, folder_name
from comparison.plan import Plan
from comparison.results import Run, Settings
from mmdet.models import RetinaHead
from mmengine.config import Config
from tool_runtime.errors import ToolError

QUALITY = {"_delete_": True, "type": "QualityFocalLoss", "use_sigmoid": True}
STOCK_QUALITY = {**QUALITY, "type": "mmdet_losses.stock.QualityFocalLoss"}
DATA_THAT_IS_NOT_THERE = {"_delete_": True, "type": "CheckedCocoDataset", "ann_file": "no.json"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of which nothing is trained."""
    return plan_of(tmp_path_factory.mktemp("plan") / "runs", seeds=[0, 1])


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
        ("GIoULoss", {"model.backbone.depth": 17}, "variant GIoULoss does not build: KeyError: .*depth 17"),
        (
            "GIoULoss",
            {"model.bbox_head.loss_cls": QUALITY},
            "variant GIoULoss: .*a head that passes labels alone needs Focal",
        ),
        (
            "GIoULoss",
            {"model.bbox_head.loss_cls": STOCK_QUALITY},
            r"variant GIoULoss: .*gfocal_loss.py:\d+: assert pred.size\(\) == target.size\(\)",
        ),
        ("GIoULoss", {"train_dataloader.dataset": DATA_THAT_IS_NOT_THERE}, "no.json does not exist"),
    ],
    ids=[
        "loss",
        "option of a loss",
        "option of a head",
        "option of the optimizer",
        "a check of a backbone",
        "call of a loss",
        "call of a loss of MMDetection",
        "data",
    ],
)
def test_what_does_not_build_is_said_before_anything_is_trained(
    tmp_path: Path, losses: str, options: dict[str, Any], said: str
) -> None:
    given = {
        key: value for key, value in tiny(tmp_path / "data").items() if not any(key.startswith(k) for k in options)
    }
    with pytest.raises(ToolError, match=said):
        check(plan_of(tmp_path / "runs", losses, options=given | options))
    assert not (tmp_path / "runs").exists()


def test_what_only_the_training_can_decide_is_left_to_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an operator of a head that this machine's device does not have."""
    called = Mock(side_effect=RuntimeError("not compiled with GPU support"))
    monkeypatch.setattr(RetinaHead, "loss_by_feat", called)
    check(plan)
    assert called.call_count == len(plan.variants) == 2
    called.side_effect = TypeError("L1Loss.forward() got an unexpected keyword argument 'x'")
    with pytest.raises(ToolError, match=r"variant GIoULoss: .*TypeError: L1Loss.forward"):
        check(plan)


def test_a_variant_that_is_done_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path / "runs", seeds=[0, 1], kept=tmp_path / "results.json")
    kept = plan.results()
    done = {"status": "done", "metrics": {"bbox_mAP": 0.25}, "config_sha256": plan.digests["CIoULoss"]}
    kept.runs = [Run("CIoULoss", seed, **done) for seed in plan.seeds]
    results.write(kept, plan.kept)
    called = Mock(side_effect=RuntimeError("not compiled with GPU support"))
    monkeypatch.setattr(RetinaHead, "loss_by_feat", called)
    check(plan)
    assert plan.to_train() == {"GIoULoss"} and called.call_count == 1


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
    with running.held(plan), pytest.raises(ToolError, match=r"--work-dir .* another process"), running.held(plan):
        pass


def test_killed_while_it_began(tmp_path: Path) -> None:
    """The configs of variants are written before the plan."""
    plan = plan_of(tmp_path / "runs")
    plan.save()
    (plan.folder / "plan.json").rename(plan.folder / ".plan.json.7.part")
    shutil.rmtree(plan.folder / "runs")
    plan.check_folder()
    shutil.rmtree(plan.folder / "variants")
    (plan.folder / "report.md").touch()
    with pytest.raises(ToolError, match="holds files that are no comparison's"):
        plan.check_folder()


def test_one_process_at_a_time_for_a_file_of_results(tmp_path: Path) -> None:
    first, second = (plan_of(tmp_path / name / "runs", kept=tmp_path / "results.json") for name in "ab")
    with running.held(first), pytest.raises(ToolError, match=r"--results .* another process"), running.held(second):
        pass
    with running.held(second):
        pass


def test_report_of_what_is_kept_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the runs of other files, and into the file that is asked for, as a cluster's last call does."""
    file, other = tmp_path / "kept.json", tmp_path / "other.json"
    plan = plan_of(tmp_path / "runs", kept=file, reused=[other])
    done = {"status": "done", "metrics": {"bbox_mAP": 0.25}, "config_sha256": plan.digests["CIoULoss"]}
    kept = plan.results()
    kept.runs = [Run("CIoULoss", 0, **done)]
    results.write(kept, other)
    with pytest.raises(ToolError, match=r"--report: .*runs holds no comparison yet"):
        compare.report(plan)
    assert not plan.folder.exists()
    plan.save()
    own = {"variant": "GIoULoss", "seed": 0, "status": "done", "metrics": {"bbox_mAP": 0.5}}
    write_json(plan.job("GIoULoss", 0).file(RESULT), {**own, "config_sha256": plan.digests["GIoULoss"]})
    assert compare.report(plan) == 0
    assert "CIoULoss: -0.2500 AP with the one seed" in capsys.readouterr().out
    assert {run.variant: run.metrics["bbox_mAP"] for run in results.read(file).runs} == {
        "GIoULoss": 0.5,
        "CIoULoss": 0.25,
    }


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


def test_results_kept_in_a_file_are_done(tmp_path: Path) -> None:
    """A complete run of the file is not trained again; what the file would lose is refused."""
    file = tmp_path / "kept" / "results.json"
    plan = plan_of(tmp_path / "runs", seeds=[0, 1], kept=file)
    plan.check_files()
    done = {"status": "done", "metrics": {"bbox_mAP": 0.25}, "config_sha256": plan.digests["CIoULoss"]}
    kept = plan.results()
    kept.runs = [Run("CIoULoss", 1, **done), Run("GIoULoss", 0, "failed", "out of memory")]
    results.write(kept, file)

    again = plan_of(tmp_path / "elsewhere", seeds=[0, 1], options=plan.options, kept=file)
    again.check_files()
    again.save()
    again.restore()
    assert [(job.variant, job.seed) for job in running.open_jobs(again.jobs())] == [
        ("GIoULoss", 0),
        ("CIoULoss", 0),
        ("GIoULoss", 1),
    ]
    assert again.job("CIoULoss", 1).result().metrics == {"bbox_mAP": 0.25}
    assert again.results_file == file and plan_of(tmp_path / "x").results_file == tmp_path / "x" / "results.json"

    for changes, said in (
        ({"seeds": [0]}, "holds CIoULoss, seed 1, which is not asked for"),
        ({"losses": "GIoULoss,DIoULoss"}, "holds CIoULoss, seed 1, which is not asked for"),
        ({"length": ("epochs", 3)}, "holds CIoULoss, seed 1, of another config"),
    ):
        other = plan_of(tmp_path / "other", **{"seeds": [0, 1], "options": plan.options, "kept": file, **changes})
        with pytest.raises(ToolError, match=said):
            other.check_files()
    file.write_text("[]")
    with pytest.raises(ToolError, match="was not written by"):
        again.check_files()


def test_runs_of_other_comparisons_are_reused(tmp_path: Path) -> None:
    """What the config says and the seed count, not the name of the variant."""
    plan = plan_of(tmp_path / "runs", seeds=[0, 1])
    file = tmp_path / "other.json"
    found = results.Results(Settings("a.py", "complete IoU", [1]), {"complete IoU": {}}, [])
    found.runs = [Run("complete IoU", 1, "done", metrics={"bbox_mAP": 0.5}, config_sha256=plan.digests["CIoULoss"])]
    results.write(found, file)
    plan.reused = [file]
    plan.check_files()
    plan.save()
    plan.restore()
    taken = plan.job("CIoULoss", 1).result()
    assert (taken.variant, taken.metrics) == ("CIoULoss", {"bbox_mAP": 0.5})
    assert len(running.open_jobs(plan.jobs())) == 3
    plan.reused = [tmp_path / "none.json"]
    with pytest.raises(ToolError, match="no such file"):
        plan.check_files()
