#!/usr/bin/env python
"""Mutation testing: change one thing at a time in mmdet_losses/functional and kernels, and count what no test notices.

Tries the mutants of every function that is not as docs/mutation.json knows it, prints the survivors, and keeps what
became of them there; a run that was interrupted goes on where it was. See docs/mutation.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")

from mutation_testing import sources
from tool_runtime.errors import ToolError, report_errors

try:
    from mutation_testing import mutants, plugin
    from mutation_testing.choice import Choice
    from mutation_testing.measured import Measured
    from mutation_testing.record import Record, Verdict
    from mutation_testing.switch import Mutant
except ModuleNotFoundError as error:
    if error.name != "mutmut":
        raise
    sys.exit("mutation.py: error: mutmut is missing: tools/run python -m pip install -e '.[mutation]'")

DOCS = sources.ROOT / "docs"
MEASURED = sources.ROOT / "work_dirs/mutation-tests.json"
TESTS = (
    "tests/losses",
    "tests/contract",
    "tests/yolo/test_yolo_check_values.py",
    "tests/yolo/test_yolo_contract.py",
    "tests/yolo/test_yolo_oracle.py",
    "tests/kernels/test_native.py",
    "tests/kernels/test_walk.py",
    "--ignore=tests/contract/test_compile.py",
    "-k",
    "not one_graph and not compile",
)
"""Those that run in this process: what torch.compile or another process runs has no mutants."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", action="append", type=Path, metavar="FILE", help="only this file; can be repeated")
    parser.add_argument("--since", metavar="COMMIT", help="functions that this commit does not have as they are")
    parser.add_argument("--all", action="store_true", help="all functions, but for those tried at this commit")
    parser.add_argument("--survivors", action="store_true", help="only mutants that are known to survive")
    parser.add_argument("--list", action="store_true", help="print what would be tried")
    parser.add_argument("--show", nargs=2, metavar=("FUNCTION", "NUMBER"), help="print a mutant's lines; needs --file")
    parser.add_argument("--write", action="store_true", help="write the table of docs/mutation.md, and try nothing")
    parser.add_argument("tests", nargs="*", metavar="-- TEST", help="other tests, and options of pytest")
    parser.add_argument("--budget", type=float, default=20.0, metavar="S", help="seconds of tests for a mutant (20)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--results", type=Path, default=DOCS / "mutation.json", metavar="FILE")
    parser.add_argument("--measured", type=Path, default=MEASURED, metavar="FILE", help="what is known of the tests")
    return parser


def chosen_files(given: list[Path] | None) -> list[Path]:
    files = sources.mutated_files()
    if given is None:
        return files
    wanted = [path.resolve().relative_to(sources.ROOT) for path in given]
    unknown = sorted(map(str, set(wanted) - set(files)))
    if unknown:
        raise ToolError(f"{', '.join(unknown)}: not mutated; the files are {', '.join(map(str, files))}.")
    return wanted


def main() -> int:
    args = build_parser().parse_args()
    if args.budget <= 0 or args.jobs < 1:
        raise ToolError("--budget is above 0, and --jobs is 1 or more.")
    os.chdir(sources.ROOT)
    files = {sources.module_of(path): sources.ROOT / path for path in chosen_files(args.file)}
    codes = {module: path.read_text() for module, path in files.items()}
    record = Record(args.results.resolve())
    if args.show:
        if len(files) != 1:
            raise ToolError("--show needs one --file.")
        ((module, code),) = codes.items()
        print(mutants.difference(Mutant(module, args.show[0], int(args.show[1])), code))
        return 0
    if args.write:
        record.write_page(DOCS / "mutation.md")
        return 0
    commit = sources.commit()
    present = {module: sources.digests(code) for module, code in codes.items()}
    changed = sources.changed_since(args.since, present) if args.since else None
    choice = Choice(commit, args.all, changed, args.survivors)
    every = [mutant for module, code in codes.items() for mutant in mutants.mutants_of(module, code)]
    known = {
        (module, name): record.get(module, name, digest)
        for module, found in present.items()
        for name, digest in found.items()
    }
    wanted = [mutant for mutant in every if choice.takes(mutant, known[mutant[:2]])]
    functions = Counter(mutant[:2] for mutant in wanted)
    if args.list or not wanted:
        for (module, function), count in functions.items():
            print(f"{module} {function}: {count}")
        print(f"{len(wanted)} mutants to try")
        return 0

    def done(module: str, function: str, verdicts: dict[int, str]) -> None:
        verdict = known[module, function]
        if args.survivors and verdict:
            verdict.tried_again(commit, verdicts)
        else:
            verdict = Verdict.of(present[module][function], commit, verdicts)
        record.put(module, function, verdict)

    modules = {sources.module_of(path): sources.ROOT / path for path in sources.mutated_files()}
    sys.meta_path.insert(0, mutants.Mutants(modules))
    measured = Measured(args.measured.resolve(), sources.ROOT, sources.ROOT / sources.PACKAGE)
    code = plugin.run(args.tests or TESTS, plugin.Mutation(wanted, done, measured, budget=args.budget, jobs=args.jobs))
    for module, function in functions:
        verdict = record.get(module, function, present[module][function])
        for number in verdict.survivors if verdict else ():
            print(f"{module} {function} {number} survives")
    return int(code)


if __name__ == "__main__":
    with report_errors("mutation.py"):
        raise SystemExit(main())
