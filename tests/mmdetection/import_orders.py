"""Goes every order of the steps that bring this package and MMDetection into a process, each in a process of its own.

Run by test_import_orders.py with a config that names the package in ``custom_imports``. One line of JSON per order, and
per beginning of one that leaves it to the registry to import MMDetection's models. What those import from elsewhere is
there before the processes part: only they, in 0.15 s, and this package are imported in each.
"""

import gc
import json
import logging
import os
import sys

import mmcv.ops  # noqa: F401
import mmdet.evaluation  # noqa: F401
import mmengine.runner  # noqa: F401
import sklearn.mixture  # noqa: F401
from fork_server import in_a_process
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

LINES = []


class Lines(logging.Handler):
    def emit(self, record):
        LINES.append(record.getMessage())


def import_functional():
    from mmdet_losses.functional import giou_loss

    assert giou_loss.__module__ == "mmdet_losses.functional.iou"


def import_package():
    import mmdet_losses

    assert mmdet_losses.GIoULoss.__name__ == "GIoULoss"


def read_config():
    Config.fromfile(sys.argv[1])


def import_models():
    import mmdet.models

    assert mmdet.models.RetinaNet


def build_by_scoped_name():
    assert ROOT.build(dict(type="mmdet_losses.CIoULoss")).__module__.startswith("mmdet_losses.")


STEPS = {
    "functional": import_functional,
    "package": import_package,
    "custom_imports": read_config,
    "mmdet.models": import_models,
    "scoped name": build_by_scoped_name,
}


def build_bare_name():
    return {"bare": type(MODELS.build(dict(type="GIoULoss"))).__module__}


def build_in_scope():
    """As a runner does, in the scope of its config."""
    DefaultScope.get_instance("a_run", scope_name="mmdet")
    return {"in scope": type(ROOT.build(dict(type="SmoothL1Loss"))).__module__}


def report(done):
    models_there = "mmdet.models" in sys.modules
    first, second = (build_bare_name, build_in_scope) if len(done) % 2 else (build_in_scope, build_bare_name)
    found = {**first(), **second()}
    said = sum("in place of MMDetection's" in line for line in LINES)
    line = json.dumps({"done": done, "models there": models_there, "said": said, **found})
    os.write(1, f"{line}\n".encode())


def explore(done, left):
    if not left:
        report(done)
    elif "mmdet.models" not in done or len(done) == 1:
        in_a_process(lambda: report(done))
    for step in left:

        def go_on(step=step):
            STEPS[step]()
            explore([*done, step], [other for other in left if other != step])

        in_a_process(go_on)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, handlers=[Lines()])
    assert not {"mmdet.models", "mmdet_losses"} & set(sys.modules)
    gc.disable()
    gc.freeze()
    explore([], list(STEPS))
