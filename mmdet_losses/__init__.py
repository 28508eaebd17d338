"""Detection losses for MMDetection 3.x, as plain ``nn.Module`` and as functions on torch alone.

Importing this package, the target of ``custom_imports``, loads torch alone. Every loss is registered with MMDetection
as soon as ``mmdet.models`` is imported too, before or after.
"""

from typing import TYPE_CHECKING

from . import mmrotate, modules, rotated, yolo  # noqa: F401  mmrotate waits for MMRotate
from .config_files import config_path
from .modules import *  # noqa: F403
from .registry import register_loss
from .rotated import *  # noqa: F403
from .toolboxes import register_into
from .yolo import *  # noqa: F403

__version__ = "0.1.0"

if not TYPE_CHECKING:
    # Type checkers follow the star imports.
    __all__ = [*modules.__all__, *rotated.__all__, *yolo.__all__, "config_path", "register_into", "register_loss"]
