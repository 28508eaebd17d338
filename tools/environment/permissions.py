"""Who can write a cached wheel: the package's own rule for its kernels, read without the package, which needs torch."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

from .state import ROOT

# In a checkout the package lies beside the tools; in an installed package they lie in a folder of it.
PACKAGE = next(folder for folder in (ROOT / "mmdet_losses", ROOT.parent) if (folder / "kernels").is_dir())
RULE = runpy.run_path(str(PACKAGE / "kernels" / "permissions.py"))
others_can_write: Callable[[Path], str] = RULE["others_can_write"]
make_folder: Callable[[Path], None] = RULE["make_folder"]
keep_from_others: Callable[[Path], None] = RULE["keep_from_others"]
