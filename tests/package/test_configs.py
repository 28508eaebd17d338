"""Every bundled config: it loads, holds what its name says, and its model and data sets can be built."""

import re
from collections import Counter
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import torch
from mmdet.models import losses as stock
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

import mmdet_losses
from mmdet_losses.data.data_root import merge_options

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").rglob("*.py"))
# tests/yolo/test_yolo_heads.py has those of grid detectors, the end of this file that of DINO
LEAVES = [file for file in FILES if "_base_" not in file.parts and file.parent.name not in ("yolo", "dino")]
NAME = re.compile(
    r"(?P<head>retinanet|fcos|atss|gfl)_(?P<backbone>r50-caffe|r50|r18)_fpn(_gn-head)?_(?P<loss>[a-z0-9-]+)"
    r"_(?P<devices>\d+)xb(?P<batch>\d+)-(?P<schedule>1x|12e|4e)_(?P<data>coco|bccd|shapes)"
)
BOX_LOSS = {
    "smooth-l1": "SmoothL1Loss",
    "iou": "IoULoss",
    "giou": "GIoULoss",
    "ciou": "CIoULoss",
    "siou": "SIoULoss",
    "focal-eiou": "FocalEIoULoss",
}
# As published: Focal 2.0 / 0.25; QFL 2.0; GIoU weight 2 in ATSS and GFL, 1 in FCOS; DFL weight 0.25.
OTHER_SLOTS = {
    "retinanet": {"loss_cls": ("FocalLoss", 1.0)},
    "fcos": {"loss_cls": ("FocalLoss", 1.0), "loss_centerness": ("CrossEntropyLoss", 1.0)},
    "atss": {"loss_cls": ("FocalLoss", 1.0), "loss_centerness": ("CrossEntropyLoss", 1.0)},
    "gfl": {"loss_cls": ("QualityFocalLoss", 1.0), "loss_dfl": ("DistributionFocalLoss", 0.25)},
}
BOX_WEIGHT = {"retinanet": 2.0, "fcos": 1.0, "atss": 2.0, "gfl": 2.0}


@lru_cache
def read(file: Path) -> Config:
    return Config.fromfile(file)


def load(file: Path) -> Config:
    """A config of its own for each test; reading one takes a second."""
    return deepcopy(read(file))


@pytest.fixture(params=LEAVES, ids=lambda file: file.stem)
def leaf(request) -> tuple[re.Match, Config]:
    """The parts of a leaf file's name, and the config in it."""
    parts = NAME.fullmatch(request.param.stem)
    assert parts, f"{request.param.stem} does not follow the naming pattern"
    assert request.param.parent.name == parts["head"]
    return parts, load(request.param)


def test_file_names_are_unique():
    """mim finds a config by its file name alone."""
    assert [name for name, count in Counter(file.name for file in FILES).items() if count > 1] == []


def test_every_head_has_every_scale():
    """The pairs that each head is known by, and a data set of each kind."""
    names = {file.stem for file in LEAVES}
    parts = [NAME.fullmatch(name) for name in names]
    for head in BOX_WEIGHT:
        assert {part["data"] for part in parts if part["head"] == head} == {"coco", "bccd", "shapes"}
    assert {
        "retinanet_r50_fpn_smooth-l1_8xb2-1x_coco",
        "retinanet_r50_fpn_giou_8xb2-1x_coco",
        "retinanet_r50_fpn_ciou_8xb2-1x_coco",
        "fcos_r50-caffe_fpn_gn-head_iou_8xb2-1x_coco",
        "atss_r50_fpn_giou_8xb2-1x_coco",
        "gfl_r50_fpn_giou_8xb2-1x_coco",
    } <= names


def test_leaf_files_are_a_few_lines():
    """What files share lives in configs/_base_."""
    assert {file.name: n for file in LEAVES if (n := len(file.read_text().splitlines())) > 15} == {}


def test_slots_hold_what_the_name_says(leaf):
    """Box loss by name; the other slots hold type, weight and use_sigmoid alone."""
    parts, cfg = leaf
    head = cfg.model.bbox_head
    slots = {key: value for key, value in head.items() if key.startswith("loss_")}
    box = slots.pop("loss_bbox")
    assert box["type"] == BOX_LOSS[parts["loss"]]
    on_deltas = parts["loss"] == "smooth-l1"
    assert box["loss_weight"] == (1.0 if on_deltas else BOX_WEIGHT[parts["head"]])
    assert set(box) - {"_scope_"} == {"type", "loss_weight"} | ({"beta"} if on_deltas else set())
    if parts["head"] == "retinanet":
        assert head.reg_decoded_bbox is not on_deltas
    assert {key: (value["type"], value["loss_weight"]) for key, value in slots.items()} == OTHER_SLOTS[parts["head"]]
    assert all(set(slot) <= {"type", "loss_weight", "use_sigmoid", "_scope_"} for slot in slots.values())


def test_schedule_is_what_the_name_says(leaf):
    """Batch, epochs, backbone; ready for --amp and --auto-scale-lr."""
    parts, cfg = leaf
    assert cfg.train_dataloader.batch_size == int(parts["batch"])
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=int(parts["devices"]) * int(parts["batch"]))
    assert cfg.train_cfg.max_epochs == (4 if parts["schedule"] == "4e" else 12)
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
    assert cfg.optim_wrapper.type == "OptimWrapper"
    assert cfg.model.backbone.depth == int(parts["backbone"][1:3])
    if parts["data"] != "coco":
        assert cfg.model.backbone.init_cfg is None and cfg.model.backbone.frozen_stages == -1
        assert cfg.randomness.seed == 0


def test_imports_register_what_the_config_uses(leaf):
    """The config alone brings the package, also in somebody else's tool."""
    parts, cfg = leaf
    expected = ["mmdet_losses"] if parts["data"] == "coco" else ["mmdet_losses", "mmdet_losses.data.datasets"]
    assert cfg.custom_imports == dict(imports=expected, allow_failed_imports=False)


def test_model_builds_with_our_losses(leaf):
    """Without weights from the network; focal parameters are the published ones."""
    parts, cfg = leaf
    cfg.model.backbone.init_cfg = None
    model = MODELS.build({**cfg.model, "_scope_": "mmdet"})
    head = model.bbox_head
    assert head.num_classes == (80 if parts["data"] == "coco" else 3)
    losses = {name: getattr(head, name) for name in ("loss_bbox", *OTHER_SLOTS[parts["head"]])}
    for name, loss in losses.items():
        assert isinstance(loss, mmdet_losses.registry.LOSSES[cfg.model.bbox_head[name]["type"]]), name
    if parts["head"] == "gfl":
        assert losses["loss_cls"].beta == 2.0
    else:
        assert (losses["loss_cls"].gamma, losses["loss_cls"].alpha) == (2.0, 0.25)


def test_data_root_reaches_data_and_evaluators(leaf):
    """One option moves all of them."""
    _, cfg = leaf
    merge_options(cfg, {"data_root": "/mnt/elsewhere"})
    for split in ("train", "val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.data_root == "/mnt/elsewhere"
    for split in ("val", "test"):
        evaluator, dataset = cfg[f"{split}_evaluator"], cfg[f"{split}_dataloader"].dataset
        assert evaluator.ann_file == f"/mnt/elsewhere/{dataset.ann_file}"


@pytest.mark.parametrize(("data", "variable"), [("bccd", "MMDET_LOSSES_BCCD"), ("shapes", "MMDET_LOSSES_SHAPES")])
def test_data_root_from_the_environment(data, variable, monkeypatch):
    """The default is data/NAME; the variable replaces it."""
    file = next(file for file in LEAVES if file.stem.endswith(data))
    for value, expected in ((None, f"data/{data}"), ("/mnt/x", "/mnt/x")):
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
        cfg = Config.fromfile(file)
        assert cfg.train_dataloader.dataset.data_root == cfg.val_dataloader.dataset.data_root == expected
        assert cfg.val_evaluator.ann_file.startswith(f"{expected}/")


def test_shapes_splits_are_unseen(tmp_path):
    """100 or more val images; train and val differ in seed and folder; both build and give samples."""
    file = next(file for file in LEAVES if file.stem.endswith("shapes"))
    cfg = load(file)
    merge_options(cfg, {"data_root": str(tmp_path)})
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert val.spec.num_images >= 100
    assert train.spec.seed != val.spec.seed and Path(train.ann_file).parent != Path(val.ann_file).parent
    for dataset in (train, val):
        dataset.spec.num_images = 2
        sample = DATASETS.build({**dataset, "_scope_": "mmdet"})[0]
        assert tuple(sample["inputs"].shape) == (3, *reversed(tuple(dataset.spec.image_size)))
        assert len(sample["data_samples"].gt_instances) > 0


DECODED = [file for file in LEAVES if NAME.fullmatch(file.stem)["loss"] != "smooth-l1"]


@pytest.mark.parametrize("leaf", DECODED, indirect=True, ids=lambda file: file.stem)
def test_loss_swaps_by_one_word(leaf):
    """Every other loss of the IoU family fits the box slot of a decoded head, by its name alone."""
    _, cfg = leaf
    cfg.model.backbone.init_cfg = None
    merge_options(cfg, {"model.bbox_head.loss_bbox.type": "DIoULoss"})
    assert type(MODELS.build({**cfg.model.bbox_head, "_scope_": "mmdet"}).loss_bbox).__name__ == "DIoULoss"


DINO_SHAPES = ROOT / "configs" / "dino" / "dino-2scale_r18_mal_1xb4-12e_shapes.py"


def dino_head(cfg: Config) -> nn.Module:
    """The head alone, with what its detector would tell it."""
    options = dict(share_pred_layer=False, num_pred_layer=cfg.model.decoder.num_layers + 1, as_two_stage=True)
    config = dict(cfg.model.bbox_head, **options, train_cfg=cfg.model.train_cfg, test_cfg=cfg.model.test_cfg)
    return MODELS.build({**config, "_scope_": "mmdet"})


def test_dino_has_one_config_of_each_scale():
    """Those that the tests below look at."""
    assert {file.stem for file in FILES if file.parent.name == "dino"} == {
        "dino-4scale_r50_mal_8xb2-12e_coco",
        DINO_SHAPES.stem,
    }


@pytest.mark.parametrize("name", ["dino-4scale_r50_mal_8xb2-12e_coco", DINO_SHAPES.stem])
def test_dino_with_the_matchability_aware_loss(name):
    """MMDetection's head with another loss of the classes, which it takes for a quality focal loss."""
    cfg = load(ROOT / "configs" / "dino" / f"{name}.py")
    assert "mmdet_losses" in cfg.custom_imports.imports
    head = cfg.model.bbox_head
    assert dict(head.loss_cls, gamma=1.5) == dict(
        type="MatchabilityAwareLoss", use_sigmoid=True, gamma=1.5, loss_weight=1.0
    )
    assert (head.loss_bbox.loss_weight, head.loss_iou.loss_weight) == (5.0, 2.0)
    loss = dino_head(cfg).loss_cls
    assert type(loss) is mmdet_losses.MatchabilityAwareLoss
    assert loss.gamma == 1.5
    assert isinstance(loss, stock.QualityFocalLoss)


def test_dino_on_shapes_is_what_its_name_says():
    """Scales, batch, epochs; from scratch; every query is a detection."""
    cfg = load(DINO_SHAPES)
    model = cfg.model
    attention = (model.encoder.layer_cfg.self_attn_cfg, model.decoder.layer_cfg.cross_attn_cfg)
    assert {model.neck.num_outs, model.num_feature_levels, *(part.num_levels for part in attention)} == {2}
    assert (model.backbone.depth, model.backbone.init_cfg, model.backbone.frozen_stages) == (18, None, -1)
    assert model.test_cfg.max_per_img == model.num_queries
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 4
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == cfg.param_scheduler[-1].T_max == 12
    assert cfg.randomness.seed == 0


@pytest.mark.parametrize(
    ("name", "qualities"),
    [("FocalLoss", False), ("QualityFocalLoss", True), ("RTDETRVarifocalLoss", True), ("IABCELoss", True)],
)
def test_dino_swaps_by_one_word(name, qualities):
    """What takes qualities is an instance of MMDetection's quality focal loss, by which the head tells."""
    cfg = load(DINO_SHAPES)
    merge_options(cfg, {"model.bbox_head.loss_cls.type": name})
    loss = dino_head(cfg).loss_cls
    assert type(loss) is getattr(mmdet_losses, name)
    assert isinstance(loss, stock.QualityFocalLoss) is qualities


def test_dino_on_shapes_takes_a_step():
    """The whole detector, on an image with objects and one without: finite losses, and a gradient for every weight."""
    torch.manual_seed(0)
    model = MODELS.build({**load(DINO_SHAPES).model, "_scope_": "mmdet"})
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4)
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    boxes = torch.tensor([[8.0, 10, 40, 44], [50, 20, 80, 60]])
    truth = [InstanceData(bboxes=boxes[:n], labels=torch.arange(n)) for n in (2, 0)]
    data = dict(
        inputs=[torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8) for _ in truth],
        data_samples=[DetDataSample(gt_instances=one, metainfo=meta) for one in truth],
    )
    for _ in range(2):  # the last layers of the boxes begin at 0, and pass no gradient on before the second
        optimizer.zero_grad()
        losses = model(**model.data_preprocessor(data, training=True), mode="loss")
        assert len([name for name in losses if name.endswith("loss_cls")]) == 5  # encoder, 2 layers, 2 of denoising
        loss, _ = model.parse_losses(losses)
        loss.backward()
        assert all(value.isfinite() for value in losses.values())
        optimizer.step()
    still = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []
