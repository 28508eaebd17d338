"""A world for tests of `tools/run`: the real script, with a stand-in for Python, pip, torch and the compiler."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "run"

# Answers what the tool asks of an interpreter; FAKE_* variables say how, and every call is written to a file.
FAKE_PYTHON = """\
#!{python} -IS
import json, os, pathlib, sys, tarfile, time, zipfile

args, home = sys.argv[1:], pathlib.Path(os.environ["FAKE_HOME"])
with open(home / "calls", "a") as calls:
    calls.write(json.dumps({{"args": args, "environ": dict(os.environ)}}) + "\\n")
if args[0] == "-c" and "importlib.util" in args[1]:
    version = json.loads(os.environ.get("FAKE_VERSION", "[3, 11, 7]"))
    print(json.dumps({{"version": version, "executable": sys.argv[0], "include": "/", "venv": True}}))
elif args[0] == "-c" and "torch.version.cuda" in args[1]:
    if os.environ.get("FAKE_TORCH") == "no torch":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    facts = json.loads(os.environ.get("FAKE_TORCH", '{{"version": "2.13.0+cpu", "cuda": null, "archs": []}}'))
    print(json.dumps({{"site": str(home / "site"), **facts}}))
elif args[:2] == ["-m", "venv"]:
    folder = pathlib.Path(args[2], "bin")
    folder.mkdir()
    (folder / "python").symlink_to(os.path.realpath(sys.argv[0]))
elif args[:3] == ["-m", "pip", "download"]:
    folder = pathlib.Path(args[args.index("--dest") + 1])
    folder.mkdir()
    with tarfile.open(folder / "mmcv-2.1.0.tar.gz", "w:gz") as sdist:
        sdist.add(home / "mmcv-2.1.0", "mmcv-2.1.0")
elif args[:3] == ["-m", "pip", "wheel"]:
    files = [str(path.relative_to(args[-1])) for path in pathlib.Path(args[-1]).rglob("*.cpp")]
    with open(home / "compiled", "a") as compiled:
        compiled.write(json.dumps(sorted(files)) + "\\n")
    built = pathlib.Path(args[-1], "build")
    with open(home / "objects", "a") as objects:
        objects.write(json.dumps(sorted(path.name for path in built.rglob("*.*o"))) + "\\n")
    mode = os.environ.get("FAKE_BUILD", "ok")
    if mode.startswith("grouped: "):
        in_units = "unit_" in " ".join(files)
        mode = mode.removeprefix("grouped: ") if in_units else os.environ.get("FAKE_PLAIN_BUILD", "ok")
    folder = pathlib.Path(args[args.index("--wheel-dir") + 1])
    folder.mkdir()
    if mode == "hang":
        (folder / "mmcv-2.1.0-half.whl").write_bytes(b"half")
        for name in ("temp.linux/finished.o", "lib.linux/mmcv/half.so"):
            (built / name).parent.mkdir(parents=True)
            (built / name).touch()
        (home / "building").write_text(str(os.getpid()))
        time.sleep(300)
    if mode == "orphan":
        import subprocess
        child = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True)
        (home / "building").write_text(str(child.pid))
        time.sleep(300)
    if mode != "ok":
        sys.exit(mode)
    with zipfile.ZipFile(folder / "mmcv-2.1.0-fake.whl", "w") as wheel:
        wheel.writestr("mmcv/__init__.py", "")
elif args[0] == "-c" and "nms" in args[1]:
    if "FAKE_USE_PROBLEM" in os.environ and len((home / "compiled").read_text().splitlines()) == 1:
        sys.exit(os.environ["FAKE_USE_PROBLEM"])
elif args[:3] == ["-m", "pip", "install"]:
    if "torch==2.13.0" in args and "FAKE_TORCH_PROBLEM" in os.environ:
        if os.environ["FAKE_TORCH_PROBLEM"] == "hang":
            (home / "installing").touch()
            time.sleep(300)
        sys.exit(os.environ["FAKE_TORCH_PROBLEM"])
    if "--report" in args:
        needs = json.loads(os.environ.get("FAKE_TORCH_NEEDS", '["sympy"]'))
        report = {{"install": [{{"metadata": {{"name": "torch", "requires_dist": needs}}}}]}}
        pathlib.Path(args[args.index("--report") + 1]).write_text(json.dumps(report))
    if "--editable" in args and "FAKE_EDITABLE_PROBLEM" in os.environ:
        sys.exit(os.environ["FAKE_EDITABLE_PROBLEM"])
    if args[-1].endswith(".whl"):
        zipfile.ZipFile(args[-1])
"""


class Tool:
    """Runs the tool in a world of its own."""

    def __init__(self, folder: Path):
        self.home = folder
        self.script = TOOL
        self.venv = folder / "env"
        self.marker = self.venv / ".made-by-mmdet-losses.json"
        self.wheels = folder / "cache" / "wheels"
        self.log = folder / "env.log"
        (folder / "bin").mkdir()
        write_sources(folder / "mmcv-2.1.0")
        self.python = self.program("python3.11", FAKE_PYTHON.format(python=sys.executable))
        self.program("c++", "#!/bin/sh\nexit 0\n")
        self.environ = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder),
            "FAKE_HOME": str(folder),
            "MMDET_LOSSES_VENV": str(self.venv),
            "MMDET_LOSSES_CACHE": str(folder / "cache"),
            "MMDET_LOSSES_PYTHON": str(self.python),
        }

    def program(self, name: str, text: str) -> Path:
        path = self.home / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(self, *command: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.script, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environ, **environ},
            # A background job of a shell has SIGINT ignored, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, **environ)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self, *beginning: str) -> list[dict]:
        """Calls of the interpreter, those that begin so."""
        file = self.home / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call["args"][: len(beginning)] == list(beginning)]

    def cached(self) -> list[Path]:
        return sorted(path for path in self.wheels.glob("*/*") if path.is_file())


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not happen within 2 minutes"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# A small mmcv: like the real one, two files define the same helper, and one file has Python's bindings.
SOURCES = {
    "common/pytorch_cpp_helper.hpp": "#include <vector>\n",
    "pytorch/pybind.cpp": "#include <torch/extension.h>\n",
    "pytorch/nms.cpp": "int nms() {\n  return 1;\n}\n",
    "pytorch/cpu/nms.cpp": "int nms_cpu() {\n  return 1;\n}\n",
    "pytorch/cpu/roi_align.cpp": "struct PreCalc {\n  int x;\n};\n",
    "pytorch/cpu/roi_align_rotated.cpp": "struct PreCalc {\n  int y;\n};\n",
}


def write_sources(folder: Path, sources: dict[str, str] = SOURCES) -> None:
    for name, text in sources.items():
        path = folder / "mmcv" / "ops" / "csrc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
