"""Inference in Python on a checkpoint just trained, and a detector for somebody who does not have the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import publish
import torch
from command_line import ROOT, run, run_fork, tiny
from mmengine.config import Config
from tool_runtime.errors import ToolError

CONFIG = "configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"
LOSSES = ("model.bbox_head.loss_bbox.type=WIoULoss", "model.bbox_head.loss_cls.type=Poly1FocalLoss")
BLOCK = """
import sys

class Block:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "mmdet_losses":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""
INFER = """
import json, sys
import numpy as np
from mmdet.apis import DetInferencer, inference_detector, init_detector

config, checkpoint, alone = sys.argv[1:4]
image = np.random.RandomState(1).randint(0, 255, (160, 192, 3), np.uint8)
model = init_detector(config, checkpoint, device="cpu")
scores = inference_detector(model, image).pred_instances.scores.tolist()
inferencer = DetInferencer(None if alone == "alone" else config, checkpoint, device="cpu", show_progress=False)
(same,) = inferencer(image, no_save_vis=True)["predictions"]
print("RESULT", json.dumps([scores, same["scores"], list(model.dataset_meta["classes"])]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of a training in one epoch, by two losses that MMDetection does not have."""
    work_dir = tmp_path_factory.mktemp("trained")
    run("train.py", CONFIG, "--work-dir", work_dir, *tiny(work_dir / "data", *LOSSES))
    return work_dir


def infer(config: Path, checkpoint: Path, folder: Path, alone: str = "", before: str = "") -> list:
    arguments = ["", str(config), str(checkpoint), alone]
    code, said = run_fork(before + INFER, arguments, folder, PYTHONPATH=str(ROOT))
    assert code == 0, said[-3000:]
    return json.loads(said.split("RESULT ")[1].splitlines()[0])


def test_inference_on_a_checkpoint_just_trained_and_without_the_package(trained: Path, tmp_path: Path) -> None:
    config, checkpoint = trained / Path(CONFIG).name, trained / "epoch_1.pth"
    scores, same, classes = infer(config, checkpoint, tmp_path)
    assert len(scores) > 10 and same == pytest.approx(scores, abs=1e-5)
    assert classes == ["circle", "rectangle", "triangle"]

    out = tmp_path / "detector.pth"
    assert str(out) in run("publish.py", config, checkpoint, out)
    assert sorted(path.name for path in tmp_path.glob("detector*")) == ["detector.pth", "detector.py"]
    for alone in ("", "alone"):
        again = infer(out.with_suffix(".py"), out, tmp_path, alone, BLOCK)
        assert again[0] == pytest.approx(scores, abs=1e-5) == again[1] and again[2] == classes
    assert not [name for name in torch.load(out, weights_only=True)["state_dict"] if "loss" in name]
    assert out.stat().st_size < 0.6 * checkpoint.stat().st_size


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (dict(type="WIoULoss", loss_weight=2.0), dict(type="GIoULoss")),
        (dict(type="mmdet_losses.CIoULoss", alpha_gate=0.5, loss_weight=2.0), dict(type="CIoULoss", loss_weight=2.0)),
        (dict(type="Poly1FocalLoss", use_sigmoid=True), dict(type="CrossEntropyLoss", use_sigmoid=True)),
        (dict(type="AsymmetricLoss"), dict(type="CrossEntropyLoss", use_sigmoid=False)),
        (
            dict(type="FocalLoss", use_sigmoid=True, gamma=1.0, fused=True),
            dict(type="FocalLoss", use_sigmoid=True, gamma=1.0),
        ),
    ],
)
def test_what_stands_in_for_a_loss(loss: dict, expected: dict) -> None:
    assert publish.stand_in(loss) == expected


def test_what_else_a_config_imports_is_kept() -> None:
    imports = dict(imports=["mmdet_losses", "mmdet_losses.data.datasets", "my_heads"], allow_failed_imports=False)
    plain = publish.plain_config(Config(dict(model=dict(type="Mine"), custom_imports=imports, optimizer="SGD")), {})
    assert plain.to_dict() == dict(
        model=dict(type="Mine"), custom_imports=dict(imports=["my_heads"], allow_failed_imports=False)
    )


def test_what_cannot_be_without_the_package() -> None:
    with pytest.raises(ToolError, match="GridCellHead is of this package"):
        publish.plain_config(Config(dict(model=dict(bbox_head=dict(type="GridCellHead")))), {})
    with pytest.raises(ToolError, match="YOLOv3Loss decides what its head predicts"):
        publish.stand_in(dict(type="YOLOv3Loss"))


def test_a_detector_that_would_find_other_boxes_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.fromfile(trained / Path(CONFIG).name)
    found = iter([torch.zeros(3, 4), torch.ones(3, 4)])
    monkeypatch.setattr(publish, "boxes_of", lambda *_: {"boxes": next(found)})
    with pytest.raises(ToolError, match="finds other boxes"):
        publish.publish(config, trained / "epoch_1.pth", tmp_path / "out.pth")
    assert not list(tmp_path.iterdir())
