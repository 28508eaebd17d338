"""What an environment's torch is, and how operators are compiled for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .failures import AGAIN, Failure

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
            root = toolkit_root(nvcc, torch.cuda.split(".")[0])
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


def toolkit_root(nvcc: str, major: str) -> Path | None:
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


def build_environ(torch: Torch, toolkit: Toolkit | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a build, with CUDA operators where there is a toolkit."""
    if toolkit:
        build = toolkit.environ(torch, environ)
    else:
        build = {**environ, "CUDA_VISIBLE_DEVICES": ""}  # a GPU that is seen makes mmcv's build ask for nvcc
        build.pop("FORCE_CUDA", None)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    jobs = max(1, min(len(os.sched_getaffinity(0)), int(memory / 3)))  # one compiler takes up to 3 GB
    return {"MAX_JOBS": str(jobs), **build, "MMCV_WITH_OPS": "1"}
