"""MMDetection's own GFLHead, run with the package's three losses, gives a total that was computed by hand."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

mmdet_models = pytest.importorskip("mmdet.models")

import mmdet_losses as ml  # noqa: E402

STRIDE = 8.0


class ScriptedCoder:
    """Decodes to a given box and encodes to given distances, so that the oracle's terms meet in one head."""

    encode_size = 4
    use_box_type = False

    def __init__(self, box: Tensor, distance: float) -> None:
        self.box, self.distance = box, distance

    def decode(self, centers: Tensor, distances: Tensor) -> Tensor:
        return self.box + 0 * distances

    def encode(self, centers: Tensor, boxes: Tensor, max_dis: float) -> Tensor:
        return torch.full_like(boxes, self.distance)


def test_gfl_head_total():
    head = mmdet_models.GFLHead(
        num_classes=3,
        in_channels=1,
        feat_channels=1,
        stacked_convs=1,
        norm_cfg=None,
        reg_max=4,
        anchor_generator=ConfigDict(
            type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[int(STRIDE)]
        ),
        loss_cls=ConfigDict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=ConfigDict(type="GIoULoss", loss_weight=2.0),
        loss_dfl=ConfigDict(type="DistributionFocalLoss", loss_weight=0.25),
    )
    assert type(head.loss_bbox) is ml.GIoULoss
    assert type(head.loss_dfl) is ml.DistributionFocalLoss
    assert isinstance(head.loss_cls, ml.QualityFocalLoss)

    # feature map of one row and two cells, one anchor each
    options = {"dtype": torch.float64}
    cls_score = torch.tensor([0.0, 2.0, -1.0], **options).view(1, 3, 1, 1).expand(1, 3, 1, 2).clone()
    sides = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5], **options).repeat(4)
    bbox_pred = sides.view(1, 20, 1, 1).expand(1, 20, 1, 2).clone()
    cls_score.requires_grad_()
    bbox_pred.requires_grad_()
    head.bbox_coder = ScriptedCoder(torch.tensor([[2.0, 3.0, 9.0, 11.0]], **options), 1.3)

    anchors = torch.tensor([[[-32.0, -32, 32, 32], [-24, -32, 40, 32]]], **options)
    labels = torch.tensor([[1, 3]])
    box_targets = torch.tensor([[[1.0, 2, 11, 10], [0, 0, 0, 0]]], **options) * STRIDE
    ones = torch.ones(1, 2, **options)
    head.get_targets = lambda *args, **kwargs: ([anchors], [labels], [ones], [box_targets], [ones], 1.0)

    losses = head.loss_by_feat(
        [cls_score], [bbox_pred], [InstanceData()], [{"img_shape": (8, 16), "pad_shape": (8, 16, 3)}]
    )
    parts = {name: sum(value).item() for name, value in losses.items()}
    assert parts == pytest.approx(
        {"loss_cls": 2.1428736508, "loss_bbox": 0.8281517354, "loss_dfl": 0.2806303033}, rel=1e-9
    )
    assert sum(parts.values()) == pytest.approx(3.2516556895, rel=1e-9)
    sum(sum(value) for value in losses.values()).backward()
    assert torch.isfinite(cls_score.grad).all()
    assert torch.isfinite(bbox_pred.grad).all()
