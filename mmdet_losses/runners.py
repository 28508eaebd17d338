"""MMEngine's runners train with ``LossStateHook``, whatever their config says."""

from __future__ import annotations

from functools import wraps
from typing import Any

from mmengine import runner

from .hooks import LossStateHook

RUNNERS = ("Runner", "FlexibleRunner")
"""Classes of MMEngine that train; older versions have the first alone. Their subclasses do as they do."""


def train_with_hook(cls: type) -> None:
    """Let a class of runners add the hook where a training begins, unless the config has it.

    Hooks are asked for as late as that, since a config, a subclass or a script may add its own until then.
    """
    train = cls.train

    @wraps(train)
    def train_with_statistics(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(hook, LossStateHook) for hook in self.hooks):
            self.register_hook(LossStateHook())
        return train(self, *args, **kwargs)

    cls.train = train_with_statistics


for name in RUNNERS:
    if hasattr(runner, name):
        train_with_hook(getattr(runner, name))
