"""Several processes run tests at the same time: each gets one thread. What a test draws is the same in every order."""

import gc
import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from mmdet_losses.kernels import generated

# For CUDA, which takes it where it is first used. Until then each call would keep a stack in text, which takes longer
# than many a test.
torch.manual_seed(0)

LONG = (
    "contract/test_compile.py",
    "kernels/test_fused.py",
    "contract/test_reliability.py",
    "yolo/test_yolo_compile.py",
    "tools/test_distributed.py",
    "tools/test_tools.py",
    "tools/test_run_tool.py",
    "mmdetection/test_shipped_configs.py",
    "losses/test_ranking.py",
    "mmdetection/test_import_orders.py",
    "mmdetection/test_two_processes.py",
    "package/test_contributing.py",
)
"""The files that take longest begin first, so that all processes end together."""


def pytest_configure(config):
    # pytest-xdist would begin with the files of most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent
    place = {tests / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))
    skip = pytest.mark.skip(reason="torch.compile takes every loss from torch 2.4 on")
    for item in items:
        if generated.TOO_OLD and item.get_closest_marker("compiler"):
            item.add_marker(skip)


def pytest_collection_finish():
    """What is imported and collected stays for the run, so no later collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws as if it were the first of its process."""
    (torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed)(0)
