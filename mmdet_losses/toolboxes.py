"""The losses in the registries of other toolboxes: MMYOLO's, MMRotate's, those of forks with a root of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .building import watch
from .exchange import exchange
from .foreign import HOMES, Home, let_others_register, owner
from .log import log
from .modules import Loss
from .registry import LOSSES
from .slots import package


class Registered(NamedTuple):
    """What :func:`register_into` finds or leaves in a registry."""

    registered: tuple[str, ...]
    """Names that mean this package's losses in it."""
    left: tuple[str, ...]
    """Names that mean somebody else's class, which keeps them."""


TARGETS: list[Home] = []
"""The registries that :func:`register_into` was called with."""


def register_into(registry: Any, force: bool = False) -> Registered:
    """Put every loss under its bare name into a registry, so that ``type="CIoULoss"`` works in its scope.

    For the registries of MMEngine's kind that other toolboxes have, with MMEngine's root as their parent (MMYOLO,
    MMRotate), or with a root and a class of their own (visdet). A name that the registry, or a parent of it, has from
    somebody else stays theirs, and a log line says which. What :func:`register_loss` registers later comes into it as
    well. Calling it again changes nothing. The registry's own modules are imported first, so that they find their names
    free. Heads that it builds are looked at as MMDetection's are.

    Args:
        registry: The registry of the toolbox's models, such as ``mmyolo.registry.MODELS``. With
            ``mmengine.registry.MODELS`` the names work in every scope that does not have them.
        force: Whether it may take the names that the registry has from somebody else, now and for losses that are
            registered later.

    Returns:
        The names that mean this package's losses in the registry now, and those that were left to somebody else.

    Raises:
        ValueError: Where the argument is no registry of MMEngine's kind.

    Example:
        >>> from mmengine.registry import MODELS, Registry
        >>> from mmdet_losses import register_into
        >>> models = Registry("model", parent=MODELS, scope="my_toolbox")
        >>> register_into(models).left
        ()
        >>> models.build(dict(type="CIoULoss", loss_weight=2.0)).loss_weight
        2.0
    """
    check_registry(registry)
    import_its_modules(registry)
    target = next((one for one in TARGETS if one.registry is registry), None)
    if target is None:
        target = Home(registry)
        TARGETS.append(target)
        HOMES.append(target)
        exchange(type(registry))
        let_others_register(type(registry))
        watch(registry)
    target.force |= force
    return put(target, LOSSES)


def check_registry(registry: Any) -> None:
    """Raise for what has not the interface of MMEngine's ``Registry``."""
    methods = not isinstance(registry, type) and all(
        callable(getattr(registry, name, None)) for name in ("register_module", "get", "build")
    )
    if not (methods and isinstance(getattr(registry, "module_dict", None), Mapping)):
        raise ValueError(
            "registry must be a registry of MMEngine's kind (with register_module, get, build and module_dict), got "
            f"{registry if isinstance(registry, type) else type(registry).__name__}: pass the registry of the "
            "toolbox's models itself, such as MODELS of mmyolo.registry."
        )


def import_its_modules(registry: Any) -> None:
    """Import what a registry imports at its first use: a name registered before would be taken when it does."""
    if callable(getattr(registry, "import_from_location", None)):
        registry.import_from_location()


def put(target: Home, losses: Mapping[str, type[Loss]]) -> Registered:
    """Register losses under their names, but for those that somebody else has; a log line says what is new."""
    registry = target.registry
    left = () if target.force else tuple(name for name in losses if is_foreign(target, name))
    new = {name: cls for name, cls in losses.items() if name not in left and registry.module_dict.get(name) is not cls}
    for name, cls in new.items():
        registry.register_module(name=name, module=cls, force=True)
    target.placed.update(new)
    if new or not target.left.issuperset(left):
        log(f"{len(new)} names are registered in {described(registry)}{said_of(registry, left)}.")
    target.left.update(left)
    return Registered(tuple(name for name in losses if name not in left), left)


def is_foreign(target: Home, name: str) -> bool:
    """Whether a name means somebody else's class in a registry."""
    found, ours = owner(target.registry, name), (target.placed.get(name), *LOSSES.values())
    return found is not None and not any(found is one for one in ours)


def described(registry: Any) -> str:
    """A registry's scope and name, as MMEngine writes them."""
    return f"{getattr(registry, 'scope', 'no scope')}::{getattr(registry, 'name', type(registry).__name__)}"


def said_of(registry: Any, left: tuple[str, ...]) -> str:
    """What the log line says of names that were left."""
    if not left:
        return ""
    owners = sorted({package(owner(registry, name)) for name in left})
    scoped = registry.get(f"mmdet_losses.{left[0]}") is LOSSES[left[0]]
    remedy = 'type="mmdet_losses.NAME" is' if scoped else "with register_into(registry, force=True) they are"
    return f"; left to {', '.join(owners)}: {', '.join(left)}; {remedy} this package's"


def update(losses: Mapping[str, type[Loss]]) -> None:
    """Put losses that are registered later into the registries that have the others."""
    for target in TARGETS:
        put(target, losses)
