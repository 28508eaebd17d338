"""Let a CUDA build of torch be imported on a machine without CUDA's libraries.

Old releases of torch have wheels for Linux on the package index that need 2 to 5 GB of CUDA libraries, of which a CPU
never calls one. In their place come shared objects of the same names that hold the functions torch asks for; each
returns 100, CUDA's code for "no device". torch itself is as published, but for operators of a GPU.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Library:
    """What a shared object asks of others, and what it holds.

    Attributes:
        needed: Names of the libraries that it is linked with.
        owners: Library of each symbol version, such as ``libcublas.so.12``, that it asks for.
        undefined: Symbols that it asks for, each with its version, or ''.
        defined: Symbols that it holds.
    """

    needed: frozenset[str]
    owners: dict[str, str]
    undefined: frozenset[tuple[str, str]]
    defined: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Library:
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-W", "-d", path))
        asked = output_of("readelf", "-W", "-V", path)
        names = output_of("nm", "-D", "--with-symbol-versions", path).splitlines()
        undefined = [line.split(" U ")[1].strip().partition("@") for line in names if " U " in line]
        defined = [line.split()[2] for line in names if len(line.split()) == 3]
        return cls(
            frozenset(needed),
            dict(owners_of(asked)),
            frozenset((symbol, version) for symbol, _, version in undefined),
            frozenset(name.partition("@")[0] for name in defined),
        )


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def owners_of(versions: str) -> Iterator[tuple[str, str]]:
    file = ""
    for line in versions.splitlines():
        if found := re.search(r" File: (\S+)", line):
            file = found[1]
        elif file and (found := re.search(r" Name: (\S+)", line)):
            yield found[1], file


def system_libraries() -> dict[str, Path]:
    """Return name and path of each library that the system's linker finds."""
    listed = re.findall(r"^\s+(\S+) \(.*\) => (.+)$", output_of("ldconfig", "-p"), re.MULTILINE)
    return {name: Path(path) for name, path in reversed(listed)}


def write(folder: Path) -> list[str]:
    """Put the libraries that torch lacks beside its own.

    Args:
        folder: ``site-packages/torch/lib``.

    Returns:
        Their names.
    """
    system = system_libraries()
    libraries = [Library.read(path) for path in sorted(folder.glob("*.so*"))]
    needed = frozenset().union(*(library.needed for library in libraries))
    absent = sorted(name for name in needed if name not in system and not (folder / name).exists())
    if not absent:
        return []
    found = [*libraries, *(Library.read(system[name]) for name in needed if name in system)]
    defined = frozenset().union(*(library.defined for library in found))
    symbols: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in absent}
    for library in libraries:
        for symbol, version in library.undefined:
            owner = library.owners.get(version)
            if owner in symbols:
                symbols[owner][version].add(symbol)
            elif not version and symbol not in defined and not re.match("_?Py", symbol):
                # without a version it may be in any library that torch loads
                symbols[absent[0]][""].add(symbol)
    for name in absent:
        compile_object(folder, name, symbols[name])
    return absent


def compile_object(folder: Path, name: str, symbols: dict[str, set[str]]) -> None:
    functions = sorted(set().union(*symbols.values()))
    source = "".join(f"int {function}(void) {{ return 100; }}\n" for function in functions)
    versions = "".join(
        f"{version} {{ global: {' '.join(f'{symbol};' for symbol in sorted(symbols[version]))} }};\n"
        for version in sorted(filter(None, symbols))
    )
    script = folder / f"{name}.map"
    script.write_text(versions)
    options = [f"-Wl,--version-script={script}"] if versions else []
    command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", "-x", "c", "-", f"-Wl,-soname,{name}", *options]
    subprocess.run([*command, "-o", folder / name], input=source, text=True, check=True)
    script.unlink()
