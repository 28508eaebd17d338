"""Detection losses for MMDetection 3.x, as plain ``nn.Module`` and as functions on torch alone.

Importing this package, the target of ``custom_imports``, loads torch at most: a name or MMEngine, whichever comes
first, brings the losses. They are registered with MMDetection as soon as ``mmdet.models`` is imported too, before or
after.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    # Type checkers follow the star imports.
    from . import mmrotate, modules, rotated, yolo  # noqa: F401
    from .config_files import config_path as config_path
    from .modules import *  # noqa: F403
    from .registry import register_loss as register_loss
    from .rotated import *  # noqa: F403
    from .toolboxes import register_into as register_into
    from .yolo import *  # noqa: F403
else:
    from .on_demand import on_demand

    __getattr__, __dir__ = on_demand(globals())
