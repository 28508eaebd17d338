"""What is added to the building of registries: a look at the heads, and a word where a bare name is unknown."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import wraps
from typing import Any

from .changed_meaning import tell_changed_meaning
from .guard import check_head
from .registry import LOSSES, mmdet_names

UNKNOWN = re.compile(r"([\w.]+) is not in the ([^\s:]+)::\S+ registry")
"""How MMEngine begins to say that a registry, of the scope that follows, does not have a name."""


def scope_hint(name: str, scope: str) -> str:
    """What to write for the bare name of a loss that a scope does not know; empty for any other name.

    MMDetection's own scope knows all of them, but for the time of ``stock_losses``.
    """
    if name not in LOSSES or scope == "mmdet":
        return ""
    return (
        f"It is a loss of mmdet_losses, whose bare names are known in MMDetection's scope and not in that of {scope}: "
        f'write type="mmdet_losses.{name}", or call mmdet_losses.register_into(MODELS) with the registry MODELS of '
        f"{scope}, once, before the model is built."
    )


def close_names(name: str, scope: str) -> str:
    """The losses that an unknown name was probably meant for; empty where none is near."""
    prefix, _, bare = name.rpartition(".")
    plain = scope == "mmdet" and not prefix
    names = mmdet_names() if plain else LOSSES
    known = {own.lower(): own for own in names if own in LOSSES or "Loss" in own}
    near = [bare.lower()] if bare.lower() in known else get_close_matches(bare.lower(), known, 3, 0.8)
    if bare in LOSSES or prefix not in ("", "mmdet_losses") or not near:
        return ""
    return f"Did you mean {' or '.join(known[own] if plain else f'mmdet_losses.{known[own]}' for own in near)}?"


def explain_unknown_name(error: KeyError) -> None:
    """Add :func:`scope_hint` or :func:`close_names` to what MMEngine says."""
    message = error.args[0] if error.args else ""
    found = UNKNOWN.match(message) if isinstance(message, str) else None
    hint = (scope_hint(*found.groups()) or close_names(*found.groups())) if found else ""
    if hint and hint not in message:
        error.args = (f"{message}. {hint}",)


def watch(registry: Any) -> None:
    """Let a registry check what it builds, and explain unknown names; once, however often it is called.

    Registries that are made as its children later do the same, since they inherit how they build.

    Args:
        registry: A registry of MMEngine's kind; one without a ``build_func`` is left as it is.
    """
    build = getattr(registry, "build_func", None)
    if not callable(build) or hasattr(build, "is_watched"):
        return

    @wraps(build)
    def build_and_check(*args: Any, **kwargs: Any) -> Any:
        try:
            built = build(*args, **kwargs)
        except KeyError as error:
            explain_unknown_name(error)
            raise
        tell_changed_meaning(args[0] if args else kwargs.get("cfg"), type(built))
        check_head(built)
        return built

    build_and_check.is_watched = True
    registry.build_func = build_and_check


def watch_tree(registry: Any) -> None:
    """:func:`watch` a registry and all of its children."""
    watch(registry)
    for child in registry.children.values():
        watch_tree(child)
