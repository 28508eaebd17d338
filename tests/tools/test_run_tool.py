"""`tools/run` as a user meets it: the real script, with a stand-in for Python, pip, torch and the compiler."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tool_world import ROOT, Tool, alive, wait_for


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


def test_makes_the_environment_once_then_only_runs(tool: Tool):
    first = tool.run("sh", "-c", 'echo "$VIRTUAL_ENV"; command -v python; exit 7')
    assert first.returncode == 7, first.stderr
    assert first.stdout.split() == [str(tool.venv), str(tool.venv / "bin" / "python")]
    assert "[1/6]" in first.stderr and "[6/6]" in first.stderr and str(tool.log) in first.stderr
    assert re.search(r"-m pip install .*torch==2\.13\.0\n", tool.log.read_text())

    before = len(tool.calls())
    second = tool.run("sh", "-c", "echo again")
    assert (second.returncode, second.stdout, second.stderr) == (0, "again\n", "")
    assert len(tool.calls()) == before


def test_environment_variables(tool: Tool):
    leaks = {"PYTHONPATH": "/elsewhere", "PIP_TARGET": "/elsewhere", "PIP_CONSTRAINT": "/elsewhere"}
    result = tool.run("sh", "-c", 'echo "${PYTHONPATH-none} $KEPT"', KEPT="kept", **leaks)
    assert result.stdout == "none kept\n"
    for call in tool.calls("-m", "pip"):
        assert not leaks.keys() & call["environ"].keys()
        assert call["environ"]["PIP_USER"] == "0" and call["environ"]["KEPT"] == "kept"


def test_pip_is_never_asked_for_a_second_opencv_or_a_cached_mmcv(tool: Tool):
    assert tool.run("true").returncode == 0
    installed = [arg for call in tool.calls("-m", "pip", "install") for arg in call["args"]]
    assert [arg for arg in installed if arg.startswith("opencv")] == ["opencv-python-headless==5.0.0.93"]
    (download,) = tool.calls("-m", "pip", "download")
    assert download["args"][-1] == "mmcv==2.1.0" and "--no-binary mmcv --dest" in " ".join(download["args"])
    (build,) = tool.calls("-m", "pip", "wheel")
    assert "--no-build-isolation" in build["args"] and "--no-deps" in build["args"]
    assert Path(build["args"][-1]).is_relative_to(tool.wheels)  # a folder: no cache or index can answer for it
    assert build["environ"]["MMCV_WITH_OPS"] == "1"
    assert 1 <= int(build["environ"]["MAX_JOBS"]) <= len(os.sched_getaffinity(0))
    assert tool.run("true", MMDET_LOSSES_VENV=str(tool.home / "b"), MAX_JOBS="3", CXX="c++").returncode == 0


def test_exit_codes_of_the_command(tool: Tool):
    assert tool.run("true").returncode == 0
    assert tool.run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    missing = tool.run("no-such-command")
    assert missing.returncode == 127 and "`no-such-command` was not found" in missing.stderr
    refused = tool.run("/etc/passwd")
    assert refused.returncode == 126 and "`/etc/passwd` cannot be run" in refused.stderr
    # Python ignores SIGPIPE; the command must not inherit that.
    assert tool.run("sh", "-c", "kill -PIPE $$; echo survived").stdout == ""


def test_signals_reach_the_command(tool: Tool):
    assert tool.run("true").returncode == 0
    process = tool.start("sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 9


def test_without_a_command_it_says_how_to_use_it(tool: Tool):
    usage = tool.run()
    assert usage.returncode == 2 and usage.stderr.startswith("usage: tools/run COMMAND")
    assert tool.run("--help").stdout == usage.stderr
    assert not tool.calls()


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_what_others_made_is_left_alone(tool: Tool, kind: str):
    if kind == "folder":
        tool.venv.mkdir()
        (tool.venv / "pyvenv.cfg").write_text("mine")
    elif kind == "file":
        tool.venv.write_text("mine")
    else:
        (tool.home / "elsewhere").write_text("mine")
        tool.venv.symlink_to(tool.home / "elsewhere")
    before = sorted(tool.home.rglob("*"))
    result = tool.run("true")
    assert result.returncode == 125
    assert "was not made by this tool" in result.stderr and "MMDET_LOSSES_VENV" in result.stderr
    assert sorted(tool.home.rglob("*")) == before and not tool.calls()


def test_an_empty_folder_is_taken(tool: Tool):
    tool.venv.mkdir()
    assert tool.run("true").returncode == 0


def test_unsupported_python_stops_before_anything_is_installed(tool: Tool):
    result = tool.run("true", FAKE_VERSION="[3, 13, 0]")
    assert result.returncode == 125
    assert "Python 3.10, 3.11 or 3.12 is needed" in result.stderr and "only 3.13" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not tool.venv.exists() and not tool.calls("-m")


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from environment import interpreter

    return interpreter


def test_the_search_passes_over_interpreters_that_do_not_fit(tool: Tool, interpreter, monkeypatch):
    answer = '#!/bin/sh\necho \'{"version": [%s], "executable": "\'$0\'", "venv": %s}\'\n'
    running = tool.program("running", answer % ("3, 13, 0", "true"))
    tool.program("python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    tool.program("python3.11", answer % ("3, 11, 2", "false"))
    tool.program("python3.10", answer % ("3, 10, 1", "true"))
    monkeypatch.setattr(sys, "executable", str(running))
    monkeypatch.setenv("PATH", str(tool.home / "bin") + ":/bin")
    monkeypatch.delenv("MMDET_LOSSES_PYTHON", raising=False)
    assert interpreter.find()[0]["version"] == [3, 10, 1]

    (tool.home / "bin" / "python3.10").unlink()
    facts, reason = interpreter.find()
    assert facts is None and "python3.11 has no `venv` module" in reason and "python3.11-venv" in reason

    (tool.home / "bin" / "python3.11").unlink()
    monkeypatch.setenv("PATH", str(tool.home / "bin"))
    facts, reason = interpreter.find()
    assert facts is None and f"only 3.13 ({running})" in reason


@pytest.mark.parametrize("name", ["run", "environment/interpreter.py", "environment/__init__.py"])
def test_what_chooses_the_python_reads_on_any_python_3(name: str):
    tree = ast.parse((ROOT / "tools" / name).read_text(), feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.NamedExpr, ast.Match))]


def test_a_missing_compiler_stops_before_anything_is_installed(tool: Tool):
    result = tool.run("true", CXX="/nowhere/c++")
    assert result.returncode == 125 and result.stderr.count("\n") == 1
    assert "a C++ compiler is needed" in result.stderr and "apt install g++" in result.stderr
    assert not tool.venv.exists()


def test_a_compiler_that_fails_stops_before_anything_is_installed(tool: Tool):
    tool.program("c++", "#!/bin/sh\necho 'fatal error: Python.h: No such file or directory' >&2\nexit 1\n")
    result = tool.run("true")
    assert result.returncode == 125 and "Python.h: No such file" in result.stderr
    assert not tool.venv.exists()


def test_a_second_environment_takes_the_wheel_and_needs_no_compiler(tool: Tool):
    assert tool.run("true").returncode == 0
    other = {"MMDET_LOSSES_VENV": str(tool.home / "other"), "CXX": "/nowhere/c++"}
    result = tool.run("true", **other)
    assert result.returncode == 0, result.stderr
    assert len(tool.calls("-m", "pip", "wheel")) == 1
    assert len(tool.cached()) == 1 and "mmcv 2.1.0, from the cache" in result.stderr


def test_a_damaged_wheel_is_built_again(tool: Tool):
    assert tool.run("true").returncode == 0
    (wheel,) = tool.cached()
    wheel.write_bytes(wheel.read_bytes()[:40])
    result = tool.run("true", MMDET_LOSSES_VENV=str(tool.home / "other"))
    assert result.returncode == 0 and "it is built again" in result.stderr
    assert len(tool.calls("-m", "pip", "wheel")) == 2
    assert tool.cached() == [wheel] and zipfile.is_zipfile(wheel)


def forge(tool: Tool) -> Path:
    """Put another wheel, which would be installed, in the place of the cached one."""
    (wheel,) = tool.cached()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mmcv/forged.py", "")
    return wheel


def installed_wheels(tool: Tool) -> list[str]:
    return [call["args"][-1] for call in tool.calls("-m", "pip", "install") if call["args"][-1].endswith(".whl")]


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_wheel_that_others_can_write_is_not_installed(tool: Tool, mode: int):
    assert tool.run("true").returncode == 0
    wheel = forge(tool)
    wheel.chmod(mode)
    result = tool.run("true", MMDET_LOSSES_VENV=str(tool.home / "other"))
    assert result.returncode == 0
    (said,) = [line for line in result.stderr.splitlines() if "will not be installed" in line]
    assert f"{wheel} will not be installed, since others can write {wheel} " in said and "MMDET_LOSSES_CACHE" in said
    assert str(wheel) not in installed_wheels(tool)
    assert zipfile.ZipFile(wheel).namelist() == ["mmcv/__init__.py"] and not wheel.stat().st_mode & 0o022


@pytest.mark.parametrize("place", ["cache", "wheels", "folder"])
def test_a_wheel_in_a_folder_that_others_can_write_is_not_installed(tool: Tool, place: str):
    """It is built in the environment, which keeps nothing of it."""
    assert tool.run("true").returncode == 0
    wheel = forge(tool)
    folder = {"cache": tool.wheels.parent, "wheels": tool.wheels, "folder": wheel.parent}[place]
    folder.chmod(0o777)
    other = tool.home / "other"
    result = tool.run("true", MMDET_LOSSES_VENV=str(other))
    assert result.returncode == 0
    (said,) = [line for line in result.stderr.splitlines() if "will not be installed" in line]
    assert f"since others can write {folder} (drwxrwxrwx)" in said
    first, second = installed_wheels(tool)
    assert first.startswith(f"{tool.wheels}/") and second.startswith(f"{other}/")
    assert zipfile.ZipFile(wheel).namelist() == ["mmcv/forged.py"]
    assert not list(other.rglob("*.whl")) and not (other / "mmcv").exists()


def test_half_a_build_that_others_can_write_is_not_used(tool: Tool):
    process = tool.start("true", FAKE_BUILD="hang")
    building = tool.home / "building"
    wait_for(lambda: building.exists() and building.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    (scratch,) = tool.wheels.glob("*/build")
    assert scratch.stat().st_mode & 0o777 == 0o700
    scratch.chmod(0o777)
    assert tool.run("true").returncode == 0
    assert (tool.home / "objects").read_text() == "[]\n[]\n"


def test_nobody_else_can_write_the_cache(tool: Tool):
    before = os.umask(0)
    try:
        assert tool.run("true").returncode == 0
    finally:
        os.umask(before)
    (wheel,) = tool.cached()
    assert not any(path.stat().st_mode & 0o022 for path in (wheel, *wheel.parents[:3]))


def test_the_cache_key_holds_what_a_wheel_depends_on(tool: Tool):
    worlds = [
        {},
        {"FAKE_VERSION": "[3, 12, 1]"},
        {"FAKE_TORCH": '{"version": "2.13.0+cu130", "cuda": "13.0", "archs": []}'},
    ]
    for number, world in enumerate(worlds):
        assert tool.run("true", MMDET_LOSSES_VENV=str(tool.home / f"env{number}"), **world).returncode == 0
    names = [path.parent.name for path in tool.cached()]
    machine = os.uname().machine
    assert names == sorted(
        [
            f"mmcv2.1.0-py3.11-torch2.13.0+cpu-cpu-{machine}",
            f"mmcv2.1.0-py3.12-torch2.13.0+cpu-cpu-{machine}",
            f"mmcv2.1.0-py3.11-torch2.13.0+cu130-cpu-{machine}",
        ]
    )


GPU = '{"version": "2.13.0+cu130", "cuda": "13.0", "archs": ["9.0"]}'


@pytest.mark.parametrize("compiler", ["none", "12.4"])
def test_a_gpu_without_its_nvcc_gets_cpu_operators_and_a_word_about_them(tool: Tool, compiler: str):
    if compiler != "none":
        tool.program("nvcc", f"#!/bin/sh\necho 'Cuda compilation tools, release {compiler}, V{compiler}.1'\n")
    result = tool.run("true", FAKE_TORCH=GPU, CUDA_HOME=str(tool.home), FORCE_CUDA="1")
    assert result.returncode == 0, result.stderr
    assert "no nvcc of CUDA 13" in result.stderr and "NMS, so validation and test" in result.stderr
    (build,) = tool.calls("-m", "pip", "wheel")
    assert build["environ"]["CUDA_VISIBLE_DEVICES"] == "" and "FORCE_CUDA" not in build["environ"]
    assert "-cpu-" in tool.cached()[0].parent.name


def test_a_gpu_with_its_nvcc_gets_cuda_operators(tool: Tool):
    toolkit = tool.home / "cuda-13.0"
    for folder in (toolkit / "bin", toolkit / "include", tool.home / "site" / "nvidia" / "cu13" / "include"):
        folder.mkdir(parents=True)
    (toolkit / "bin" / "nvcc").touch()
    # A wrapper elsewhere on PATH: the toolkit's folder is what the compiler itself says it is.
    tool.program(
        "nvcc",
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo "Cuda compilation tools, release 13.0, V13.0.88"\n'
        f'else echo "#\\$ TOP={toolkit}/bin/.." >&2; fi\n',
    )
    result = tool.run("true", FAKE_TORCH=GPU, CPATH="/mine")
    assert result.returncode == 0, result.stderr
    (build,) = tool.calls("-m", "pip", "wheel")
    environ = build["environ"]
    assert environ["FORCE_CUDA"] == "1" and environ["TORCH_CUDA_ARCH_LIST"] == "9.0"
    assert environ["CUDA_HOME"] == str(toolkit) and "CUDA_VISIBLE_DEVICES" not in environ
    assert environ["CPATH"] == f"{toolkit}/include:{tool.home}/site/nvidia/cu13/include:/mine"
    assert "-cu13.0-9.0-" in tool.cached()[0].parent.name
    (check,) = (call["args"] for call in tool.calls("-c") if "nms" in call["args"][1])
    assert check[2:] == ["cpu", "cuda"]


def test_a_failed_build_leaves_nothing_and_says_where_to_look(tool: Tool):
    result = tool.run("true", FAKE_BUILD="nms.cpp: error: no\nninja: build stopped: subcommand failed.")
    assert result.returncode == 125
    assert "step 4 (mmcv 2.1.0" in result.stderr and "the build failed" in result.stderr
    assert str(tool.log) in result.stderr and "nms.cpp: error: no" in result.stderr
    assert not tool.venv.exists() and not tool.cached() and not list(tool.wheels.glob("*/build-*"))
    assert tool.run("true").returncode == 0


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full; free"),
        ("socket.gaierror: Temporary failure in name resolution", "cannot be reached; check the network"),
        ("urllib3: Max retries exceeded\nERROR: No matching distribution found for torch", "cannot be reached"),
        (
            "ERROR: No matching distribution found for torch==2.13.0",
            "the package index has no torch==2.13.0 for this Python",
        ),
        ("c++: fatal error: Killed signal terminated program cc1plus", "MAX_JOBS=1"),
        ("something else", "exit code 1; see the last lines of the log"),
    ],
)
def test_one_sentence_and_a_remedy_for_each_problem(tool: Tool, problem: str, sentence: str):
    result = tool.run("true", FAKE_TORCH_PROBLEM=problem)
    assert result.returncode == 125
    assert "step 2 (torch 2.13.0) failed" in result.stderr and sentence in result.stderr
    assert not tool.venv.exists()


def change_recipe(tool: Tool, **change: str) -> None:
    text = json.loads(tool.marker.read_text())
    text["stamp"].update(change)
    tool.marker.write_text(json.dumps(text))


@pytest.mark.parametrize("key", ["recipe", "python"])
def test_a_stale_environment_is_made_again(tool: Tool, key: str):
    assert tool.run("true").returncode == 0
    change_recipe(tool, **{key: "another"})
    (tool.venv / "old").touch()
    result = tool.run("true")
    assert result.returncode == 0 and len(tool.calls("-m", "venv")) == 2
    assert not (tool.venv / "old").exists() and not (tool.home / "env.old").exists()


def test_an_environment_that_lost_its_python_is_made_again(tool: Tool):
    assert tool.run("true").returncode == 0
    (tool.venv / "bin" / "python").unlink()
    assert tool.run("true").returncode == 0
    assert (tool.venv / "bin" / "python").exists()


def test_the_stale_environment_comes_back_when_the_new_one_fails(tool: Tool):
    assert tool.run("true").returncode == 0
    change_recipe(tool, recipe="another")
    (tool.venv / "mine").write_text("kept")
    assert tool.run("true", FAKE_TORCH_PROBLEM="Network is unreachable").returncode == 125
    assert (tool.venv / "mine").read_text() == "kept"
    assert tool.run("true").returncode == 0 and not (tool.venv / "mine").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_in_the_build_then_run_again(tool: Tool, number: signal.Signals, code: int):
    process = tool.start("true", FAKE_BUILD="hang")
    building = tool.home / "building"
    wait_for(lambda: building.exists() and building.read_text())
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in err and ("Nothing is lost: the same command goes on" in err) == (code == 130)
    wait_for(lambda: not alive(int(building.read_text())))

    result = tool.run("true")
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tool.cached()] == ["mmcv-2.1.0-fake.whl"]
    assert not list(tool.wheels.glob("*/build*"))
    # What was finished is kept: the packages, and the sources with their objects, but no half a library.
    assert "going on after what an interrupted run finished" in result.stderr and "[1/6]" not in result.stderr
    assert "an interrupted build is continued" in result.stderr
    assert (tool.home / "objects").read_text() == '[]\n["finished.o"]\n'
    assert len(tool.calls("-m", "venv")) == len(tool.calls("-m", "pip", "download")) == 1


def test_compilers_that_outlive_a_killed_build_are_ended(tool: Tool):
    process = tool.start("true", FAKE_BUILD="orphan")
    building = tool.home / "building"
    wait_for(lambda: building.exists() and building.read_text())
    process.kill()
    process.communicate(timeout=120)
    orphan = int(building.read_text())
    assert alive(orphan)
    assert tool.run("true").returncode == 0
    wait_for(lambda: not alive(orphan))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_before_the_build_then_made_from_the_start(tool: Tool, number: signal.Signals):
    process = tool.start("true", FAKE_TORCH_PROBLEM="hang")
    wait_for(lambda: (tool.home / "installing").exists())
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    if number == signal.SIGINT:
        assert process.returncode == 130 and "from its start" in err and "Nothing is lost" not in err
    result = tool.run("true")
    assert result.returncode == 0 and "[1/6]" in result.stderr
    assert len(tool.calls("-m", "venv")) == 2


def test_an_interrupted_remake_brings_the_environment_from_before_back(tool: Tool):
    assert tool.run("true").returncode == 0
    change_recipe(tool, recipe="another")
    shutil.rmtree(tool.wheels)
    process = tool.start("true", FAKE_BUILD="hang")
    wait_for(lambda: (tool.home / "building").exists() and (tool.home / "building").read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "is still the one from before" in err
    assert json.loads(tool.marker.read_text())["stamp"]["recipe"] == "another"
    assert tool.run("true").returncode == 0


def test_half_an_mmcv_is_never_built_upon(tool: Tool):
    process = tool.start("true", FAKE_BUILD="hang")
    wait_for(lambda: (tool.home / "building").exists() and (tool.home / "building").read_text())
    process.kill()
    process.communicate(timeout=120)
    (tool.venv / "lib" / "python3.11" / "site-packages" / "mmcv").mkdir(parents=True)
    result = tool.run("true")
    assert result.returncode == 0 and "removing what an interrupted run left" in result.stderr
    assert not (tool.venv / "lib").exists()


def test_two_at_once_make_one_environment(tool: Tool):
    processes = [tool.start("echo", "ran") for _ in range(3)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert [out for out, _ in outputs] == ["ran\n"] * 3
    assert len(tool.calls("-m", "venv")) == 1


def test_an_environment_in_use_is_not_replaced(tool: Tool):
    assert tool.run("true").returncode == 0
    go_on = tool.home / "go-on"
    user = tool.start("sh", "-c", f"while ! test -e {go_on}; do sleep 0.05; done")
    wait_for(lambda: Path(f"/proc/{user.pid}/cmdline").read_bytes().startswith(b"sh\0"))
    change_recipe(tool, recipe="another")
    maker = tool.start("true")
    assert maker.stderr is not None and "is in use by another process" in maker.stderr.readline()
    assert len(tool.calls("-m", "venv")) == 1
    go_on.touch()
    user.communicate(timeout=120)
    maker.communicate(timeout=120)
    assert (user.returncode, maker.returncode) == (0, 0)
    assert len(tool.calls("-m", "venv")) == 2


@pytest.mark.parametrize("data", [True, False])
def test_ci_runs_the_documented_command(tmp_path: Path, data: bool):
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    (checkout / "tools" / "run").write_text('#!/bin/sh\necho "$@" "${MMDET_LOSSES_BCCD-none}"; exit 3\n')
    (checkout / "tools" / "run").chmod(0o755)
    if data:
        (tmp_path / "shared" / "data" / "bccd").mkdir(parents=True)
    environ = {key: value for key, value in os.environ.items() if key != "MMDET_LOSSES_BCCD"}
    result = subprocess.run([checkout / ".ci" / "run"], cwd="/", env=environ, capture_output=True, text=True)
    folder = tmp_path / "shared" / "data" / "bccd" if data else "none"
    assert (result.returncode, result.stdout) == (3, f"pytest {folder}\n")
