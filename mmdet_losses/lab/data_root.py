"""Path of version 0.1 of :mod:`mmdet_losses.data.data_root`; until 0.3."""

from ..data.data_root import merge_options, set_data_root

__all__ = ["merge_options", "set_data_root"]
