#!/usr/bin/env python3
"""Collect what a machine without a package index lacks to train, beside the torch that it has.

    python tools/bundle.py --python 3.12 --torch 2.11.0 OUT                     # everything but torch
    python tools/bundle.py --python 3.12 --torch 2.11.0 --have list.txt OUT     # less what is there, by its `pip list`

Carry the folder OUT, whose files are of at most 64 MiB each, to the other machine, and there, without a network:

    OUT/setup.sh VENV                # or: OUT/setup.sh --target FOLDER

It makes an environment on the Python that has torch: `python3`, or MMDET_LOSSES_PYTHON=PYTHON. mmcv comes as a wheel
where one for this torch is cached or given, and is built from its sources there otherwise.
"""

from __future__ import annotations

from bundling.cli import main

if __name__ == "__main__":
    main(__doc__)
