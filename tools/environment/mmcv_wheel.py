"""mmcv with its compiled operators: built once from its sdist, then kept as a wheel in a user cache."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .failures import AGAIN, Failure
from .locks import Lock
from .progress import Steps

PROBE = """
import json, sysconfig, torch
gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
print(json.dumps({
    "version": torch.__version__,
    "cuda": torch.version.cuda,
    "archs": sorted({"%d.%d" % torch.cuda.get_device_capability(gpu) for gpu in gpus}),
    "site": sysconfig.get_paths()["purelib"],
}))
"""
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


@dataclass(frozen=True)
class Torch:
    """What the environment's torch says about itself and the machine."""

    version: str  # with its local build tag, as in 2.13.0+cpu
    cuda: str | None
    archs: tuple[str, ...]  # compute capabilities of the GPUs, as in ('9.0',)
    site: Path

    @classmethod
    def of(cls, python: Path, environ: Mapping[str, str]) -> Torch:
        answer = subprocess.run([python, "-c", PROBE], env=dict(environ), capture_output=True, text=True)
        if answer.returncode:
            lines = answer.stderr.strip().splitlines() or ["no message"]
            raise Failure(
                f"torch was installed but does not import ({lines[-1]}): see https://pytorch.org/get-started "
                f"for what it needs of this machine, {AGAIN}."
            )
        facts = json.loads(answer.stdout.splitlines()[-1])
        return cls(facts["version"], facts["cuda"], tuple(facts["archs"]), Path(facts["site"]))

    def wants_cuda_ops(self, environ: Mapping[str, str]) -> bool:
        """Whether there is a GPU, or will be where this environment is used."""
        return bool(self.cuda and (self.archs or environ.get("FORCE_CUDA") == "1"))


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit with a compiler of torch's CUDA version."""

    root: Path
    archs: str  # as in TORCH_CUDA_ARCH_LIST; '' leaves the choice to torch

    @classmethod
    def find(cls, torch: Torch, environ: Mapping[str, str]) -> Toolkit | None:
        """Return the toolkit to build CUDA operators with, or None where they are not wanted or cannot be."""
        if not torch.wants_cuda_ops(environ):
            return None
        home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
        for nvcc in [f"{home}/bin/nvcc"] if home else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
            root = _toolkit_root(nvcc, torch.cuda.split(".")[0])
            if root:
                return cls(root, environ.get("TORCH_CUDA_ARCH_LIST") or ";".join(torch.archs))
        return None

    def environ(self, torch: Torch, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment variables of a build with CUDA operators."""
        headers = [self.root / "include", *sorted(torch.site.glob("nvidia/cu*/include"))]
        paths = [str(path) for path in headers if path.is_dir()] + [environ.get("CPATH", "")]
        build = {
            **environ,
            "FORCE_CUDA": "1",
            "CUDA_HOME": str(self.root),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "CPATH": os.pathsep.join(filter(None, paths)),
        }
        if self.archs:
            build["TORCH_CUDA_ARCH_LIST"] = self.archs
        return build


def _toolkit_root(nvcc: str, major: str) -> Path | None:
    """The folder of a toolkit whose nvcc runs and has this major version; nvcc may be a wrapper script."""
    try:
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        if not re.search(rf"release {major}\.", version):
            return None
        plan = subprocess.run([nvcc, "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True)
    except OSError:
        return None
    top = re.search(r"^#\$ TOP=(.+)$", plan.stdout + plan.stderr, re.MULTILINE)
    root = Path(top.group(1).strip()).resolve() if top else None
    return root if root and (root / "bin" / "nvcc").exists() else None


def cache_key(mmcv: str, python: str, torch: Torch, toolkit: Toolkit | None) -> str:
    """The cache folder's name: everything that a wheel depends on."""
    cuda = f"cu{torch.cuda}-{toolkit.archs or 'all'}" if toolkit else "cpu"
    key = f"mmcv{mmcv}-py{python}-torch{torch.version}-{cuda}-{platform.machine()}"
    return re.sub(r"[^\w.+-]", "_", key)


def cached(cache: Path, mmcv: str, python: str, torch_version: str) -> bool:
    """Whether a wheel may be there, asked before torch is: any build of torch and CUDA counts."""
    return any(cache.glob(f"mmcv{mmcv}-py{python}-torch{torch_version}*-{platform.machine()}/mmcv-*.whl"))


def check_compiler(include: str) -> None:
    """Raise Failure where a file that includes Python's and C++'s headers does not compile."""
    compiler = shlex.split(os.environ.get("CXX") or "c++")
    apt = "for example `apt install g++ python3-dev`"
    if not shutil.which(compiler[0]):
        raise Failure(
            f"a C++ compiler is needed to build mmcv's operators, and `{compiler[0]}` was not found: "
            f"install one ({apt}), {AGAIN}."
        )
    source = "#include <vector>\n#include <Python.h>\n"
    command = [*compiler, "-std=c++17", "-x", "c++", "-fsyntax-only", f"-I{include}", "-"]
    answer = subprocess.run(command, input=source, capture_output=True, text=True)
    if answer.returncode:
        problem = next((line for line in answer.stderr.splitlines() if "error" in line), "it does not run")
        raise Failure(
            f"mmcv's operators need a C++17 compiler and Python's headers, but "
            f"`{compiler[0]}` says '{problem.strip()}': install what is missing ({apt}), {AGAIN}."
        )


def install(
    steps: Steps, python: Path, version: str, mmcv: str, include: str, cache: Path, environ: Mapping[str, str]
) -> None:
    """Install mmcv into the environment, from the cache or built now.

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
    lock = Lock(folder.with_name(folder.name + ".lock"), f"the wheel of mmcv {mmcv}")
    lock.exclusive()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in folder.glob("mmcv-*.whl"):
            with steps.step(f"mmcv {mmcv}, from the cache"), contextlib.suppress(Failure):
                _install_and_use(steps, python, wheel, devices, environ)
                return
            steps.total += 1
            steps.note(f"{wheel} is damaged or does not fit this machine: it is built again")
        check_compiler(include)
        kind = f"CUDA {torch.cuda} and CPU" if toolkit else "CPU"
        build = _build_environ(torch, toolkit, environ)
        steps.note("mmcv is built once and kept: about 10 minutes of one core, several times that for CUDA")
        with steps.step(f"mmcv {mmcv}, its {kind} operators"), _scratch(folder) as scratch:
            # Neither pip's cache nor an index may answer with a wheel that was built for another torch.
            options = ["-v", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--no-binary", "mmcv"]
            command = [python, "-m", "pip", "wheel", *options, "--wheel-dir", scratch, f"mmcv=={mmcv}"]
            steps.run(command, {**build, "TMPDIR": str(scratch)})
            (wheel,) = scratch.glob("mmcv-*.whl")
            _install_and_use(steps, python, wheel, devices, environ)
            os.replace(wheel, folder / wheel.name)
    finally:
        lock.release()


def _build_environ(torch: Torch, toolkit: Toolkit | None, environ: Mapping[str, str]) -> dict[str, str]:
    if toolkit:
        build = toolkit.environ(torch, environ)
    else:
        build = {**environ, "CUDA_VISIBLE_DEVICES": ""}  # a GPU that is seen makes mmcv's build ask for nvcc
        build.pop("FORCE_CUDA", None)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    jobs = max(1, min(len(os.sched_getaffinity(0)), int(memory / 2)))  # one compiler takes up to 2 GB
    return {"MAX_JOBS": str(jobs), **build, "MMCV_WITH_OPS": "1"}


def _install_and_use(steps: Steps, python: Path, wheel: Path, devices: list[str], environ: Mapping[str, str]) -> None:
    """Install a wheel and use one of its operators; raise Failure where that does not work."""
    pip = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", wheel]
    steps.run(pip, environ)
    steps.run([python, "-c", CHECK, *devices], environ)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder on the cache's disk; what interrupted builds left there is removed first."""
    for left in folder.glob("build-*"):
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="build-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
