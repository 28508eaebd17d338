"""Several processes run tests at the same time: each gets one thread. What a test draws is the same in every order.

Where MMDetection or what comes with it is not installed, the files that need it are skipped.
"""

import gc
import os
from importlib.util import find_spec
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


BESIDE_TORCH = {
    *("cv2", "filelock", "matplotlib", "mmcv", "mmdet", "mmengine", "numpy", "packaging", "pycocotools", "sklearn"),
    *("plotly", "scipy", "statsmodels", "tomli", "tqdm", "yaml"),
}
"""Modules that an environment of torch and pytest may lack."""


class TestFile(pytest.Module):
    """A file that is skipped where a module that it imports is not installed."""

    __test__ = False

    def _getobj(self):
        try:
            return super()._getobj()
        except self.CollectError as error:
            lacking = getattr(error.__cause__, "name", None) or ""
            package = lacking.partition(".")[0]
            if package in BESIDE_TORCH and find_spec(package) is None:
                pytest.skip(f"{package} is not installed", allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path, parent):
    return TestFile.from_parent(parent, path=module_path)


def pytest_addoption(parser):
    """Without pytest-xdist its options, which pyproject.toml gives, change nothing."""
    if find_spec("xdist") is None:
        for option in ("-n", "--maxprocesses", "--dist"):
            parser.getgroup("xdist")._addoption(option, help="needs pytest-xdist")


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
