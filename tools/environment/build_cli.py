"""The command line of `tools/build_mmcv.py`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from . import interpreter, mmcv_build
from .failures import AGAIN, Failure
from .progress import Steps
from .torch_build import Toolkit, Torch, build_environ, check_compiler

BUILD_TOOLS = ("setuptools<81", "wheel", "ninja", "packaging")  # setuptools below 81 has pkg_resources
# Of two boxes that overlap one is left. mmcv itself is not imported: what it needs may not be there yet.
CHECK = """
import importlib.util, pathlib, sys, torch
(path,) = pathlib.Path(sys.argv[1], "mmcv").glob("_ext.*")
spec = importlib.util.spec_from_file_location("_ext", path)
ext = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ext)
boxes, scores = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.]]), torch.tensor([0.9, 0.8])
for device in sys.argv[2:]:
    kept = ext.nms(boxes.to(device), scores.to(device), iou_threshold=0.5, offset=0)
    assert kept.tolist() == [0], (device, kept)
"""


def main(description: str | None) -> None:
    """Build a wheel; exits with a sentence where that fails."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(), metavar="OUT", help="where the wheel is put")
    parser.add_argument(
        "--mmcv", default="mmcv==2.1.0", metavar="SOURCE", help="as pip takes it, or an sdist or folder (%(default)s)"
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter to build for (this one)")
    parser.add_argument("--install", action="store_true", help="install the wheel, without its dependencies")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        wheel = build(arguments.python, arguments.mmcv, arguments.out.resolve(), arguments.install)
    except Failure as failure:
        sys.exit(f"build_mmcv: {failure}")
    except KeyboardInterrupt:
        sys.exit(f"build_mmcv: interrupted; what is compiled is kept in {arguments.out}, {AGAIN}.")
    print(wheel)


def build(interpreter_name: str, requirement: str, out: Path, install: bool) -> Path:
    """Build a wheel for an interpreter and put it into a folder.

    Args:
        interpreter_name: Name or path of a Python that has torch and pip.
        requirement: mmcv or a fork, as pip takes it, or the path of an sdist or of a folder.
        out: The folder.
        install: Whether to install the wheel as well.

    Returns:
        The wheel.
    """
    python, facts = find_interpreter(interpreter_name)
    environ = dict(os.environ)
    torch = Torch.of(python, environ)
    toolkit = Toolkit.find(torch, environ)
    if torch.wants_cuda_ops(environ) and not toolkit:
        major = (torch.cuda or "").split(".")[0]
        print(f"build_mmcv: no nvcc of CUDA {major} was found, so CPU operators are built", file=sys.stderr)
    check_compiler(facts["include"])
    try:
        work = out / ".build-mmcv"  # a name that nobody else gives to a folder, for it is deleted
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}: give another folder to put the wheel into.") from None
    steps = Steps(total=3 if install else 2, log=out / "build_mmcv.log")
    devices = ["cpu", *(["cuda"] if toolkit and torch.archs else [])]
    tools = work / "tools"
    try:
        with mmcv_build.scratch_folder(work) as scratch:
            with steps.step("build tools"):
                pip = [python, "-m", "pip", "install", "--quiet", "--upgrade", "--target", tools, *BUILD_TOOLS]
                steps.run(pip, environ)
            build = build_environ(torch, toolkit, environ)
            build["PATH"] = f"{tools / 'bin'}{os.pathsep}{build.get('PATH', os.defpath)}"
            build["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tools), environ.get("PYTHONPATH")]))

            def use(wheel: Path) -> None:
                target = scratch / "check"
                shutil.rmtree(target, ignore_errors=True)
                steps.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel], environ)
                steps.run([python, "-c", CHECK, target, *devices], environ)

            kind = f"CUDA {torch.cuda} and CPU" if toolkit else "CPU"
            with steps.step(f"{Path(requirement).name} for torch {torch.version}, its {kind} operators"):
                built = mmcv_build.build(steps, python, requirement, scratch, build, use)
            wheel = out / built.name
            os.replace(built, wheel)
    except Exception:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    if install:
        with steps.step("install"):
            steps.run([python, "-m", "pip", "install", "--no-deps", "--force-reinstall", wheel], environ)
    return wheel


def find_interpreter(name: str) -> tuple[Path, dict[str, str]]:
    path = shutil.which(name)
    facts = interpreter.probe(path) if path else None
    if not path or not facts:
        raise Failure(f"{name} is no Python that runs: give the path of one in --python.")
    return Path(os.path.abspath(path)), facts
