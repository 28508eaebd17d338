"""Compiles the kernels for CPUs on first use, and keeps the result on disk for the next process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import torch

from .permissions import keep_from_others, make_folder, others_can_write

SOURCES = Path(__file__).parent / "cpp"
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
CONTRACTION = {"boxes": "-ffp-contract=off", "logits": "-ffp-contract=fast"}
"""Whether a product and a sum may be fused (FMA): not in boxes, since equal boxes must have equal areas."""
TUNING = (("-march=native",), ())
"""Flags that a compiler may not know, best first."""
DIGEST = 32
"""Bytes of the digest at the end of what is kept."""
LONGEST = 300
"""Timeout of the compiler in seconds."""


class BuildError(Exception):
    """Says why the kernels cannot be built."""


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    if chosen := os.environ.get("MMDET_LOSSES_CACHE"):
        return Path(chosen) / "kernels"
    return folder_at_home()


def folder_at_home() -> Path:
    """Where they are kept unless another folder is chosen."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mmdet_losses" / "kernels"


def run(command: list[str]) -> str:
    """Output of the compiler; where it fails, raises with the first line of its errors."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = next(filter(None, map(str.strip, done.stderr.splitlines())), f"exit status {done.returncode}")
        raise BuildError(f"{command[0]}: {said}")
    return done.stdout


@cache
def compiler() -> tuple[tuple[str, ...], str]:
    """The compiler's command and its version."""
    command = tuple(shlex.split(os.environ.get("CXX", ""))) or ("c++",)
    version = run([*command, "--version"])
    if not version.strip():
        raise BuildError(f"{command[0]} is no compiler")
    return command, version


@cache
def processor() -> str:
    """Identifies the processor, since machines may share a cache folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part", "isa")
    found = {line.split(":")[0].strip(): line for line in reversed(lines) if line.startswith(wanted)}
    return "\n".join([platform.machine(), *sorted(found.values())])


def library_path(name: str) -> Path:
    """Where the kernels of a source are, or would be."""
    digest = hashlib.sha256()
    sources = [file.read_text() for file in (*sorted(SOURCES.glob("*.h")), SOURCES / f"{name}.cpp")]
    for part in (*sources, *FLAGS, CONTRACTION[name], *map(str, TUNING), *map(str, compiler()), processor()):
        digest.update(part.encode() + b"\0")
    return cache_folder() / f"{name}-{digest.hexdigest()[:24]}.so"


def is_whole(path: Path) -> bool:
    """Whether a file ends with the digest of its content; loading a truncated library could crash the process."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def seal(output: Path, path: Path) -> None:
    """Add its digest to a file that others cannot write, and move it into place atomically."""
    with output.open("ab") as file:
        file.write(hashlib.sha256(output.read_bytes()).digest())
    keep_from_others(output)
    output.replace(path)


def compile_into(name: str, path: Path) -> None:
    """Compile a source and move the result into place atomically, since several processes may do so at once."""
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{name}-") as folder:
        output = Path(folder) / path.name
        command = [*compiler()[0], *FLAGS, CONTRACTION[name], "-o", str(output), str(SOURCES / f"{name}.cpp")]
        for last, tuning in enumerate(TUNING, 1 - len(TUNING)):
            try:
                run([*command, *tuning])
                break
            except BuildError:
                if last == 0:
                    raise
        seal(output, path)


@cache
def tell_shared(kept: Path, reason: str) -> None:
    """Warn once that what is kept somewhere is not used."""
    warnings.warn(
        f"the kernels of fused=True in {kept} are not used, since {reason}, and are compiled into a place of your own: "
        "to keep them again, let nobody else write there (chmod go-w), or set MMDET_LOSSES_CACHE to a folder of your "
        "own.",
        stacklevel=2,
    )


def own_path(folder: Path, name: str) -> Path | None:
    """Where a file is kept in a folder; None where others can write that.

    A file that others can write is removed. In a folder of one's own nobody can change it after it has been looked at.
    """
    if reason := others_can_write(folder):
        tell_shared(folder, reason)
        return None
    make_folder(folder)
    path = folder / name
    if reason := others_can_write(path):
        tell_shared(path, reason)
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # in a folder like /tmp
            return None
    return path


def from_cache(name: str, folder: Path) -> ctypes.CDLL | None:
    """The library of a source in a folder, compiled unless it is there; None where others can write the folder."""
    path = own_path(folder, library_path(name).name)
    if path is None:
        return None
    if not is_whole(path):
        compile_into(name, path)
    return ctypes.CDLL(str(path))


def from_home(name: str) -> ctypes.CDLL | None:
    """The library of a source in the home directory; None where it cannot be kept there."""
    try:
        return from_cache(name, folder_at_home())
    except (OSError, RuntimeError):
        return None


def for_this_process(name: str) -> ctypes.CDLL:
    """The library of a source, compiled into a temporary folder, which goes once it is loaded."""
    with tempfile.TemporaryDirectory(prefix="mmdet_losses-") as folder:
        if reason := others_can_write(Path(folder)):
            raise BuildError(f"there is no temporary folder of one's own, since {reason}")
        path = Path(folder, library_path(name).name)
        compile_into(name, path)
        return ctypes.CDLL(str(path))


def load(name: str) -> ctypes.CDLL:
    """The library of a source, compiled unless it is cached where only this user and root can write.

    Raises:
        BuildError: With the reason, where it cannot be built.
    """
    if sys.platform != "linux":
        raise BuildError(f"they are not built on {sys.platform}")
    try:
        library = from_cache(name, cache_folder())
        return library or from_home(name) or for_this_process(name)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        raise BuildError(str(error)) from error


def parallel_runner() -> int | None:
    """Address of ``GOMP_parallel`` in the OpenMP that torch uses; None where it has another kind.

    A second OpenMP runtime would have its own thread pool, which competes with torch's.
    """
    try:
        # Looked for in what torch depends on, in this order.
        return ctypes.cast(ctypes.CDLL(torch._C.__file__).GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
