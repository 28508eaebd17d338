"""The runner of mutants: which functions have changed, what becomes of each mutant, and what the page says of them."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, TOOLS, environment
from mutation_testing import sources
from mutation_testing.choice import Choice
from mutation_testing.record import Record, Verdict
from mutation_testing.switch import Mutant, plain

CODE = '''
def twice(x: int) -> int:
    """Two times."""
    return 2 * x


class Sum:
    def of(self, values):
        return sum(values)
'''

# As mutmut writes it, with mutants by hand: one is noticed, one is not, one ends the process, and one never ends.
MODULE = """
import os
from mutation_testing.switch import wrap_in_trampoline as _mutmut_mutated, MutantDict

mutants_x_twice__mutmut: MutantDict = {}

@_mutmut_mutated(mutants_x_twice__mutmut)
def twice(x):
    return 2 * x

def x_twice__mutmut_orig(x):
    return 2 * x

def x_twice__mutmut_1(x):
    return 3 * x

def x_twice__mutmut_2(x):
    return x * 2

def x_twice__mutmut_3(x):
    os.abort()

def x_twice__mutmut_4(x):
    while True:
        x += 1

mutants_x_twice__mutmut['_mutmut_orig'] = x_twice__mutmut_orig
for number in range(1, 5):
    mutants_x_twice__mutmut[f'x_twice__mutmut_{number}'] = globals()[f'x_twice__mutmut_{number}']

mutants_xǁSumǁof__mutmut: MutantDict = {}

class Sum:
    @classmethod
    @_mutmut_mutated(mutants_xǁSumǁof__mutmut, is_classmethod = True)
    def of(cls, values):
        return sum(values)

    @classmethod
    def xǁSumǁof__mutmut_orig(cls, values):
        return sum(values)

    @classmethod
    def xǁSumǁof__mutmut_1(cls, values):
        return sum(None)

mutants_x_unused__mutmut: MutantDict = {}

@_mutmut_mutated(mutants_x_unused__mutmut)
def unused():
    return 1

def x_unused__mutmut_orig():
    return 1

def x_unused__mutmut_1():
    return 2

mutants_x_unused__mutmut['_mutmut_orig'] = x_unused__mutmut_orig
mutants_x_unused__mutmut['x_unused__mutmut_1'] = x_unused__mutmut_1
mutants_xǁSumǁof__mutmut['_mutmut_orig'] = Sum.xǁSumǁof__mutmut_orig
mutants_xǁSumǁof__mutmut['xǁSumǁof__mutmut_1'] = Sum.xǁSumǁof__mutmut_1
"""
TESTS = """
import pytest
from made_up import Sum, twice

def test_that_fails_anyway():
    assert twice(2) == 5

def test_zero():
    assert twice(0) == 0

def test_twice():
    assert twice(2) == 4

def test_sum():
    assert Sum.of([1, 2]) == 3

def test_message():
    with pytest.raises(TypeError, match=r"^twice\\(\\) got an unexpected"):
        twice(y=2)
"""
RUN = """
import json, sys
from pathlib import Path
from mutation_testing import plugin
from mutation_testing.measured import Measured
from mutation_testing.record import Record, Verdict
from mutation_testing.switch import Mutant

root = Path.cwd()
record = Record(root / "record.json")
mutants = [Mutant("made_up", name, number) for name, number in json.loads(sys.argv[1])]

def done(module, function, verdicts):
    record.put(module, function, Verdict.of("digest", "1234567", verdicts))
    print("verdicts", json.dumps([function, verdicts]))

measured = Measured(root / "measured.json", root, root)
plugin.run(["test_made_up.py", "-s"], plugin.Mutation(mutants, done, measured, jobs=2, patience=1))
"""


def run(folder: Path, *mutants: tuple[str, int]) -> tuple[dict[str, dict[str, str]], str]:
    """The verdicts of mutants of the made-up module, and what the runner says on the way."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(mutants)],
        cwd=folder,
        env={**environment(), "PYTHONPATH": f"{TOOLS}:{folder}"},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("verdicts ") for line in done.stdout.splitlines() if line.startswith("verdicts")]
    return dict(map(json.loads, lines)), done.stderr


def test_what_becomes_of_mutants(tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(MODULE)
    (tmp_path / "test_made_up.py").write_text(TESTS)
    found, said = run(tmp_path, *(("twice", number) for number in range(1, 5)), ("Sum.of", 1), ("unused", 1))
    assert found["twice"] == {"1": "killed", "2": "survived", "3": "crashed", "4": "timed out"}
    assert found["Sum.of"] == {"1": "killed"}
    assert found["unused"] == {"1": "survived"}
    assert "5 tests in" in said and "1 left out that fail without a mutant: test_made_up.py::test_that_fails" in said
    verdict = Record(tmp_path / "record.json").get("made_up", "twice", "digest")
    assert verdict == Verdict("digest", "1234567", 4, [2], crashed=1, timed_out=1)
    # what is known of the tests is not measured again, but for those in a file that changed
    _, said = run(tmp_path, ("Sum.of", 1))
    assert "tests in" not in said
    (tmp_path / "test_made_up.py").write_text(TESTS.replace("twice(2) == 5", "twice(2) == 4"))
    _, said = run(tmp_path, ("Sum.of", 1))
    assert "5 tests in" in said and "left out" not in said


def test_digest_of_what_a_function_does() -> None:
    digests = sources.digests(CODE)
    assert list(digests) == ["twice", "Sum.of"]
    other = (
        CODE.replace('"""Two times."""', "# doubled").replace("2 * x", "(2 *\n            x)").replace("\n\n\n", "\n")
    )
    assert sources.digests(other) == digests
    for old, new in (("2 * x", "3 * x"), ("-> int", "-> float"), ("(x: int)", "(x: int = 1)"), ("self, ", "")):
        changed = sources.digests(CODE.replace(old, new))
        assert sum(changed[name] != digests[name] for name in digests) == 1


def test_files_that_are_mutated_exist_and_are_not_the_list_of_names() -> None:
    files = sources.mutated_files()
    assert all((ROOT / path).is_file() for path in files)
    assert Path("mmdet_losses/functional/iou.py") in files and Path("mmdet_losses/kernels/plans.py") in files
    assert Path("mmdet_losses/functional/__init__.py") not in files
    assert sources.module_of(Path("mmdet_losses/kernels/__init__.py")) == "mmdet_losses.kernels"


def test_names_of_mutants_are_those_of_mutmut() -> None:
    for function, name in (("twice", "x_twice__mutmut_2"), ("Sum.of", "xǁSumǁof__mutmut_2"), ("_a", "x__a__mutmut_2")):
        assert Mutant("made_up", function, 2).name == name and plain(name) == function
    with pytest.raises(ValueError, match="no name of a mutant"):
        plain("twice")


def test_which_mutants_are_tried() -> None:
    mutant, known = Mutant("made_up", "twice", 1), Verdict("digest", "old", 4, [2])
    here = Verdict("digest", "new", 4, [1])
    assert Choice("new").takes(mutant, None) and not Choice("new").takes(mutant, known)
    assert Choice("new", everything=True).takes(mutant, known)
    assert not Choice("new", everything=True).takes(mutant, here)  # where an interrupted run goes on
    assert Choice("new", changed={mutant[:2]}).takes(mutant, known)
    assert not Choice("new", changed=set()).takes(mutant, None)
    assert Choice("new", survivors=True).takes(mutant, here)
    assert not any(Choice("new", survivors=True).takes(mutant, verdict) for verdict in (known, None))


def test_record_of_verdicts(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    record.put("mmdet_losses.functional.a", "f", Verdict.of("one", "old", {1: "killed", 2: "survived", 3: "survived"}))
    record.put("mmdet_losses.functional.a", "g", Verdict.of("two", "new", {1: "timed out", 2: "crashed"}))
    record = Record(record.path)
    assert record.get("mmdet_losses.functional.a", "f", "another") is None
    verdict = record.get("mmdet_losses.functional.a", "f", "one")
    verdict.tried_again("new", {2: "killed", 3: "survived"})
    assert verdict.survivors == [3] and verdict.again == "new"
    assert "| functional/a.py | 5 | 4 | 1 | 80.0 % | new, old |" in record.table()
    record.keep({"mmdet_losses.functional.a": ["g"]})
    assert Record(record.path).get("mmdet_losses.functional.a", "f", "one") is None


def argued(page: str) -> set[tuple[str, int]]:
    """Functions with the numbers of mutants behind them, as the page lists survivors: ```name` 1, 3 to 5 and 7``."""
    found = set()
    for name, numbers in re.findall(r"`([\w.]+)` (\d+(?:(?:, | and | to )\d+)*)", re.sub(r" \([^)]*\)", "", page)):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", numbers):
            found |= {(name, number) for number in range(int(first), int(last or first) + 1)}
    return found


def test_survivors_of_a_page() -> None:
    page = "| axis | iou `pair` 9 (why it is) and 30; `Sum.of` 1 to 3, 7 | same |"
    assert argued(page) == {("pair", 9), ("pair", 30), *(("Sum.of", number) for number in (1, 2, 3, 7))}


def test_the_page_has_the_figures_and_argues_every_survivor() -> None:
    page, record = (ROOT / "docs/mutation.md").read_text(), Record(ROOT / "docs/mutation.json")
    assert record.table() in page
    survivors = {
        (name, number)
        for functions in record.modules.values()
        for name, verdict in functions.items()
        for number in verdict.survivors
    }
    assert argued(page.partition("## Survivors")[2]) == survivors


def test_mutants_are_those_of_mutmut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mutmut", reason="only in an environment with the extra 'mutation'")
    from mutation_testing import mutants, switch

    file = tmp_path / "made_up_for_mutmut.py"
    file.write_text(CODE)
    found = mutants.mutants_of("made_up_for_mutmut", CODE)
    assert {mutant.function for mutant in found} == {"twice", "Sum.of"}
    assert "+    return 3 * x" in {line for mutant in found for line in mutants.difference(mutant, CODE).splitlines()}
    monkeypatch.setattr(sys, "meta_path", [mutants.Mutants({"made_up_for_mutmut": file}), *sys.meta_path])
    module = importlib.import_module("made_up_for_mutmut")
    assert module.twice(5) == 10
    for mutant in found:
        monkeypatch.setattr(switch, "chosen", mutant)
        if mutant.function == "twice":
            assert module.twice(5) in (15, 2 / 5)
