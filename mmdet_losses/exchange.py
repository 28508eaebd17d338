"""MMDetection's own classes, named by a class object or a dotted path: a registry builds this package's in their place.

Such a name passes the registry by, in pure-Python configs and in what is dumped from them. A subclass of MMDetection's
class is never exchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import wraps
from typing import Any

from torch import nn

from .changed_meaning import tell_changed_meaning
from .log import log, warn
from .registry import LOSSES, replaced_classes

TOLD: set[str] = set()
"""Names that the log has told of."""

REMEDY = (
    'custom_imports=dict(imports=["mmdet_losses"], allow_failed_imports=False), or, in a pure-Python config, the '
    "detector's class by `from mmdet_losses.detectors import ...`"
)
"""What imports the package before a model is built."""


def exchange(kind: type) -> None:
    """Let every registry of a class build this package's losses for MMDetection's; once, however often it is called."""
    build = getattr(kind, "build", None)
    if build is None or hasattr(build, "exchanges"):
        return

    @wraps(build)
    def build_exchanged(self: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        if "default_args" in kwargs:
            kwargs["default_args"] = exchanged(kwargs["default_args"], self)
        return build(self, exchanged(cfg, self), *args, **kwargs)

    build_exchanged.exchanges = True
    kind.build = build_exchanged


def exchanged(cfg: Any, registry: Any) -> Any:
    """A config, or a list of them, whose type is this package's class where it was MMDetection's."""
    if isinstance(cfg, list):
        return [exchanged(one, registry) for one in cfg]
    if not callable(getattr(cfg, "get", None)) or not callable(getattr(cfg, "copy", None)):
        return cfg
    name = replaced_name(cfg.get("type"), registry)
    if not name:
        return cfg
    if name not in TOLD:
        TOLD.add(name)
        log(
            f"MMDetection's {name}, named by its class, is this package's; type=\"mmdet_losses.stock.{name}\" is "
            "MMDetection's own."
        )
    tell_changed_meaning(cfg, LOSSES[name])
    cfg = cfg.copy()
    cfg["type"] = LOSSES[name]
    return cfg


def replaced_name(kind: Any, registry: Any) -> str:
    """The name of the class of MMDetection's that a class or a path is; empty where it is none that is replaced."""
    if isinstance(kind, str) and "." in kind:
        try:
            kind = registry.get(kind)
        except Exception:
            return ""  # the building says why
    classes = replaced_classes() if isinstance(kind, type) else {}
    return next((name for name, cls in classes.items() if cls is kind), "")


def warn_of_earlier_losses() -> None:
    """Warn of MMDetection's losses in modules whose constructors are running: the package came too late for them."""
    early = ", ".join(dict.fromkeys(earlier_losses()))
    if early:
        warn(
            f"imported while a model is built, after these losses of MMDetection: {early}. They remain "
            f"MMDetection's. Import the package before the model is built: {REMEDY}."
        )


def earlier_losses() -> Iterator[str]:
    """Each loss of MMDetection's in a module under construction."""
    classes = list(replaced_classes().values())
    frame = sys._getframe()
    while frame is not None:
        module = frame.f_locals.get("self") if frame.f_code.co_name == "__init__" else None
        if isinstance(module, nn.Module) and "_modules" in vars(module):
            for path, part in module.named_modules():
                if any(type(part) is cls for cls in classes):
                    yield f"{path}={type(part).__name__} of {type(module).__name__}"
        frame = frame.f_back
