"""By hand: a comparison killed at random moments and started again, beside one that nothing interrupted.

    python tests/tools/kill_comparison.py FOLDER [--kills 5] [--seed 0] -- CONFIG [options of tools/compare.py]

Both are in the folder; the exit code is 1 where a figure differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def figures(folder: Path) -> list[dict[str, Any]]:
    """All that was measured, without time, memory and origin."""
    found = []
    for run in json.loads((folder / "results.json").read_text())["runs"]:
        kept = {name: run[name] for name in ("variant", "seed", "status", "metrics", "per_class", "errors")}
        kept["curve"] = [{name: entry[name] for name in entry if name != "seconds"} for entry in run["curve"]]
        found.append(kept)
    return found


def start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "tools" / "compare.py"), *arguments, "--work-dir", str(folder)]
    with open(f"{folder}.log", "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def workers(folder: Path) -> list[int]:
    """The processes that train in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "comparison.worker" in words and str(folder) in words:
            found.append(int(path.parent.name))
    return found


def progress(folder: Path) -> str:
    """How far each run is: iterations, or done."""
    said = []
    for run in sorted((folder / "runs").glob("*/seed*")):
        file = run / "progress.json"
        iteration = json.loads(file.read_text() or "{}").get("iter", 0) if file.exists() else 0
        state = "done" if (run / "result.json").exists() else f"iteration {iteration}"
        said.append(f"{run.parent.name} {run.name}: {state}")
    return ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("arguments", nargs="+")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    whole, killed = args.folder.absolute() / "whole", args.folder.absolute() / "killed"

    began = time.monotonic()
    assert start(args.arguments, whole).wait() == 0, f"see {whole}.log"
    length = time.monotonic() - began
    print(f"uninterrupted: {length:.0f} s", flush=True)

    moments = random.Random(args.seed)
    done = 0
    while done < args.kills:
        process = start(args.arguments, killed)
        # the first seconds of a call only import: a moment in there would interrupt nothing
        if not wait_for_worker(process, killed):
            break
        time.sleep(moments.uniform(0, length / args.kills))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        done += 1
        killed_at = time.monotonic()
        while left := workers(killed):
            assert time.monotonic() - killed_at < 30, f"processes {left} outlive the comparison"
            time.sleep(0.05)
        print(
            f"kill {done}: {progress(killed)}; last worker gone after {time.monotonic() - killed_at:.1f} s", flush=True
        )
    assert start(args.arguments, killed).wait() == 0, f"see {killed}.log"
    same = figures(whole) == figures(killed)
    print(f"{done} kills; the figures of {len(figures(whole))} runs are {'the same' if same else 'NOT the same'}")
    sys.exit(0 if same and done == args.kills else 1)


def wait_for_worker(process: subprocess.Popen[bytes], folder: Path) -> bool:
    while process.poll() is None:
        if workers(folder):
            return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    main()
