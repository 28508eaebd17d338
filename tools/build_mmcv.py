#!/usr/bin/env python3
"""Build mmcv, or a fork of it, with its compiled operators for the torch of a Python environment, in a few minutes.

    python tools/build_mmcv.py --install              # for this Python, and into it
    python tools/build_mmcv.py --python PYTHON OUT    # a wheel for another Python, put into the folder OUT
    python tools/build_mmcv.py --mmcv onedl-mmcv==2.3.6 OUT

The Python needs torch and pip. What the build needs besides is put into a temporary folder; without --install the
environment stays as it is.
"""

from __future__ import annotations

from environment.build_cli import main

if __name__ == "__main__":
    main(__doc__)
