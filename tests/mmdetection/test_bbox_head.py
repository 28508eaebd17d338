"""MMDetection's own ``BBoxHead`` with the losses that ask it for channels and an activation of their own."""

import pytest
import torch
from torch import Tensor

mmdet_models = pytest.importorskip("mmdet.models")

from mmengine.config import ConfigDict  # noqa: E402

from mmdet_losses import commit_statistics  # noqa: E402
from mmdet_losses.registry import LOSSES  # noqa: E402

CLASSES, N = 4, 12
LONG_TAILED = ["SeesawLoss", "EQLV2Loss"]


def build(name: str, **options):
    loss_cls = dict(type=name, num_classes=CLASSES, **options)
    torch.manual_seed(0)
    head = mmdet_models.Shared2FCBBoxHead(
        in_channels=8, fc_out_channels=16, roi_feat_size=2, num_classes=CLASSES, loss_cls=loss_cls
    )
    head.init_weights()
    return head


def regions() -> tuple[Tensor, ...]:
    """Features, boxes, and what the head is to learn of them: objects of each class, background, ignored rows."""
    g = torch.Generator().manual_seed(1)
    features = torch.randn(N, 8, 2, 2, generator=g)
    corner = torch.rand(N, 2, generator=g) * 40
    rois = torch.cat([torch.zeros(N, 1), corner, corner + 10 + torch.rand(N, 2, generator=g) * 20], 1)
    labels = torch.tensor([0, 1, 2, 3, *[CLASSES] * 8])
    label_weights = torch.ones(N)
    label_weights[-2:] = 0
    targets = torch.randn(N, 4, generator=g)
    return features, rois, labels, label_weights, targets, (labels < CLASSES).float()[:, None].expand(N, 4)


@pytest.mark.parametrize("name", LONG_TAILED)
def test_trains_and_predicts(name):
    head = build(name)
    assert type(head.loss_cls) is LOSSES[name]
    assert head.fc_cls.out_features == CLASSES + head.loss_cls.extra_channels
    features, *targets = regions()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
    totals = []
    for _ in range(60):
        losses = head.loss(*head(features), *targets)
        total = sum(value for key, value in losses.items() if "loss" in key)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        commit_statistics(head)
        totals.append(total.item())
    assert {"loss_bbox", "acc_objectness", "acc_classes"} < losses.keys()
    assert totals[-1] < 0.5 * totals[0]
    assert losses["acc_objectness"].item() >= 100 * (N - 2) / N
    assert losses["acc_classes"].item() == 100
    seen = head.loss_cls.cum_samples[:-1] if name == "SeesawLoss" else head.loss_cls.pos_grad
    assert (seen > 0).all()

    head.eval()
    rois = targets[0]
    (result,) = head.predict_by_feat(
        (rois,),
        *((x,) for x in head(features)),
        [dict(img_shape=(64, 64), scale_factor=(1.0, 1.0))],
        rcnn_test_cfg=ConfigDict(score_thr=0.3, nms=dict(type="nms", iou_threshold=0.9), max_per_img=10),
    )
    # what it was trained to see, and nothing that is background
    assert sorted(set(result.labels.tolist())) == [0, 1, 2, 3]
    assert ((result.scores > 0.3) & (result.scores <= 1)).all()


@pytest.mark.parametrize("name", LONG_TAILED)
def test_probabilities(name):
    head = build(name)
    scores = head.loss_cls.get_activation(head(regions()[0])[0])
    assert scores.shape == (N, CLASSES + 1)
    assert ((scores >= 0) & (scores <= 1)).all()
    if name == "SeesawLoss":
        torch.testing.assert_close(scores.sum(1), torch.ones(N))


@pytest.mark.parametrize("name", LONG_TAILED)
def test_accuracy(name):
    loss = LOSSES[name](num_classes=2)
    # an object of class 0, one of class 1 taken for class 0, background, background taken for an object
    rows = [[3.0, -3, 2, -2], [3, -3, 2, -2], [0, 0, -2, 2], [0, 0, 2, -2]]
    logits = torch.tensor(rows) if name == "SeesawLoss" else torch.tensor(rows)[:, [0, 1, 3]]
    accuracy = loss.get_accuracy(logits, torch.tensor([0, 1, 2, 2]))
    assert {key: value.item() for key, value in accuracy.items()} == {"acc_objectness": 75, "acc_classes": 50}
    empty = loss.get_accuracy(logits[:0], torch.zeros(0, dtype=torch.long))
    assert all(value.isfinite() for value in empty.values())


@pytest.mark.parametrize("name", LONG_TAILED)
def test_another_number_of_classes_says_so(name):
    sizes = dict(in_channels=8, fc_out_channels=16, roi_feat_size=2, num_classes=CLASSES)
    with pytest.raises(ValueError, match=f"num_classes of {name} must be the head's, {CLASSES}, got 7"):
        mmdet_models.Shared2FCBBoxHead(loss_cls=dict(type=name, num_classes=7), **sizes)
    with pytest.raises(ValueError, match=r"pred must have shape \(n, .*num_classes=7"):
        LOSSES[name](num_classes=7)(torch.zeros(3, 5), torch.zeros(3, dtype=torch.long))


def test_config_of_mmdet_for_seesaw_builds():
    """LVIS has 1203 classes."""
    from mmdet.registry import MODELS
    from mmengine.hub import get_config

    cfg = get_config("mmdet::seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py")
    head = dict(cfg.model.roi_head.bbox_head, fc_out_channels=4, in_channels=2)
    assert type(MODELS.build(head).loss_cls) is LOSSES["SeesawLoss"]
