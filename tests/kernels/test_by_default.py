"""What a GPU computes by a kernel without being asked."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmdet_losses import kernels
from mmdet_losses.functional import quality_focal_loss, sigmoid_focal_loss
from mmdet_losses.kernels import Call, cuda


@pytest.mark.parametrize(
    ("function", "device", "fused", "by_hand"),
    [
        (sigmoid_focal_loss, "cuda", False, True),
        (sigmoid_focal_loss, "cpu", False, False),
        (quality_focal_loss, "cuda", False, False),
        (quality_focal_loss, "cuda", True, True),
    ],
)
def test_focal_loss_of_a_gpu(function, device, fused, by_hand, monkeypatch):
    monkeypatch.setattr(kernels, "plan_of", lambda *call: ("plan", None, None, None))
    monkeypatch.setattr(cuda, "compute", lambda *call: "by hand")
    monkeypatch.setattr(kernels, "eager", lambda *call: "eager")
    call = Call(function, {}, "mean", 1.0, "elements", True, None, fused)
    with FakeTensorMode():
        pred = torch.empty(3, 4, device=device)
    assert kernels.compute(call, (pred, pred), None, None) == ("by hand" if by_hand else "eager")
