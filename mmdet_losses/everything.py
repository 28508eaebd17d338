"""Every public name of the package; what ``mmdet_losses`` takes them from when the first one is asked for."""

from . import mmrotate, modules, rotated, yolo  # noqa: F401  mmrotate waits for MMRotate
from .config_files import config_path
from .modules import *  # noqa: F403
from .registry import register_loss
from .rotated import *  # noqa: F403
from .toolboxes import register_into
from .yolo import *  # noqa: F403

__all__ = [*modules.__all__, *rotated.__all__, *yolo.__all__, "config_path", "register_into", "register_loss"]
