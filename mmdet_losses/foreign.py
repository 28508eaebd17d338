"""Bare names that somebody else's classes have, or register later: they keep them, and one warning says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from .log import warn


@dataclass
class Home:
    """A registry that the losses were put into, and will be put into when more of them are registered.

    Attributes:
        registry: The registry.
        force: Whether the losses may take the names that somebody else has in it.
        placed: What was put into it, by name.
        left: Names that somebody else has in it, and that the log has told of.
        replaced: Classes that the losses stand in for, by name; nobody else's.
        take: Puts losses into it again, for names under which one more class to be replaced was registered.
    """

    registry: Any
    force: bool = False
    placed: dict[str, type] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    replaced: Mapping[str, type] = field(default_factory=dict)
    take: Callable[[list[str]], None] | None = None

    def names_for(self, registry: Any, names: list[str], force: bool, cls: Any) -> list[str]:
        """The names, of those that a class is about to be registered under, that it would find taken or hidden."""
        held = [name for name in names if self.placed.get(name, cls) is not cls]
        held = [name for name in held if self.registry.module_dict.get(name) is self.placed[name]]
        if registry is self.registry:
            return [] if force or self.force else held
        above = any(registry is one for one in lineage(self.registry))
        return [name for name in held if name not in self.replaced] if above and not self.force else []

    def leave(self, names: list[str], cls: Any) -> None:
        """Say that names are somebody else's."""
        self.left.update(names)
        tell({name: cls for name in names})


HOMES: list[Home] = []


def lives_in_mmdet(cls: Any) -> bool:
    """Whether a class is MMDetection's own, by the module that it is written in."""
    return isinstance(cls, type) and cls.__module__.startswith("mmdet.")


def lineage(registry: Any) -> Iterator[Any]:
    """A registry, its parent, and so on up to the root."""
    while registry is not None:
        yield registry
        registry = getattr(registry, "parent", None)


def owner(registry: Any, name: str) -> Any:
    """What a bare name means in a registry: the class there or in its nearest parent, None where it means nothing."""
    for one in lineage(registry):
        if name in one.module_dict:
            return one.module_dict[name]
    return None


def tell(classes: Mapping[str, Any]) -> None:
    """Warn of names that somebody else's classes keep."""
    whose = ", ".join(f"{name} ({getattr(cls, '__module__', '?')})" for name, cls in classes.items())
    warn(
        f"somebody else's classes keep these names: {whose}. "
        f'type="mmdet_losses.{next(iter(classes))}" is this package\'s.'
    )


def give_way(registry: Any, name: str | list[str] | None, force: bool, cls: Any, register: Callable[[], Any]) -> Any:
    """Register a class, and first take out the losses that are in the way of it."""
    names = [getattr(cls, "__name__", "")] if name is None else [name] if isinstance(name, str) else list(name)
    found = [(home, home.names_for(registry, names, force, cls)) for home in HOMES]
    found = [(home, held) for home, held in found if held]
    for home, held in found:
        for one in held:
            del home.registry.module_dict[one]
    try:
        done = register()
    except BaseException:
        for home, held in found:
            home.registry.module_dict.update({one: home.placed[one] for one in held})
        raise
    for home, held in found:
        if home.take is not None and lives_in_mmdet(cls):
            home.take(held)
        else:
            home.leave(held, cls)
    return done


def let_others_register(kind: type) -> None:
    """Let every registry of a class give way to what others register in it; once, however often it is called."""
    register = getattr(kind, "register_module", None)
    if register is None or hasattr(register, "gives_way"):
        return

    @wraps(register)
    def register_module(self: Any, name: Any = None, force: bool = False, module: Any = None) -> Any:
        if module is not None:
            return give_way(self, name, force, module, lambda: register(self, name=name, force=force, module=module))
        decorate = register(self, name=name, force=force)
        return lambda cls: give_way(self, name, force, cls, lambda: decorate(cls))

    register_module.gives_way = True
    kind.register_module = register_module
