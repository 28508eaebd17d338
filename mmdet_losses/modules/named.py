"""What ``type=`` means where a loss holds another part: the rules of MMEngine's registries, on torch alone."""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

SCOPES = ("", "mmdet_losses", "mmdet")
"""Registries in which a bare name is this package's."""


def named(kind: Any, known: Mapping[str, type]) -> type | None:
    """The class that a bare or scoped name, a dotted path or the class itself stands for.

    A class of MMDetection's stands for the one of this package that replaces it.

    Args:
        kind: What stands behind ``type=``.
        known: Classes by bare name.

    Returns:
        The class, None where there is none.
    """
    if isinstance(kind, str):
        scope, _, name = kind.rpartition(".")
        if scope in SCOPES:
            return known.get(name)
        try:
            kind = resolve_name(kind)
        except (ImportError, AttributeError, ValueError):
            return None
    if not isinstance(kind, type):
        return None
    ours = known.get(kind.__name__)
    return ours if ours is not None and issubclass(ours, kind) else kind
