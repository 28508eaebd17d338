"""The one contact with MMDetection's registries: which names are registered where, and what they replace.

Importing this module (``import mmdet_losses`` does) imports ``mmdet.models`` first and then registers every loss in
mmdet's ``MODELS`` under its bare name, in place of mmdet's where both have one. Without mmdet, or without mmcv's
compiled operators, the losses are plain modules and nothing is registered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from torch import nn

from . import modules, yolo  # noqa: F401  the objectives enter the catalogue

try:
    from mmengine.logging import print_log
    from mmengine.registry import MODELS as ROOT
    from mmengine.registry import Registry
except ModuleNotFoundError as error:
    if error.name != "mmengine":
        raise
    ROOT = None


def import_mmdet() -> str:
    """Import mmdet's models; returns why they cannot be had, empty where they can.

    Only a missing package counts as a reason. Any other error of the import is the user's to see.
    """
    try:
        import_module("mmdet.models")
    except ModuleNotFoundError as error:
        reasons = {
            "mmengine": "MMEngine is not installed",
            "mmdet": "MMDetection is not installed",
            "mmcv": "MMCV is not installed",
            "mmcv._ext": "MMCV has no compiled operators (mmcv-lite?)",
        }
        if error.name not in reasons:
            raise
        return reasons[error.name]
    return ""


MISSING = import_mmdet() if ROOT is not None else "MMEngine is not installed"
"""Why nothing is registered; empty where mmdet is there."""

if MISSING:
    QualityFocalLoss = modules.QualityFocalLoss
    SmoothL1Loss = modules.SmoothL1Loss
else:
    from mmdet.models import losses as mmdet_losses_of_mmdet
    from mmdet.registry import MODELS as MMDET_MODELS

    class OfMMDetection(nn.Module):
        """Stands before MMDetection's class among the bases of one of ours, so that its constructor does not run."""

        def __init__(self) -> None:
            nn.Module.__init__(self)

    # mmdet's DETR family and DynamicRoIHead ask isinstance for these two.
    class QualityFocalLoss(modules.QualityFocalLoss, OfMMDetection, mmdet_losses_of_mmdet.QualityFocalLoss):
        __doc__ = modules.QualityFocalLoss.__doc__

    class SmoothL1Loss(modules.SmoothL1Loss, OfMMDetection, mmdet_losses_of_mmdet.SmoothL1Loss):
        __doc__ = modules.SmoothL1Loss.__doc__


OWN_CLASSES = {"QualityFocalLoss": QualityFocalLoss, "SmoothL1Loss": SmoothL1Loss}

LOSSES: dict[str, type[modules.Loss]] = dict(sorted((modules.CATALOGUE | OWN_CLASSES).items()))
"""Every registered name and its class, aliases included."""

STOCK: dict[str, type] = {}
"""mmdet's own classes of the names that are replaced."""

MODELS = None if ROOT is None else Registry("model", parent=ROOT, scope="mmdet_losses")
"""Child registry behind ``type='mmdet_losses.CIoULoss'``, which works in any scope; None without mmengine."""


def stock(name: str) -> type:
    """mmdet's own class of a name that this package replaces, for comparisons.

    Args:
        name: A registered name, for example ``'CIoULoss'``.

    Raises:
        ValueError: Where mmdet has no loss of that name, or is not installed.
    """
    if name not in STOCK:
        reason = MISSING or f"its losses of a name that is replaced are {', '.join(STOCK)}"
        raise ValueError(f"name must be a loss that mmdet has too, got {name!r}: {reason}.")
    return STOCK[name]


@contextmanager
def stock_losses() -> Iterator[None]:
    """Within it, bare names build mmdet's own classes; names that mmdet does not have are unknown."""
    if MISSING:
        raise ValueError(f"stock losses cannot be used: {MISSING}.")
    register({name: STOCK.get(name) for name in LOSSES})
    try:
        yield
    finally:
        register(LOSSES)


def register(classes: dict[str, type | None]) -> None:
    """Put classes into mmdet's registry under their names; None takes the name out."""
    for name, cls in classes.items():
        if cls is None:
            MMDET_MODELS.module_dict.pop(name, None)
        else:
            MMDET_MODELS.register_module(name=name, module=cls, force=True)


def register_loss(*aliases: str, force: bool = False) -> Callable[[type[modules.Loss]], type[modules.Loss]]:
    """Class decorator that registers a loss of your own, as the ones of this package are.

    Args:
        *aliases: Further names.
        force: Whether it may take the place of a loss that is registered under its name.

    Raises:
        ValueError: Where the class is no :class:`~mmdet_losses.Loss`, or the name is taken.
    """

    from .toolboxes import update

    def add(cls: type[modules.Loss]) -> type[modules.Loss]:
        if not (isinstance(cls, type) and issubclass(cls, modules.Loss)):
            raise ValueError(f"register_loss takes a subclass of mmdet_losses.Loss, got {cls!r}.")
        names = dict.fromkeys((cls.__name__, *aliases), cls)
        taken = [name for name in names if name in LOSSES or (not MISSING and name in MMDET_MODELS.module_dict)]
        if taken and not force:
            raise ValueError(
                f"the name {taken[0]!r} is taken by a registered loss: choose another, or register_loss(force=True)."
            )
        LOSSES.update(names)
        modules.CATALOGUE.update(names)
        if MODELS is not None:
            for name in names:
                MODELS.register_module(name=name, module=cls, force=True)
        if not MISSING:
            register(names)
        update(names)
        return cls

    return add


def register_all() -> None:
    """Register every loss; called once, when this module is imported."""
    if MODELS is not None:
        for name, cls in LOSSES.items():
            MODELS.register_module(name=name, module=cls)
    if MISSING:
        log(f"mmdet_losses: {MISSING}; the losses are plain torch modules, and none is registered.")
        return
    STOCK.update({name: cls for name in LOSSES if (cls := MMDET_MODELS.module_dict.get(name)) is not None})
    register(LOSSES)
    new = [name for name in LOSSES if name not in STOCK]
    log(f"mmdet_losses: in place of MMDetection's: {', '.join(STOCK)}; new: {', '.join(new)}.")

    from . import hooks  # noqa: F401  registers the hook
    from .building import watch_tree
    from .guard import check_head
    from .yolo import heads  # noqa: F401  registers the heads

    watch_tree(ROOT, check_head)


def log(message: str) -> None:
    """One line to mmengine's current logger, or to the package's where there is no mmengine."""
    if ROOT is None:
        logging.getLogger("mmdet_losses").info(message)
    else:
        print_log(message, logger="current")


register_all()
