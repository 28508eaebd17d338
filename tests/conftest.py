"""Several processes run tests at the same time: each gets one thread. What a test draws is the same in every order."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from mmdet_losses.kernels import generated


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="torch.compile takes every loss from torch 2.4 on")
    for item in items:
        if generated.TOO_OLD and item.get_closest_marker("compiler"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws as if it were the first of its process."""
    torch.manual_seed(0)
