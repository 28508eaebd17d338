"""Group mmcv's operator sources into a few translation units.

mmcv compiles 77 small files, 136 with CUDA, and each of them parses all of torch's headers: that, not the
operators, is what a build spends its time on. Here the files are included, unchanged, by a few files that take their
place where mmcv's `setup.py` looks for sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CSRC = Path("mmcv/ops/csrc")
HELPER = "pytorch_cpp_helper.hpp"
BINDINGS = "torch/extension.h"  # the largest of torch's headers; the one file with it takes as long as all others
ASIDE = ".inc"  # the suffix that hides a grouped file from setup.py; its folder stays, for its own includes
CU_FILES = 12  # in one unit: several units keep several cores busy, and each compiler within 3 GB

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
MACRO = re.compile(r"^[ \t]*#[ \t]*(define|undef)[ \t]+(\w+)((?:\\\n|[^\n])*)", re.MULTILINE)
NAMESPACE = re.compile(r"^using namespace (?!at;)([\w:]+);", re.MULTILINE)  # the helper opens `at` in every unit
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# clang-format, which mmcv uses, begins a definition in the first column and everything within it further right.
TYPE = re.compile(r"^(?:static |inline )*(?:struct|class|enum|union)(?: class)? (\w+)[^;(]*?\{", re.MULTILINE)
FUNCTION = re.compile(r"^(?![\s#}/])[^\n;={}()]*?[\s*&](\w+)\([^;{}]*?\)[\w\s:,()]*?\{", re.MULTILINE)
CONSTANT = re.compile(
    r"^(?:static |const |constexpr |inline |__\w+__ |typedef )+[^;{}()]*?\b(\w+)(?:\[[^\n]*)?\s*[=;]", re.M
)


@dataclass
class Names:
    """What a file says, with the mmcv headers that it includes."""

    defined: dict[str, str] = field(default_factory=dict)  # name to the file that defines it, or the macro's text
    macros: set[str] = field(default_factory=set)  # of these, macros that are still defined at the end
    used: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)  # namespaces whose names are visible to what follows

    def add(self, other: Names) -> None:
        self.defined.update(other.defined)
        self.macros |= other.macros
        self.used |= other.used
        self.opened |= other.opened

    def clashes(self, other: Names) -> bool:
        """Whether the two cannot stand in one unit, or could change each other's meaning there."""
        return (
            any(other.defined.get(name, what) != what for name, what in self.defined.items())
            or not other.used.isdisjoint(self.macros - other.macros)
            or not self.used.isdisjoint(other.macros - self.macros)
            or bool(self.opened and other.opened and self.opened != other.opened)
        )


@dataclass
class Unit:
    """Files that are compiled as one."""

    files: list[tuple[Path, Names]] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def add(self, file: Path, names: Names) -> None:
        self.files.append((file, names))
        self.names.add(names)

    def text(self, folder: Path) -> str:
        """The unit's source, for a file in `folder`; what leaves macros or open namespaces behind comes last."""
        ordered = sorted(self.files, key=lambda entry: (bool(entry[1].opened), bool(entry[1].macros)))
        paths = [f"{file.relative_to(folder)}{ASIDE}" for file, _ in ordered]
        return "\n".join([f'#include "{HELPER}"', *(f'#include "{path}"' for path in paths), ""])


def regroup(source: Path) -> dict[str, int]:
    """Group the sources in an unpacked mmcv.

    Args:
        source: The folder that holds mmcv's `setup.py`.

    Returns:
        Name of each new file, with the number of files that it includes.

    Raises:
        ValueError: The folder does not hold mmcv's sources as they are known here.
    """
    csrc = source / CSRC
    pytorch = csrc / "pytorch"
    cpp = [*sorted(pytorch.glob("*.cpp")), *sorted((pytorch / "cpu").glob("*.cpp"))]
    cpp = [file for file in cpp if BINDINGS not in INCLUDE.findall(file.read_text())]
    if not cpp or not (csrc / "common" / HELPER).is_file():
        raise ValueError(f"{csrc} does not hold mmcv's operators (pytorch/*.cpp and common/{HELPER})")
    cuda = sorted((pytorch / "cuda").glob("*.cu"))
    made = {}
    for folder, files, suffix, limit in ((pytorch, cpp, ".cpp", len(cpp)), (pytorch / "cuda", cuda, ".cu", CU_FILES)):
        for number, unit in enumerate(group(csrc, files, limit), 1):
            if len(unit.files) == 1:
                continue
            name = folder / f"unit_{number}{suffix}"
            text = unit.text(folder)
            for file, _ in unit.files:
                file.rename(f"{file}{ASIDE}")
            name.write_text(text)
            made[str(name.relative_to(csrc))] = len(unit.files)
    return made


def group(csrc: Path, files: list[Path], limit: int) -> list[Unit]:
    """Each file in the first unit that has room and that it does not clash with."""
    units: list[Unit] = []
    for file in files:
        names = Names()
        for path in included(csrc, file, set()):
            names.add(read_names(path))
        for unit in units:
            if len(unit.files) < limit and not unit.names.clashes(names):
                break
        else:
            unit = Unit()
            units.append(unit)
        unit.add(file, names)
    return units


def included(csrc: Path, file: Path, seen: set[Path]) -> Iterator[Path]:
    """A file, and mmcv's own headers that it includes, directly or not."""
    file = file.resolve()
    if file in seen:
        return
    seen.add(file)
    for name in INCLUDE.findall(file.read_text()):
        if name.startswith("parrots_"):  # of another framework, behind an #ifdef
            continue
        for folder in (file.parent, csrc / "common", csrc / "common" / "cuda", csrc / "pytorch"):
            if (folder / name).is_file():
                yield from included(csrc, folder / name, seen)
                break
    yield file


def read_names(file: Path) -> Names:
    text = COMMENT.sub("", file.read_text())
    macros = {name: body.split() if kind == "define" else None for kind, name, body in MACRO.findall(text)}
    left = {name: " ".join(body) for name, body in macros.items() if body is not None}
    defined = {name: str(file) for pattern in (TYPE, FUNCTION, CONSTANT) for name in pattern.findall(text)}
    used = set(re.findall(r"\b[A-Za-z_]\w*\b", text))
    return Names({**defined, **left}, set(left), used, set(NAMESPACE.findall(text)))
