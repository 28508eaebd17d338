"""Compiles the kernels for GPUs on first use, with the compiler that torch brings, and keeps the result on disk."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path

import torch

from .build import DIGEST, SOURCES, BuildError, cache_folder, folder_at_home, is_whole, own_path, seal

FOLDERS = (SOURCES, SOURCES / "cuda" / "machine")
"""Where the sources include each other from."""
FLAGS = ("--std=c++17", "-DMMDET_LOSSES_CUDA")
CONTRACTION = {"pairs": "--fmad=false", "elements": "--fmad=true", "rows": "--fmad=true"}
"""Whether a product and a sum may be fused, by source, as in build.py."""
KERNELS = ("loss_value", "loss_total", "loss_gradient")
"""The value or the sums of blocks, the value from these, and the gradient."""


@cache
def libraries() -> ctypes.CDLL:
    """NVRTC and the driver, those that torch itself uses: its library that depends on both finds them.

    Raises:
        BuildError: Where they cannot be loaded.
    """
    bridge = Path(torch.__file__).parent / "lib" / "libcaffe2_nvrtc.so"
    try:
        library = ctypes.CDLL(str(bridge))
        declare(library)
        load_beside("libnvrtc.so", "libnvrtc-builtins.so.*")
    except (OSError, AttributeError) as error:
        raise BuildError(f"NVRTC: {error}") from error
    return library


def load_beside(name: str, pattern: str) -> None:
    """Load what lies beside a library that is loaded, and which that looks for by name alone."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    for folder in {Path(line.split(maxsplit=5)[5]).parent for line in lines if f"/{name}" in line}:
        for path in folder.glob(pattern):
            ctypes.CDLL(str(path))


def declare(library: ctypes.CDLL) -> None:
    """Declare the functions of NVRTC that are called."""
    signatures = {
        "nvrtcVersion": (POINTER(c_int), POINTER(c_int)),
        "nvrtcGetNumSupportedArchs": (POINTER(c_int),),
        "nvrtcGetSupportedArchs": (POINTER(c_int),),
        "nvrtcCreateProgram": (POINTER(c_void_p), c_char_p, c_char_p, c_int, c_void_p, c_void_p),
        "nvrtcDestroyProgram": (POINTER(c_void_p),),
        "nvrtcCompileProgram": (c_void_p, c_int, POINTER(c_char_p)),
        "nvrtcGetProgramLogSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetProgramLog": (c_void_p, c_char_p),
        "nvrtcGetCUBINSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetCUBIN": (c_void_p, c_char_p),
        "nvrtcGetPTXSize": (c_void_p, POINTER(c_size_t)),
        "nvrtcGetPTX": (c_void_p, c_char_p),
    }
    for name, arguments in signatures.items():
        function = library[name]
        function.argtypes, function.restype = arguments, c_int


def source(room: str, loss: str, threads: int) -> str:
    """A program with the kernels of a loss.

    Args:
        room: The header in ``cpp/cuda`` that has it.
        loss: Its type there.
        threads: Most threads of a block.
    """
    start = f'extern "C" __global__ void __launch_bounds__({threads})'
    value, total, gradient = KERNELS
    return (
        f'#include "cuda/{room}.h"\n'
        f"{start} {value}(const Call call) {{ value<{loss}>(call); }}\n"
        f"{start} {total}(const Call call) {{ total_of_blocks(call); }}\n"
        f"{start} {gradient}(const Call call) {{ gradient<{loss}>(call); }}\n"
    )


@cache
def headers() -> bytes:
    """What the programs include."""
    files = sorted(path for path in SOURCES.rglob("*.h"))
    return b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)


@cache
def version() -> tuple[int, int]:
    """The version of NVRTC."""
    major, minor = c_int(), c_int()
    check(libraries().nvrtcVersion(byref(major), byref(minor)), "its version")
    return major.value, minor.value


def check(code: int, what: str, log: str = "") -> None:
    if code:
        said = next((line.strip() for line in log.splitlines() if "error" in line), f"error {code}")
        raise BuildError(f"NVRTC: {what}: {said}")


@cache
def target(capability: tuple[int, int]) -> tuple[str, bool]:
    """What to compile for, for a device of a compute capability, and whether that is machine code, else PTX.

    An NVRTC that is older than the device has PTX of the newest architecture that it knows compiled by the driver.
    """
    library, count = libraries(), c_int()
    check(library.nvrtcGetNumSupportedArchs(byref(count)), "its architectures")
    known = (c_int * count.value)()
    check(library.nvrtcGetSupportedArchs(known), "its architectures")
    wanted = 10 * capability[0] + capability[1]
    if wanted in known:
        return f"sm_{wanted}", True
    older = [one for one in known if one < wanted]
    if not older:
        raise BuildError(f"NVRTC {version()[0]}.{version()[1]} does not compile for compute capability {wanted / 10}")
    return f"compute_{max(older)}", False


def options(room: str, architecture: str) -> list[str]:
    includes = [f"--include-path={folder}" for folder in FOLDERS]
    return [*FLAGS, CONTRACTION[room], f"--gpu-architecture={architecture}", *includes]


def translate(text: str, flags: Sequence[str], binary: bool) -> bytes:
    """Machine code of a program, or PTX."""
    library, program = libraries(), c_void_p()
    check(library.nvrtcCreateProgram(byref(program), text.encode(), b"loss.cu", 0, None, None), "a program")
    try:
        encoded = [flag.encode() for flag in flags]
        code = library.nvrtcCompileProgram(program, len(encoded), (c_char_p * len(encoded))(*encoded))
        check(code, "compiling", log_of(program) if code else "")
        kind, size = "CUBIN" if binary else "PTX", c_size_t()
        check(library[f"nvrtcGet{kind}Size"](program, byref(size)), "its result")
        content = ctypes.create_string_buffer(size.value)
        check(library[f"nvrtcGet{kind}"](program, content), "its result")
        return content.raw
    finally:
        library.nvrtcDestroyProgram(byref(program))


def log_of(program: c_void_p) -> str:
    size = c_size_t()
    libraries().nvrtcGetProgramLogSize(program, byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    libraries().nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace")


def compiled(room: str, loss: str, threads: int, capability: tuple[int, int]) -> bytes:
    """The kernels of a loss for devices of a compute capability, from disk where they are there.

    Raises:
        BuildError: With the reason, where they cannot be had.
    """
    architecture, binary = target(capability)
    text, flags = source(room, loss, threads), options(room, architecture)
    digest = hashlib.sha256()
    for part in (headers(), text.encode(), *(flag.encode() for flag in flags if "path" not in flag)):
        digest.update(part + b"\0")
    digest.update(str(version()).encode())
    name = f"{room}-{architecture}-{digest.hexdigest()[:24]}.{'cubin' if binary else 'ptx'}"
    for place in (cache_folder, folder_at_home):
        try:
            path = own_path(place(), name)
        except (OSError, RuntimeError):  # RuntimeError: there is no home directory
            continue
        if path is not None:
            if is_whole(path):
                return path.read_bytes()[:-DIGEST]
            content = translate(text, flags, binary)
            keep(content, path)
            return content
    return translate(text, flags, binary)


def keep(content: bytes, path: Path) -> None:
    """Keep a result for the next process where that is possible."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            output = Path(folder) / path.name
            output.write_bytes(content)
            seal(output, path)
    except OSError:
        pass  # as where the disk is full: it is compiled again the next time
