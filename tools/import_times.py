#!/usr/bin/env python
"""Measure what importing the package costs over what it stands on: whole processes, in turn, and their medians.

python tools/import_times.py            # beside torch, and where MMDetection is installed beside it
python tools/import_times.py --rounds 21
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import mmdet_losses

PAIRS = (
    ("torch", "import torch", "import mmdet_losses.functional"),
    ("torch", "import torch", "from mmdet_losses import CIoULoss"),
    ("mmdet", "import mmdet.models", "import mmdet.models, mmdet_losses"),
)
"""What has to be installed, what is imported without the package, and with it."""


def seconds(code: str) -> tuple[float, float]:
    """Wall and CPU time of a process that runs some code."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mmdet_losses.__file__).parents[1])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="processes of each kind (11)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error(f"argument --rounds: expected 1 or more, got {rounds}")
    pairs = [pair for pair in PAIRS if find_spec(pair[0])]
    codes = list(dict.fromkeys(code for pair in pairs for code in pair[1:]))
    for code in codes:  # bytecode and the files' pages
        seconds(code)
    measured = {code: [] for code in codes}
    for number in range(rounds):
        for code in codes if number % 2 else reversed(codes):
            measured[code].append(seconds(code))
    medians = {
        code: [statistics.median(times) for times in zip(*found, strict=True)] for code, found in measured.items()
    }
    print("median of", rounds, "processes each: wall and CPU milliseconds")
    for code, (wall, cpu) in medians.items():
        print(f"  {code:36}{1000 * wall:8.0f}{1000 * cpu:8.0f}")
    for _, without, code in pairs:
        wall, cpu = ((a - b, 100 * (a - b) / b) for a, b in zip(medians[code], medians[without], strict=True))
        print(
            f"{code!r} over {without!r}: {1000 * wall[0]:+.0f} ms ({wall[1]:+.1f} %) wall, "
            f"{1000 * cpu[0]:+.0f} ms ({cpu[1]:+.1f} %) CPU"
        )


if __name__ == "__main__":
    main()
