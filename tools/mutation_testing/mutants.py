"""The mutants that mutmut makes, in memory: a module that is imported has them all, see :mod:`.switch`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents

from .switch import Mutant, plain

__all__ = ["Mutants", "difference", "mutants_of"]

THEIRS, OURS = "from mutmut.mutation.trampoline import ", f"from {__package__}.switch import "


@cache
def mutated(module: str, code: str) -> MutatedFile:
    """A module whose functions have their mutants beside them."""
    return mutate_file_contents(module, code)


def mutants_of(module: str, code: str) -> list[Mutant]:
    """All mutants of a module's functions."""
    names = mutated(module, code).mutant_names
    return [Mutant(module, plain(name), int(name.rpartition("_")[2])) for name in names]


def difference(mutant: Mutant, code: str) -> str:
    """The lines that a mutant changes."""
    file = mutated(mutant.module, code)
    lines = file.code.splitlines()

    def body(name: str) -> list[str]:
        span = file.line_span_by_function_name[name]
        text = "\n".join(lines[span.start - 1 : span.end])
        return text.replace(name, mutant.function.rpartition(".")[2]).splitlines()

    original = mutant.name.rpartition("_")[0] + "_orig"
    shown = difflib.unified_diff(body(original), body(mutant.name), n=1, lineterm="")
    return "\n".join(line for line in shown if not line.startswith(("---", "+++", "@@")))


class Loader(SourceFileLoader):
    """Loads a module with its mutants; never from or to a cache of compiled code."""

    def get_code(self, fullname: str) -> CodeType:
        code = mutated(fullname, Path(self.path).read_text()).code
        return compile(code.replace(THEIRS, OURS, 1), self.path, "exec", dont_inherit=True)


class Mutants(MetaPathFinder):
    """To be first on ``sys.meta_path`` before any of the modules is imported."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.files:
            return None
        file = self.files[fullname]
        inside = [str(file.parent)] if file.stem == "__init__" else None
        return spec_from_file_location(
            fullname, file, loader=Loader(fullname, str(file)), submodule_search_locations=inside
        )
