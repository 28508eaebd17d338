"""mmcv with its compiled operators: built once from its sdist, then kept as a wheel in a user cache."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import mmcv_build
from .failures import Failure
from .locks import Lock
from .permissions import keep_from_others, make_folder, others_can_write
from .progress import Steps
from .torch_build import Toolkit, Torch, build_environ, check_compiler

# Of two boxes that overlap one is left; on the GPU too, where the operators were built for it.
CHECK = """
import sys, torch, mmcv._ext
from mmcv.ops import nms
boxes, scores = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.]]), torch.tensor([0.9, 0.8])
for device in sys.argv[1:]:
    assert nms(boxes.to(device), scores.to(device), 0.5)[1].tolist() == [0], device
"""
NO_CUDA_OPS = (
    "no nvcc of CUDA {major} was found for the GPU, so mmcv gets its CPU operators.\n"
    "      Works on the GPU: the losses, and training RetinaNet, FCOS, ATSS and GFL with validation off.\n"
    "      Does not: NMS, so validation and test (on the CPU: CUDA_VISIBLE_DEVICES= tools/run ...);\n"
    "      RoIAlign, so two-stage detectors; deformable convolution.\n"
    "      For all of it: install the CUDA {major} toolkit, delete {folder}, and run the same command again."
)

NOT_USED = (
    "{what} will not be installed, since {reason}, so mmcv is built again: for a cache, let nobody else write there "
    "(chmod go-w), or choose a folder of your own with MMDET_LOSSES_CACHE=FOLDER."
)


def cache_key(mmcv: str, python: str, torch: Torch, toolkit: Toolkit | None) -> str:
    """The cache folder's name: everything that a wheel depends on."""
    cuda = f"cu{torch.cuda}-{toolkit.archs or 'all'}" if toolkit else "cpu"
    key = f"mmcv{mmcv}-py{python}-torch{torch.version}-{cuda}-{platform.machine()}"
    return re.sub(r"[^\w.+-]", "_", key)


def cached(cache: Path, mmcv: str, python: str, torch_version: str) -> bool:
    """Whether a wheel may be there, asked before torch is: any build of torch and CUDA counts."""
    return any(cache.glob(f"mmcv{mmcv}-py{python}-torch{torch_version}*-{platform.machine()}/mmcv-*.whl"))


def install(
    steps: Steps, python: Path, version: str, mmcv: str, include: str, cache: Path, environ: Mapping[str, str]
) -> None:
    """Install mmcv into the environment, from the cache or built now.

    A cache or a wheel that others than the user and root can write is not used. Without a cache of one's own the wheel
    is built in the environment and not kept.

    Args:
        steps: Where progress is shown.
        python: The environment's interpreter.
        version: Its version, as in '3.11'.
        mmcv: Version of mmcv.
        include: The folder of Python's headers.
        cache: Folder of the cached wheels.
        environ: Environment variables of the commands.
    """
    torch = Torch.of(python, environ)
    toolkit = Toolkit.find(torch, environ)
    if torch.wants_cuda_ops(environ) and not toolkit:
        steps.note(NO_CUDA_OPS.format(major=torch.cuda.split(".")[0], folder=python.parents[1]))
    folder = cache / cache_key(mmcv, version, torch, toolkit)
    devices = ["cpu", *(["cuda"] if toolkit and torch.archs else [])]
    shared = others_can_write(folder)
    if shared:
        steps.note(NOT_USED.format(what=f"the wheels in {cache}", reason=shared))
        folder = python.parents[1] / "mmcv"
    make_folder(folder)
    lock = Lock(folder.with_name(folder.name + ".lock"), f"the wheel of mmcv {mmcv}")
    lock.exclusive()
    try:
        for left in folder.glob("build-*"):  # of versions that made a new folder for each build
            shutil.rmtree(left, ignore_errors=True)
        for wheel in () if shared else folder.glob("mmcv-*.whl"):
            if reason := others_can_write(wheel):
                steps.note(NOT_USED.format(what=wheel, reason=reason))
                continue
            with steps.step(f"mmcv {mmcv}, from the cache"), contextlib.suppress(Failure):
                install_and_use(steps, python, wheel, devices, environ)
                return
            steps.total += 1
            steps.note(f"{wheel} is damaged or does not fit this machine: it is built again")
        check_compiler(include)
        kind = f"CUDA {torch.cuda} and CPU" if toolkit else "CPU"
        build = build_environ(torch, toolkit, environ)
        steps.note("mmcv is built once and kept: about two minutes of one core, eight or more with CUDA")
        with steps.step(f"mmcv {mmcv}, its {kind} operators"), mmcv_build.scratch_folder(folder) as scratch:
            wheel = mmcv_build.build(
                steps,
                python,
                f"mmcv=={mmcv}",
                scratch,
                build,
                lambda wheel: install_and_use(steps, python, wheel, devices, environ),
            )
            if not shared:
                keep_from_others(wheel)
                os.replace(wheel, folder / wheel.name)
        if shared:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def install_and_use(steps: Steps, python: Path, wheel: Path, devices: list[str], environ: Mapping[str, str]) -> None:
    """Install a wheel and use one of its operators; raise Failure where that does not work."""
    pip = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", wheel]
    steps.run(pip, environ)
    steps.run([python, "-c", CHECK, *devices], environ)
