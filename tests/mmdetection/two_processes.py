"""What each process of ``test_two_processes.py`` runs: every loss in every head that takes it, two iterations.

Rank 0 and 1 train with gloo and one image each, one of which has no objects; the third process, alone, has both images.
FCOS and ATSS, where mmdet can, in float64, so that sums in another order agree to more than 1e-6.
"""

from __future__ import annotations

import copy
import datetime
import sys
from pathlib import Path
from unittest import mock

import torch
from cases import CASES, RANK_CASES
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmdet_losses import Stateful, commit_statistics
from mmdet_losses.registry import LOSSES

ONE_STAGE = ("retinanet", "fcos", "atss", "gfl")
PLACES = {
    "bbox": [(head, "loss_bbox") for head in ONE_STAGE],
    "cls": [(head, "loss_cls") for head in ("retinanet", "fcos", "atss")],
    "dfl": [("gfl", "loss_dfl")],
}
"""Where the losses of a slot go that are not in the table below."""
SPECIAL = {
    "QualityFocalLoss": [("gfl", "loss_cls")],
    "VarifocalLoss": [("fcos", "loss_centerness")],
    "SeesawLoss": [("bbox_head", "loss_cls")],
    "EQLV2Loss": [("bbox_head", "loss_cls")],
}
CLASSES, CHANNELS, SIZE, STRIDES = 4, 8, 128, (8, 16, 32, 64, 128)
APART = ("composite", "embedding", "ld", "mask", "rbox")
"""No part of the heads below, or what keeps no statistics."""
OPTIONS = {
    "EqualizationLoss": {"class_frequency": [0.5, 1e-4, 0.2, 1e-3]},
    "SumLoss": {"losses": ["CIoULoss", "WIoULoss"]},
}
"""What a loss does not work without."""
HOLDING = {"SumLoss"}
"""Losses with a member that keeps statistics, by the options above."""
COMBINATIONS = [
    (head, slot, name)
    for name, loss in LOSSES.items()
    if name == loss.__name__ and loss.slot not in APART
    for head, slot in SPECIAL.get(name, PLACES[loss.slot])
]
OWN_DIVISOR = ("retinanet", "bbox_head")
"""Heads that divide by what their own process counts; the others ask all processes."""
WHOLE = {case.name for case in CASES if case.whole} | {case.name for case in RANK_CASES}
"""Losses whose rows cost what the other rows of their call make of them."""
ALONE = 2
"""The process without others."""
BOXES = ([[8.0, 8, 60, 50], [30.0, 20, 120, 127]], [])


class OneStage(nn.Module):
    """A dense head of the bundled configs, and its losses on some of the images."""

    def __init__(self, head: str, slot: str, name: str) -> None:
        super().__init__()
        from mmdet.registry import MODELS
        from test_heads import base

        cfg = base(head).copy()
        options = {f"{slot}.{key}": value for key, value in {"type": name, **OPTIONS.get(name, {})}.items()}
        if "num_classes" in LOSSES[name].option_names():
            options[f"{slot}.num_classes"] = CLASSES
        if head == "retinanet" and slot == "loss_bbox":
            options["reg_decoded_bbox"] = LOSSES[name].boxes
        cfg.merge_from_dict({f"model.bbox_head.{key}": value for key, value in options.items()})
        narrow = dict(in_channels=CHANNELS, feat_channels=CHANNELS, stacked_convs=1, num_classes=CLASSES)
        if head != "retinanet":  # the last map is one pixel
            narrow["norm_cfg"] = dict(type="GN", num_groups=2, requires_grad=True)
        built = dict(cfg.model.bbox_head, **narrow, train_cfg=cfg.model.get("train_cfg"), test_cfg=cfg.model.test_cfg)
        self.head = MODELS.build(built)
        priors, dtype = self.head.prior_generator.grid_priors, torch.get_default_dtype()
        # anchors are float32 in mmdet, whatever the default
        self.head.prior_generator.grid_priors = lambda *args, **kwargs: [p.to(dtype) for p in priors(*args, **kwargs)]

    def forward(self, images: list[int]) -> dict[str, Tensor]:
        maps = [[torch.randn(1, CHANNELS, SIZE // s, SIZE // s, generator=seeded(i)) for s in STRIDES] for i in images]
        features = [torch.cat(levels) for levels in zip(*maps, strict=True)]
        meta = dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))
        boxes = [torch.tensor(BOXES[i]).reshape(-1, 4) for i in images]
        truth = [InstanceData(bboxes=b, labels=torch.arange(len(b))) for b in boxes]
        return self.head.loss_by_feat(*self.head(features), truth, [meta] * len(images))


class TwoStage(nn.Module):
    """A box head, and its losses on the regions of some of the images, of which the second has background alone."""

    def __init__(self, slot: str, name: str) -> None:
        super().__init__()
        from mmdet.models import Shared2FCBBoxHead

        sizes = dict(in_channels=CHANNELS, fc_out_channels=16, roi_feat_size=2, num_classes=CLASSES)
        self.head = Shared2FCBBoxHead(**sizes, **{slot: dict(type=name, num_classes=CLASSES)})

    def forward(self, images: list[int]) -> dict[str, Tensor]:
        n = 12
        features = torch.cat([torch.randn(n, CHANNELS, 2, 2, generator=seeded(i)) for i in images])
        labels = torch.cat([torch.tensor([0, 0, 1, 2] if i == 0 else [CLASSES] * 4) for i in images for _ in range(3)])
        objects = (labels < CLASSES).to(features.dtype)
        rois, targets = torch.zeros(len(labels), 5), torch.ones(len(labels), 4)
        return self.head.loss(
            *self.head(features), rois, labels, torch.ones(len(labels)), targets, objects[:, None].expand(-1, 4)
        )


def seeded(image: int) -> torch.Generator:
    return torch.Generator().manual_seed(image)


def backward(module: nn.Module, model: nn.Module, images: list[int]) -> Tensor:
    """Gradients of the sum of the losses of ``model``, in the parameters of the ``module`` that it is or wraps."""
    module.zero_grad()
    losses = model(images)
    total = sum(sum(v) if isinstance(v, list) else v for key, v in losses.items() if "loss" in key)
    total.backward()
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])


def apart(module: nn.Module, images: list[int]) -> Tensor:
    """Gradients in one process that calls the loss for each image by itself: the mean over the images.

    The head divides by the mean of what it counts in each image, as processes of one image each do.
    """
    counted, gradients = [], []
    with mock.patch.object(sys.modules[type(module.head).__module__], "reduce_mean", side_effect=torch.clone) as asked:
        for image in images:
            asked.reset_mock()
            module([image])
            counted.append([call.args[0] for call in asked.call_args_list])
        means = [sum(numbers) / len(images) for numbers in zip(*counted, strict=True)]
        for image in images:
            asked.reset_mock()
            asked.side_effect = [mean.clone() for mean in means]
            gradients.append(backward(module, module, [image]))
            assert asked.call_count == len(means) > 0
    return torch.stack(gradients).mean(0)


def statistics(module: nn.Module) -> dict[str, Tensor]:
    holders = {name: part for name, part in module.named_modules() if isinstance(part, Stateful)}
    return {f"{name}.{key}": v.clone() for name, part in holders.items() for key, v in part.state_dict().items()}


def iterations(rank: int, head: str, slot: str, name: str) -> list[dict]:
    """Two iterations; the second is the one in which a parameter without a gradient makes DDP raise."""
    torch.set_default_dtype(torch.float64 if head in ("fcos", "atss") else torch.float32)
    torch.manual_seed(0)
    module = TwoStage(slot, name) if head == "bbox_head" else OneStage(head, slot, name)
    model = module if rank == ALONE else DistributedDataParallel(module, broadcast_buffers=False)
    done = []
    for step in range(2):
        images = [0, 1] if rank == ALONE else [(rank + step) % 2]
        found: dict = {}
        if head in OWN_DIVISOR and rank != ALONE:
            own = copy.deepcopy(module)
            found["own"] = backward(own, own, images)
        if head not in OWN_DIVISOR and name in WHOLE and rank == ALONE:
            found["apart"] = apart(copy.deepcopy(module), images)
        found["gradient"] = backward(module, model, images)
        before = statistics(module)
        commit_statistics(module)
        found["statistics"] = statistics(module)
        found["moved"] = any(not torch.equal(value, before[key]) for key, value in found["statistics"].items())
        done.append(found)
    return done


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if rank != ALONE:
        torch.distributed.init_process_group(
            "gloo", f"file://{folder}/store", datetime.timedelta(seconds=120), world_size=2, rank=rank
        )
    results = {}
    for combination in COMBINATIONS:
        try:
            results[combination] = iterations(rank, *combination)
        except ValueError as error:  # the same on all processes, or the others time out
            results[combination] = f"{type(error).__name__}: {error}"
    torch.save(results, folder / f"rank{rank}.pt")
