"""Providers of a loss: this package in two ways, mmdet, mmcv's CUDA operator and torchvision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from mmdet_losses.registry import LOSSES, stock

from .inputs import Call
from .subjects import Subject

Compute = Callable[[Call], Tensor]


@dataclass(frozen=True)
class Provider:
    """One way to compute a loss.

    Attributes:
        name: Name for ``--providers``.
        about: Description for the help.
        offers: Returns whether it has a loss on a device.
        build: Returns the loss as a function of a call.
    """

    name: str
    about: str
    offers: Callable[[Subject, str], bool]
    build: Callable[[Subject, str], Compute]


def as_function(module: torch.nn.Module, subject: Subject, device: str) -> Compute:
    """Return a module as a function that calls it as heads do."""
    module = module.to(device).train()
    # in mmdet's losses, except these, the third argument is the weight
    named, alone = type(module).__name__ == "GaussianFocalLoss", subject.group == "identities"

    def compute(call: Call) -> Tensor:
        if subject.group == "corners":
            return sum(module(*call.pred, call.target))
        pred, target = (call.pred.clone(), call.target.clone()) if subject.written else (call.pred, call.target)
        more = {} if call.avg_factor is None else {"avg_factor": call.avg_factor}
        if call.unreduced:
            return module(pred, target, call.weight, reduction_override="none").sum()
        if alone:
            return module(pred, target)
        if named:
            return module(pred, target, weight=call.weight, **more)
        return module(pred, target, call.weight, **more)

    return compute


def build_eager(subject: Subject, device: str) -> Compute:
    """Return this package's loss."""
    return as_function(LOSSES[subject.loss](**subject.options), subject, device)


def build_fused(subject: Subject, device: str) -> Compute:
    """Return this package's loss with its option ``fused``."""
    return as_function(LOSSES[subject.loss](**subject.options, fused=True), subject, device)


def build_stock(subject: Subject, device: str) -> Compute:
    """Return mmdet's own loss."""
    return as_function(stock(subject.peer)(**subject.options), subject, device)


def build_mmcv(subject: Subject, device: str) -> Compute:
    """Return the bare operator, which takes no weights per row."""
    operator = import_module("mmcv.ops").sigmoid_focal_loss
    return lambda call: operator(call.pred, call.target, 2.0, 0.25, None, "sum") / call.avg_factor


def one_hot(call: Call) -> Tensor:
    """Return labels as torchvision's focal loss takes them; a head has class indices, so this is part of the cost."""
    classes = call.pred.shape[1]
    return torch.nn.functional.one_hot(call.target, classes + 1)[:, :classes].to(call.pred.dtype)


def build_torchvision(subject: Subject, device: str) -> Compute:
    """Return torchvision's function, with weights per row applied to its result."""
    operator = getattr(import_module("torchvision.ops"), TORCHVISION[subject.name])

    def compute(call: Call) -> Tensor:
        if subject.group == "boxes":
            loss = operator(call.pred, call.target, reduction="none")
            weight = call.weight.mean(-1) if call.weight is not None and call.weight.ndim > 1 else call.weight
        else:
            loss = operator(call.pred, one_hot(call), 0.25, 2.0, reduction="none")
            weight = call.weight if call.weight is None else call.weight[:, None]
        return (loss if weight is None else loss * weight).sum() / call.avg_factor

    return compute


TORCHVISION = {
    "FocalLoss": "sigmoid_focal_loss",
    "GIoULoss": "generalized_box_iou_loss",
    "DIoULoss": "distance_box_iou_loss",
    "CIoULoss": "complete_box_iou_loss",
}

PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("mmdet", "mmdet's own class", lambda subject, device: bool(subject.peer), build_stock),
        Provider("eager", "this package, no option", lambda subject, device: True, build_eager),
        Provider(
            "fused",
            "this package, fused=True",
            lambda subject, device: LOSSES[subject.loss].fusible or "losses" in subject.options,
            build_fused,
        ),
        Provider(
            "mmcv",
            "mmcv's CUDA operator, without weights",
            lambda subject, device: device == "cuda" and subject.name == "FocalLoss",
            build_mmcv,
        ),
        Provider(
            "torchvision",
            "torchvision's function",
            lambda subject, device: subject.name in TORCHVISION and find_spec("torchvision") is not None,
            build_torchvision,
        ),
    )
}
