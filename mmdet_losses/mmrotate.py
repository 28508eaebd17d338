"""The losses of rotated boxes where MMRotate is: their names in its scope, and a look at its heads.

Forks of MMRotate that keep its module names are MMRotate here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .import_hook import when_imported
from .log import log
from .modules import CATALOGUE
from .rotated import KFIoULoss, RotatedBoxLoss

ROTATED = {name: cls for name, cls in CATALOGUE.items() if issubclass(cls, RotatedBoxLoss)}
"""Every name of a loss of rotated boxes and its class."""


def register_with_mmrotate() -> None:
    """Register the losses of rotated boxes under the names that MMRotate has not; called when its models are there."""
    from .foreign import owner

    registry = import_module("mmrotate.registry").MODELS
    free = {name: cls for name, cls in ROTATED.items() if owner(registry, name) is None}
    for name, cls in free.items():
        registry.register_module(name=name, module=cls)
    if free:
        log(f"in MMRotate's scope: {', '.join(free)}.")


def check_rotated_head(head: Any) -> None:
    """Check that a head with MMRotate's option ``loss_bbox_type`` passes its loss of rotated boxes what it takes.

    Raises:
        ValueError: Where it passes deltas, and where it passes boxes beside deltas to a loss that takes boxes alone.
    """
    loss, kind = getattr(head, "loss_bbox", None), getattr(head, "loss_bbox_type", None)
    if not isinstance(loss, RotatedBoxLoss):
        return
    names = f"loss_bbox={type(loss).__name__} of {type(head).__name__}"
    if kind == "normal" and not getattr(head, "reg_decoded_bbox", True):
        other = ', or loss_bbox_type="kfiou", with which it passes both' if isinstance(loss, KFIoULoss) else ""
        raise ValueError(
            f"{names} needs decoded boxes, but the head passes it deltas (reg_decoded_bbox=False). Add "
            f"reg_decoded_bbox=True to the config of {type(head).__name__}{other}."
        )
    if kind == "kfiou" and not isinstance(loss, KFIoULoss):
        raise ValueError(
            f"{names} takes decoded boxes alone, but the head passes it deltas and boxes (loss_bbox_type='kfiou'). "
            f"Take that option off the config of {type(head).__name__} and add reg_decoded_bbox=True, or choose "
            "KFIoULoss."
        )


when_imported("mmrotate.models", register_with_mmrotate)
