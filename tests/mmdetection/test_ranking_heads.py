"""Heads that rank all their levels in one call learn with a ranking loss: it falls, and the average precision rises."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.evaluation.functional import eval_map
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_losses.registry import LOSSES

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
HEADS = {"fcos": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", "vfnet": "vfnet/vfnet_r50_fpn_1x_coco.py"}
SIZE, CLASSES, STRIDES = 128, 3, (8, 16, 32, 64, 128)
METAS = [dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))] * 2
TRUTH = [
    ([[8.0, 8, 60, 50], [70, 60, 120, 120]], [0, 1]),
    ([[20.0, 40, 100, 120], [90, 10, 118, 40]], [2, 0]),
]
GROUND_TRUTH = [InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels)) for boxes, labels in TRUTH]


def build_head(name, loss):
    from mmdet.registry import MODELS

    model = Config.fromfile(CONFIGS / HEADS[name]).model
    head = dict(model.bbox_head, in_channels=32, feat_channels=32, stacked_convs=1, num_classes=CLASSES)
    head["loss_cls"] = dict(type=loss, use_sigmoid=True, loss_weight=1.0)
    torch.manual_seed(0)
    built = MODELS.build(dict(head, train_cfg=model.get("train_cfg"), test_cfg=model.test_cfg))
    for parameter in built.parameters():  # mmengine's init_weights, but without a log line for each of them
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.01 if parameter.shape[0] <= 4 else 0.1)
    return built


def average_precision(head, features):
    """At IoU 0.5, of both images laid side by side."""
    with torch.no_grad():
        results = head.eval().predict_by_feat(*head(features), batch_img_metas=METAS, rescale=False)
    head.train()
    rows = [torch.cat([r.bboxes + 1000 * i, r.scores[:, None]], 1) for i, r in enumerate(results)]
    label = torch.cat([r.labels for r in results])
    found = [[torch.cat(rows)[label == c].numpy() for c in range(CLASSES)]]
    boxes = torch.cat([instances.bboxes + 1000 * i for i, instances in enumerate(GROUND_TRUTH)]).numpy()
    truth = [dict(bboxes=boxes, labels=torch.cat([instances.labels for instances in GROUND_TRUTH]).numpy())]
    return eval_map(found, truth, iou_thr=0.5, logger="silent")[0]


@pytest.mark.parametrize("loss", ["APLoss", "RankSortLoss"])
@pytest.mark.parametrize("name", HEADS)
def test_head_learns(name, loss):
    head = build_head(name, loss)
    assert type(head.loss_cls) is LOSSES[loss]
    features = [torch.randn(2, 32, SIZE // s, SIZE // s) for s in STRIDES]
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    before, values = average_precision(head, features), []
    for _ in range(30):
        losses = head.loss_by_feat(*head(features), GROUND_TRUTH, METAS)
        values.append(losses["loss_cls"].item())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 10.0)
        optimizer.step()
    after = average_precision(head, features)
    assert values[0] > 0.5
    assert values[-1] < 0.2 * values[0], values
    assert before < 0.3
    assert after > 0.9, (before, after)


@pytest.mark.parametrize("loss", ["APLoss", "RankSortLoss"])
@pytest.mark.parametrize("name", HEADS)
def test_value_is_the_published_one(name, loss):
    """The head's avg_factor is the number of positives, so the slot holds the mean error of the positives."""
    head = build_head(name, loss)
    features = [torch.randn(2, 32, SIZE // s, SIZE // s) for s in STRIDES]
    calls = []
    head.loss_cls.register_forward_pre_hook(lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True)
    value = head.loss_by_feat(*head(features), GROUND_TRUTH, METAS)["loss_cls"]
    ((inputs, keywords),) = calls
    assert keywords.keys() == {"avg_factor"}
    torch.testing.assert_close(value, head.loss_cls(*inputs))
