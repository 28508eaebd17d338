"""The one contact with MMDetection's registries: which names are registered where, and what they replace.

Importing this package loads torch alone. Every loss is registered in mmdet's ``MODELS`` under its bare name, in place
of mmdet's where both have one, as soon as this package and ``mmdet.models`` are in the process, whichever comes first:
MMEngine imports ``mmdet.models`` itself before it looks up a name. Without mmdet, or without mmcv's compiled operators,
the losses are plain modules and nothing is registered; :func:`missing` says why.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import modules, rotated, yolo  # noqa: F401  the rooms enter the catalogue
from .foreign import HOMES, Home, let_others_register, lives_in_mmdet, owner, tell
from .import_hook import when_imported
from .inherit import inherit
from .log import log
from .modules import QualityFocalLoss, SmoothL1Loss  # noqa: F401  pickles of version 0.1 name them here

if TYPE_CHECKING:
    from mmengine.registry import Registry

    MODELS: Registry | None
    """Child registry behind ``type='mmdet_losses.CIoULoss'``, which works in any scope; None without mmengine."""
    STOCK: dict[str, type]
    """mmdet's own classes of the names that are replaced."""
    MISSING: str
    """What :func:`missing` returns."""

REASONS = {
    "mmengine": "MMEngine is not installed",
    "mmdet": "MMDetection is not installed",
    "mmcv": "MMCV is not installed",
    "mmcv._ext": "MMCV has no compiled operators (mmcv-lite?)",
}
"""Packages that a process may do without, and what is said of it."""

PUBLISHED: dict[str, type[modules.Loss]] = dict(sorted(modules.CATALOGUE.items()))
"""Every name of this package and its class, aliases included."""

LOSSES = dict(PUBLISHED)
"""Every registered name and its class: those of this package and of :func:`register_loss`."""

UNCHECKED: set[str] = set()
"""Names of :func:`register_loss` that may not replace mmdet's, from before mmdet's were known."""

ARRIVED: dict[str, Any] = {}
"""What MMEngine and MMDetection bring: ``MODELS``, ``STOCK``, ``HOME`` and ``MISSING``, once they are known."""

INSIDE: list[None] = []
"""One element for each ``stock_losses`` that the program is in."""


def __getattr__(name: str) -> Any:
    """``MODELS`` imports MMEngine for it, ``STOCK`` and ``MISSING`` MMDetection."""
    if name == "MODELS":
        try:
            import_module("mmengine.registry")
        except ModuleNotFoundError as error:
            if error.name != "mmengine":
                raise
        return ARRIVED.get(name)
    if name == "STOCK":
        missing()
        return ARRIVED.get(name, {})
    if name == "MISSING":
        return missing()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def missing() -> str:
    """Import mmdet's models, with which every loss is registered; returns why they cannot be had, empty where they can.

    Only a missing package counts as a reason, which the log says once. Any other error of the import is the user's to
    see.
    """
    if "MISSING" not in ARRIVED:
        try:
            import_module("mmdet.models")
        except ModuleNotFoundError as error:
            if error.name not in REASONS:
                raise
            ARRIVED["MISSING"] = REASONS[error.name]
            log(f"{REASONS[error.name]}; the losses are plain torch modules, and none is registered.")
    return ARRIVED.get("MISSING", "MMDetection's models are still being imported")


def stock(name: str) -> type:
    """mmdet's own class of a name that this package replaces, for comparisons.

    In a config it is ``type="mmdet_losses.stock.CIoULoss"``: the class itself, as ``type=``, is exchanged for this
    package's.

    Args:
        name: A registered name, for example ``'CIoULoss'``.

    Raises:
        ValueError: Where mmdet has no loss of that name, or is not installed.
    """
    reason = missing()
    found = ARRIVED.get("STOCK", {})
    if name not in found:
        reason = reason or f"its losses of a name that is replaced are {', '.join(found)}"
        raise ValueError(f"name must be a loss that mmdet has too, got {name!r}: {reason}.")
    return found[name]


@contextmanager
def stock_losses() -> Iterator[None]:
    """Within it, bare names build mmdet's own classes; names that mmdet does not have are unknown."""
    if reason := missing():
        raise ValueError(f"stock losses cannot be used: {reason}.")
    own, known, placed = ARRIVED["STOCK"], mmdet_names(), ARRIVED["HOME"].placed
    found = {name: known.get(name) for name in (*LOSSES, *own)}
    within = {name: own.get(name, None if cls is placed.get(name) else cls) for name, cls in found.items()}
    put_back(known, within)
    INSIDE.append(None)
    try:
        yield
    finally:
        INSIDE.pop()
        put_back(known, {name: cls for name, cls in found.items() if known.get(name) is within[name]})


def put_back(known: dict[str, type], classes: Mapping[str, type | None]) -> None:
    """Let names mean classes, or nothing where the class is None."""
    for name, cls in classes.items():
        known.pop(name, None)
        if cls is not None:
            known[name] = cls


def replaced_classes() -> dict[str, type]:
    """mmdet's own classes that this package's are built for, by name; none within :func:`stock_losses`."""
    return {} if INSIDE else ARRIVED.get("STOCK", {})


def has_mmdet() -> bool:
    """Whether mmdet's models are in the process, and its registry has the losses."""
    return "STOCK" in ARRIVED


def mmdet_names() -> dict[str, type]:
    """What mmdet's registry has under its names; empty while mmdet's models are not there."""
    return sys.modules["mmdet.registry"].MODELS.module_dict if has_mmdet() else {}


def register(losses: Mapping[str, type[modules.Loss]], force: bool = False) -> None:
    """Put losses into mmdet's registry under their names, in place of its own.

    A name that somebody else has there, or above it, stays theirs but with ``force``, and a warning says so.
    """
    home: Home = ARRIVED["HOME"]
    left = {}
    for name, cls in losses.items():
        found = owner(home.registry, name)
        if own := own_class(name):
            home.replaced[name] = own
            inherit(cls, own)
        for base in cls.__mro__:
            for other in vars(base).get("stands_for", ()):
                inherit(base, own_class(other))
        ours = (None, home.placed.get(name), *PUBLISHED.values(), *LOSSES.values())
        if not (force or lives_in_mmdet(found) or any(found is one for one in ours)):
            left[name] = found
            continue
        home.registry.register_module(name=name, module=cls, force=True)
        home.placed[name] = cls
    new = {name: cls for name, cls in left.items() if name not in home.left}
    home.left.update(new)
    if new:
        tell(new)


def own_class(name: str) -> type | None:
    """mmdet's class of a name: the one that it registered, or that somebody else took the name from."""
    registered = ARRIVED["HOME"].registry.module_dict.get(name)
    found = (registered, ARRIVED["STOCK"].get(name), getattr(sys.modules.get("mmdet.models.losses"), name, None))
    return next((cls for cls in found if lives_in_mmdet(cls)), None)


def register_loss(*aliases: str, force: bool = False) -> Callable[[type[modules.Loss]], type[modules.Loss]]:
    """Class decorator that registers a loss of your own, as the ones of this package are.

    Args:
        *aliases: Further names.
        force: Whether it may take the place of a loss that is registered under its name.

    Raises:
        ValueError: Where the class is no :class:`~mmdet_losses.Loss`, or the name is taken; taken by a loss of
            MMDetection, as soon as its models are imported.
    """

    from .toolboxes import update

    def add(cls: type[modules.Loss]) -> type[modules.Loss]:
        if not (isinstance(cls, type) and issubclass(cls, modules.Loss)):
            raise ValueError(f"register_loss takes a subclass of mmdet_losses.Loss, got {cls!r}.")
        names = dict.fromkeys((cls.__name__, *aliases), cls)
        known = mmdet_names()
        if not force:
            check_free(name for name in names if name in LOSSES or name in known)
        LOSSES.update(names)
        modules.CATALOGUE.update(names)
        (UNCHECKED.difference_update if force else UNCHECKED.update)(names)
        if "MODELS" in ARRIVED:
            for name in names:
                ARRIVED["MODELS"].register_module(name=name, module=cls, force=True)
        if has_mmdet():
            register(names, force)
        update(names)
        return cls

    return add


def check_free(taken: Iterator[str]) -> None:
    """Raise for the first name that is taken."""
    name = next(iter(taken), None)
    if name is not None:
        raise ValueError(
            f"the name {name!r} is taken by a registered loss: choose another, or register_loss(force=True)."
        )


def register_with_mmengine() -> None:
    """Make the scope's registries, and explain unknown names in MMEngine's tree; called when MMEngine's are there."""
    from mmengine.registry import MODELS, Registry

    from .building import watch_tree
    from .exchange import exchange
    from .scope import make_scope

    exchange(Registry)
    let_others_register(Registry)
    ARRIVED["MODELS"] = child = make_scope(bring_heads=missing)
    for name, cls in LOSSES.items():
        child.register_module(name=name, module=cls)
    watch_tree(MODELS)


def register_with_mmdet() -> None:
    """Register every loss; called when mmdet's models are there."""
    from mmdet.registry import MODELS

    from .building import watch_tree
    from .exchange import warn_of_earlier_losses
    from .yolo import heads  # noqa: F401  registers the heads

    check_free(name for name in sorted(UNCHECKED) if name in MODELS.module_dict)
    own = ARRIVED["STOCK"] = {}
    ARRIVED["HOME"] = Home(MODELS, replaced=own, take=lambda names: register({name: LOSSES[name] for name in names}))
    HOMES.append(ARRIVED["HOME"])
    register(PUBLISHED)
    register({name: cls for name, cls in LOSSES.items() if cls is not PUBLISHED.get(name)}, force=True)
    ARRIVED["MISSING"] = ""
    watch_tree(MODELS.root)
    warn_of_earlier_losses()
    new = [name for name in LOSSES if name not in own]
    log(f"{len(own)} losses in place of MMDetection's, {len(new)} new names.")
    log(f"in place of MMDetection's: {', '.join(own)}; new: {', '.join(new)}.", logging.DEBUG)


def register_hooks() -> None:
    """Make the hooks known by name; called when MMEngine's own are there."""
    import_module(".hooks", __package__)
    import_module(".monitor.hook", __package__)


def serve_runners() -> None:
    """Let MMEngine's runners commit statistics, and their checkpoints load; called when they are there."""
    import_module(".runners", __package__)
    import_module(".checkpoints", __package__).allow_checkpoint_classes()


when_imported("mmengine.registry", register_with_mmengine)
when_imported("mmengine.hooks", register_hooks)
when_imported("mmengine.runner", serve_runners)
when_imported("mmdet.models", register_with_mmdet)
