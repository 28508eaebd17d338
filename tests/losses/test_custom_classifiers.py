"""Losses that decide a head's channels and scores, against mmdet's own and in its heads."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmdet_losses as ml
from mmdet_losses.registry import stock

mmdet_models = pytest.importorskip("mmdet.models")

C = 4
FREQUENCY = [0.5, 0.001, 0.5, 0.001]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CrossEntropyCustomLoss", {}),
        ("CrossEntropyCustomLoss", {"use_sigmoid": True}),
        ("FocalCustomLoss", {}),
    ],
)
def test_hooks_are_mmdets(name, options):
    ours, theirs = getattr(ml, name)(num_classes=C, **options), stock(name)(num_classes=C, **options)
    channels = ours.get_cls_channels(C)
    assert channels == theirs.get_cls_channels(C)
    score = torch.randn(20, channels, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.get_activation(score), theirs.get_activation(score))
    label = torch.arange(20) % (C + 1)
    (mine,), (other,) = ours.get_accuracy(score, label).items(), theirs.get_accuracy(score, label).items()
    assert mine[0] == other[0]
    torch.testing.assert_close(mine[1], other[1])
    assert 0 < mine[1] < 100
    assert ours.get_accuracy(score, torch.full((20,), C))["acc_classes"] == 0
    with pytest.raises(ValueError, match=f"num_classes of {name} must be the head's, 7, got 4"):
        ours.get_cls_channels(7)


def box_head(**loss_cls):
    return mmdet_models.Shared2FCBBoxHead(
        in_channels=2,
        fc_out_channels=8,
        roi_feat_size=3,
        num_classes=C,
        bbox_coder=ConfigDict(type="DeltaXYWHBBoxCoder"),
        loss_cls=ConfigDict(loss_cls),
        loss_bbox=ConfigDict(type="L1Loss"),
    )


@pytest.mark.parametrize(
    ("loss_cls", "channels"),
    [
        ({"type": "EqualizationLoss", "class_frequency": FREQUENCY, "use_sigmoid": True, "two_stage": True}, C),
        ({"type": "CrossEntropyCustomLoss", "num_classes": C, "use_sigmoid": True}, C),
        ({"type": "CrossEntropyCustomLoss", "num_classes": C}, C + 1),
        ({"type": "FocalLoss", "use_sigmoid": False}, C + 1),
        ({"type": "LabelSmoothLoss", "use_sigmoid": False}, C + 1),
        ({"type": "Poly1CrossEntropyLoss", "use_sigmoid": False}, C + 1),
    ],
)
def test_two_stage_heads_train_and_detect(loss_cls, channels):
    torch.manual_seed(0)
    head = box_head(**loss_cls)
    n = 10
    scores, deltas = head(torch.randn(n, 2, 3, 3))
    assert scores.shape == (n, channels)
    labels = torch.arange(n) % (C + 1)
    rois = torch.cat([torch.zeros(n, 1), torch.tensor([[0.0, 0, 20, 20]]).repeat(n, 1)], 1)
    positive = (labels < C).float()
    losses = head.loss(scores, deltas, rois, labels, torch.ones(n), torch.zeros(n, 4), positive[:, None].expand(n, 4))
    assert losses["loss_cls"] > 0
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())

    # A confident prediction of class 2 becomes a detection of class 2, one of nothing none.
    sure = torch.full((2, channels), -6.0)
    sure[0, 2] = 6
    if channels == C + 1:
        sure[1, C] = 6
    cfg = ConfigDict(score_thr=0.3, nms=dict(type="nms", iou_threshold=0.5), max_per_img=10)
    (found,) = head.predict_by_feat(
        (rois[:2],), (sure,), (deltas[:2].detach(),), [{"img_shape": (40, 40), "scale_factor": (1.0, 1.0)}], cfg
    )
    assert isinstance(found, InstanceData)
    assert found.labels.tolist() == [2]
    assert found.scores.item() > 0.95


def test_equalization_in_a_two_stage_head_divides_by_the_regions():
    """The authors' code divides by the number of rows; heads pass that as ``avg_factor``."""
    head = box_head(type="EqualizationLoss", class_frequency=FREQUENCY, use_sigmoid=True, two_stage=True)
    scores, labels = torch.randn(6, C), torch.tensor([0, 1, 2, 3, C, C])
    losses = head.loss(scores, None, torch.zeros(6, 5), labels, torch.ones(6), torch.zeros(6, 4), torch.zeros(6, 4))
    total = ml.EqualizationLoss(FREQUENCY, reduction="sum")(scores, labels)
    torch.testing.assert_close(losses["loss_cls"], total / 6)


def test_equalization_without_the_hooks():
    """A one-stage head has no background channel by itself, and takes no background score."""
    assert not ml.EqualizationLoss(FREQUENCY).custom_cls_channels
    loss = ml.EqualizationLoss(FREQUENCY, two_stage=True)
    assert loss.custom_cls_channels
    assert loss.custom_activation
    assert loss.custom_accuracy
