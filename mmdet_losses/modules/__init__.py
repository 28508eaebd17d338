"""The losses as ``nn.Module``: options, state and MMDetection's forward contract."""

# ruff: noqa: F403
import sys
from typing import TYPE_CHECKING

from .averaging import *
from .base import *
from .boxes.family import *
from .boxes.focus import *
from .boxes.members import *
from .boxes.modified import *
from .boxes.others import *
from .boxes.sum import *
from .boxes.target_members import *
from .classes.base import *
from .classes.cross_entropy import *
from .classes.focal import *
from .classes.head_channels import *
from .classes.heat_map import *
from .classes.long_tail import *
from .classes.quality import *
from .classes.quality_aware import *
from .classes.ranking import *
from .classes.slide import *
from .coordinate import *
from .distillation import *
from .distribution import *
from .embedding import *
from .errors import *
from .fusing import *
from .harmonized import *
from .mask import *
from .moved import keep_paths
from .state import *

if not TYPE_CHECKING:
    # What the files publish; type checkers follow the star imports.
    files = [module for name, module in sys.modules.items() if name.startswith(f"{__name__}.")]
    __all__ = [name for file in files for name in getattr(file, "__all__", ())]

keep_paths(__name__)
