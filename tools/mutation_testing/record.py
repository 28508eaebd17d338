"""What is known of each function, docs/mutation.json, and the table that the page makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .plugin import CRASHED, SURVIVED, TIMED_OUT

START, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADER = ("file", "mutants", "killed", "survive", "share", "tried at")


@dataclass
class Verdict:
    """What became of the mutants of a function.

    ``source`` is the digest of the function, ``commit`` where all its mutants were tried, and ``again`` where those
    that had survived were.
    """

    source: str
    commit: str
    mutants: int
    survivors: list[int] = field(default_factory=list)
    crashed: int = 0
    timed_out: int = 0
    again: str = ""

    @classmethod
    def of(cls, source: str, commit: str, verdicts: Mapping[int, str]) -> Verdict:
        survivors = [number for number, verdict in verdicts.items() if verdict == SURVIVED]
        ends = list(verdicts.values())
        return cls(source, commit, len(ends), survivors, ends.count(CRASHED), ends.count(TIMED_OUT))

    def tried_again(self, commit: str, verdicts: Mapping[int, str]) -> None:
        """Keep of the survivors those that survive the tests of now."""
        self.survivors = [number for number in self.survivors if verdicts[number] == SURVIVED]
        self.again = commit
        ends = list(verdicts.values())
        self.crashed += ends.count(CRASHED)
        self.timed_out += ends.count(TIMED_OUT)


class Record:
    """The verdicts in a file, by module and function; each is written as it comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known = json.loads(path.read_text()) if path.exists() else {}
        self.modules = {
            module: {name: Verdict(**verdict) for name, verdict in functions.items()}
            for module, functions in known.items()
        }

    def get(self, module: str, function: str, source: str) -> Verdict | None:
        """The verdict of a function, where it was of the same source."""
        verdict = self.modules.get(module, {}).get(function)
        return verdict if verdict and verdict.source == source else None

    def put(self, module: str, function: str, verdict: Verdict) -> None:
        self.modules.setdefault(module, {})[function] = verdict
        self.save()

    def keep(self, present: Mapping[str, Iterable[str]]) -> None:
        """Forget functions that there are no more."""
        self.modules = {
            module: {name: self.modules[module][name] for name in names if name in self.modules[module]}
            for module, names in present.items()
            if module in self.modules
        }
        self.save()

    def save(self) -> None:
        lines = []
        for module, functions in sorted(self.modules.items()):
            rows = (f"  {json.dumps(name)}: {json.dumps(shown(verdict))}" for name, verdict in functions.items())
            lines.append(f" {json.dumps(module)}: {{\n" + ",\n".join(rows) + "\n }")
        written = self.path.with_suffix(".new")
        written.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        written.replace(self.path)

    def table(self) -> str:
        """A row per file, and the sum."""
        rows = [(module, list(functions.values())) for module, functions in sorted(self.modules.items())]
        every = [verdict for _, verdicts in rows for verdict in verdicts]
        lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
        for name, verdicts in [*rows, ("all", every)]:
            mutants, left = sum(v.mutants for v in verdicts), sum(len(v.survivors) for v in verdicts)
            if mutants:
                commits = ", ".join(sorted({v.commit for v in verdicts if v.mutants})) if name != "all" else ""
                share = f"{100 * (mutants - left) / mutants:.1f} %"
                lines.append(f"| {shown_module(name)} | {mutants} | {mutants - left} | {left} | {share} | {commits} |")
        return "\n".join(lines)

    def write_page(self, page: Path) -> None:
        before, _, rest = page.read_text().partition(START)
        page.write_text(f"{before}{START}\n{self.table()}\n{END}{rest.partition(END)[2]}")


def shown(verdict: Verdict) -> dict[str, object]:
    return {name: value for name, value in asdict(verdict).items() if value}


def shown_module(module: str) -> str:
    path = module.removeprefix("mmdet_losses.").replace(".", "/")
    return f"{path}/\\_\\_init\\_\\_.py" if path == "kernels" else path if path == "all" else f"{path}.py"
