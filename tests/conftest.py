"""Several processes run tests at the same time: each gets one thread. What a test draws is the same in every order."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws as if it were the first of its process."""
    torch.manual_seed(0)
