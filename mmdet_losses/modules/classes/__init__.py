"""Classification losses."""

# ruff: noqa: F403
from . import base, cross_entropy, focal, head_channels, heat_map, long_tail, quality, ranking
from .base import *
from .cross_entropy import *
from .focal import *
from .head_channels import *
from .heat_map import *
from .long_tail import *
from .quality import *
from .ranking import *

__all__: list[str] = []
__all__ += base.__all__
__all__ += cross_entropy.__all__
__all__ += focal.__all__
__all__ += head_channels.__all__
__all__ += heat_map.__all__
__all__ += long_tail.__all__
__all__ += quality.__all__
__all__ += ranking.__all__
