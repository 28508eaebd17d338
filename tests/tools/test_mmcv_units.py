"""Grouping mmcv's sources: what may stand in one unit, and what a build makes of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tool_world import ROOT, Tool, alive, wait_for, write_sources

CSRC = Path("mmcv/ops/csrc")


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from environment import mmcv_units

    return mmcv_units


def grouped(units, folder: Path, files: dict[str, str]) -> list[set[str]]:
    """Regroup sources, and return which files stand together, from what the compiler would find."""
    write_sources(folder, {"common/pytorch_cpp_helper.hpp": "", **files})
    units.regroup(folder)
    csrc = folder / CSRC
    together = []
    for unit in sorted([*csrc.rglob("*.cpp"), *csrc.rglob("*.cu")]):
        lines = unit.read_text().splitlines()
        if lines[:1] == ['#include "pytorch_cpp_helper.hpp"']:
            names = {line.split('"')[1] for line in lines[1:]}
            assert all((unit.parent / name).is_file() for name in names)
            together.append({Path(name).name.removesuffix(".inc") for name in names})
        else:
            together.append({unit.name})
    return together


HELPER = "template <typename T>\ninline void add(T* a, const T& b) {\n  *a += b;\n}\n"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("int f() {\n  return 1;\n}\n", "int g() {\n  return 1;\n}\n", True),
        ("int f() {\n  return 1;\n}\n", "int f(int x) {\n  return x;\n}\n", False),  # an overload: another meaning
        ("int f(int);\n", "int f(int x) {\n  return x;\n}\n", True),
        (HELPER, HELPER, False),
        ("template <typename T>\nstruct Pre {\n  T x;\n};\n", "struct Pre {\n  int y;\n};\n", False),
        ("static const int kMax = 1;\n", "constexpr int kMax = 2;\n", False),
        ("int f() {\n  int x = 1;\n  return x;\n}\n", "int g() {\n  int x = 2;\n  return x;\n}\n", True),
        ("// int f() {\n", "int f() {\n  return 1;\n}\n", True),
        ("#define min(a, b) ((a) < (b) ? (a) : (b))\n", "int g() {\n  return std::min(1, 2);\n}\n", False),
        ("#define min(a, b) ((a) < (b) ? (a) : (b))\n", "int g() {\n  return 1;\n}\n", True),
        ("#define N 1\nint f() {\n  return N;\n}\n#undef N\n", "int g(int N) {\n  return N;\n}\n", True),
        ("#define N 1\n", "#define N 1\n", True),
        ("#define N 1\n", "#define N 2\n", False),
        ('#include "shared.hpp"\n', '#include "shared.hpp"\n', True),
        ('#include "shared.hpp"\n', "int twice(int x) {\n  return x;\n}\n", False),
        ("using namespace std;\n", "using namespace torch;\n", False),
        ("using namespace std;\n", "using namespace std;\n", True),
        ("using namespace std;\n", "using namespace at;\n", True),
        ("#include <torch/extension.h>\n", "int g() {\n  return 1;\n}\n", False),
    ],
)
def test_what_may_stand_together(units, tmp_path: Path, one: str, other: str, together: bool):
    shared = {"common/shared.hpp": "#pragma once\ninline int twice(int x) {\n  return 2 * x;\n}\n"}
    result = grouped(units, tmp_path, {"pytorch/one.cpp": one, "pytorch/cpu/other.cpp": other, **shared})
    assert sorted(map(sorted, result)) == ([["one.cpp", "other.cpp"]] if together else [["one.cpp"], ["other.cpp"]])


@pytest.mark.parametrize("left", ["#define max(a, b) a\n", "using namespace std;\n"])
def test_a_file_that_leaves_a_macro_or_an_open_namespace_comes_last(units, tmp_path: Path, left: str):
    write_sources(
        tmp_path,
        {
            "common/pytorch_cpp_helper.hpp": "",
            "pytorch/a.cpp": left,
            "pytorch/b.cpp": "int b() {\n  return 1;\n}\n",
        },
    )
    units.regroup(tmp_path)
    (unit,) = (tmp_path / CSRC).rglob("unit_*.cpp")
    assert [line.split('"')[1] for line in unit.read_text().splitlines()] == [
        "pytorch_cpp_helper.hpp",
        "b.cpp.inc",
        "a.cpp.inc",
    ]


def test_files_are_included_unchanged_where_they_were(units, tmp_path: Path):
    text = '#include "../near.h"\nint f() {\n  return 1;\n}\n'
    files = {"pytorch/near.h": "", "pytorch/cpu/one.cpp": text, "pytorch/two.cpp": "int g() {\n  return 1;\n}\n"}
    grouped(units, tmp_path, files)
    assert (tmp_path / CSRC / "pytorch" / "cpu" / "one.cpp.inc").read_text() == text


def test_cuda_files_are_grouped_apart_and_not_too_many_at_once(units, tmp_path: Path):
    kernels = {f"pytorch/cuda/k{n:02}.cu": f"__global__ void k{n}() {{\n}}\n" for n in range(30)}
    bind = {"pytorch/cuda/cudabind.cpp": "int bind() {\n  return 1;\n}\n", "pytorch/one.cpp": "int f();\n"}
    result = grouped(units, tmp_path, {**kernels, **bind})
    assert {"cudabind.cpp"} in result
    cuda = [files for files in result if any(name.endswith(".cu") for name in files)]
    assert sum(map(len, cuda)) == 30 and len(cuda) == 3 and max(map(len, cuda)) <= 12


def test_what_is_no_mmcv_is_refused(units, tmp_path: Path):
    with pytest.raises(ValueError, match=r"does not hold mmcv's operators"):
        units.regroup(tmp_path)


def test_a_unit_of_real_files_compiles_and_behaves(units, tmp_path: Path):
    """With a real compiler: what each file computes alone it computes in a unit too."""
    files = {
        "pytorch/cpu/low.cpp": "#define LOW(a, b) ((a) < (b) ? (a) : (b))\nint low() {\n  return LOW(3, 4);\n}\n",
        "pytorch/cpu/pre.cpp": "static int pick() {\n  return 5;\n}\nint pre() {\n  return pick();\n}\n",
        "pytorch/cpu/pre2.cpp": "static int pick() {\n  return 6;\n}\nint pre2() {\n  return pick();\n}\n",
        "pytorch/main.cpp": "int low(), pre(), pre2();\nint main() {\n  return low() * 50 + pre() * 10 + pre2();\n}\n",
    }
    result = grouped(units, tmp_path, files)
    assert sorted(map(len, result)) == [1, 3]
    csrc = tmp_path / CSRC
    sources = [*csrc.glob("pytorch/*.cpp"), *csrc.glob("pytorch/cpu/*.cpp")]
    compiler = ["c++", "-std=c++17", f"-I{csrc / 'common'}", *map(str, sources), "-o", str(tmp_path / "program")]
    try:
        subprocess.run(compiler, check=True)
    except FileNotFoundError:
        pytest.skip("there is no C++ compiler")
    assert subprocess.run([tmp_path / "program"]).returncode == 206


def compiled(tool: Tool) -> list[list[str]]:
    """The sources of each build that was tried, as setup.py would find them."""
    builds = [json.loads(line) for line in (tool.home / "compiled").read_text().splitlines()]
    return [[name.removeprefix("mmcv/ops/csrc/pytorch/") for name in build] for build in builds]


PLAIN = ["cpu/nms.cpp", "cpu/roi_align.cpp", "cpu/roi_align_rotated.cpp", "nms.cpp", "pybind.cpp"]
GROUPED = ["cpu/roi_align_rotated.cpp", "pybind.cpp", "unit_1.cpp"]


def test_the_environment_is_built_from_units(tool: Tool):
    assert tool.run("true").returncode == 0
    assert compiled(tool) == [GROUPED]


@pytest.mark.parametrize(
    "problem",
    [
        "grouped: unit_1.cpp:2:5: error: redefinition of 'add'\nninja: build stopped: subcommand failed.",
        "grouped: error: something that nobody has foreseen",
    ],
)
def test_units_that_do_not_build_give_way_to_single_files(tool: Tool, problem: str):
    result = tool.run("true", FAKE_BUILD=problem)
    assert result.returncode == 0, result.stderr
    assert compiled(tool) == [GROUPED, PLAIN]
    reason = problem.splitlines()[0].removeprefix("grouped: ")
    assert f"do not build in a few units here ({reason})" in result.stderr and "one by one" in result.stderr
    assert len(tool.cached()) == 1 and len(tool.calls("-m", "pip", "download")) == 1


@pytest.mark.parametrize(
    "problem",
    ["OSError: [Errno 28] No space left on device", "c++: fatal error: Killed signal terminated program cc1plus"],
)
def test_single_files_are_no_cure_for_a_full_disk_or_memory(tool: Tool, problem: str):
    result = tool.run("true", FAKE_BUILD="grouped: " + problem)
    assert result.returncode == 125 and compiled(tool) == [GROUPED]


def test_a_wheel_of_units_that_does_not_work_gives_way_to_single_files(tool: Tool):
    result = tool.run("true", FAKE_USE_PROBLEM="ImportError: undefined symbol: nms_impl")
    assert result.returncode == 0 and compiled(tool) == [GROUPED, PLAIN]
    assert "(ImportError: undefined symbol: nms_impl)" in result.stderr


def test_an_interrupted_build_of_single_files_goes_on_with_them(tool: Tool):
    process = tool.start("true", FAKE_BUILD="grouped: error: no", FAKE_PLAIN_BUILD="hang")
    wait_for(lambda: (tool.home / "building").exists() and (tool.home / "building").read_text())
    process.kill()
    process.communicate(timeout=120)
    assert tool.run("true").returncode == 0
    assert compiled(tool) == [GROUPED, PLAIN, PLAIN]


def build(tool: Tool, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "build_mmcv.py", "--python", tool.python, *arguments]
    return subprocess.run(list(map(str, command)), env={**tool.environ, **environ}, capture_output=True, text=True)


def test_a_wheel_for_an_environment_of_ones_own(tool: Tool):
    out = tool.home / "out"
    (out / "build").mkdir(parents=True)  # somebody's own
    result = build(tool, out)
    assert result.returncode == 0, result.stderr
    wheel = out / "mmcv-2.1.0-fake.whl"
    assert result.stdout == f"{wheel}\n" and zipfile.is_zipfile(wheel)
    assert compiled(tool) == [GROUPED]
    (run,) = tool.calls("-m", "pip", "wheel")
    # What the build needs besides torch is found there, and installed nowhere else.
    tools = str(out / ".build-mmcv" / "tools")
    assert run["environ"]["PYTHONPATH"] == tools and run["environ"]["PATH"].startswith(f"{tools}/bin:")
    targets = [call["args"] for call in tool.calls("-m", "pip", "install")]
    assert targets and all("--target" in args for args in targets)
    assert sorted(path.name for path in out.iterdir()) == ["build", "build_mmcv.log", wheel.name]


def test_a_folder_that_cannot_be_made_is_said(tool: Tool):
    (tool.home / "file").touch()
    result = build(tool, tool.home / "file" / "out")
    assert result.returncode == 1 and "give another folder" in result.stderr and result.stderr.count("\n") == 1


def test_a_wheel_is_installed_on_demand_only(tool: Tool):
    assert build(tool, "--install", tool.home / "out").returncode == 0
    installed = [call["args"] for call in tool.calls("-m", "pip", "install") if "--target" not in call["args"]]
    assert installed == [
        ["-m", "pip", "install", "--no-deps", "--force-reinstall", str(tool.home / "out" / "mmcv-2.1.0-fake.whl")]
    ]


def test_a_fork_and_a_folder_of_sources(tool: Tool):
    assert build(tool, "--mmcv", "onedl-mmcv==2.3.6", tool.home / "out").returncode == 0
    (download,) = tool.calls("-m", "pip", "download")
    assert download["args"][-1] == "onedl-mmcv==2.3.6" and "--no-binary onedl-mmcv" in " ".join(download["args"])

    sources = tool.home / "mmcv-2.1.0"
    before = sorted(sources.rglob("*"))
    assert build(tool, "--mmcv", sources, tool.home / "out").returncode == 0
    assert len(tool.calls("-m", "pip", "download")) == 1
    assert compiled(tool) == [GROUPED, GROUPED] and sorted(sources.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (
            ["--python", "/nowhere/python"],
            {},
            "/nowhere/python is no Python that runs: give the path of one in --python",
        ),
        ([], {"CXX": "/nowhere/c++"}, "a C++ compiler is needed"),
        ([], {"FAKE_TORCH": "no torch"}, "does not import"),
    ],
)
def test_what_a_build_lacks_is_said_in_one_sentence(
    tool: Tool, arguments: list[str], environ: dict[str, str], sentence: str
):
    result = build(tool, *arguments, tool.home / "out", **environ)
    assert result.returncode == 1 and sentence in result.stderr and result.stderr.count("\n") == 1
    assert not (tool.home / "out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_an_interrupted_build_of_ones_own_goes_on(tool: Tool, number: signal.Signals, code: int):
    command = [sys.executable, ROOT / "tools" / "build_mmcv.py", "--python", tool.python, tool.home / "out"]
    process = subprocess.Popen(
        list(map(str, command)),
        env={**tool.environ, "FAKE_BUILD": "orphan"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: (tool.home / "building").exists() and (tool.home / "building").read_text())
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in err
    if number == signal.SIGINT:
        assert "interrupted; what is compiled is kept" in err
    assert build(tool, tool.home / "out").returncode == 0
    assert not alive(int((tool.home / "building").read_text()))
    assert len(tool.calls("-m", "pip", "download")) == 1 and compiled(tool) == [GROUPED, GROUPED]
    assert sorted(path.name for path in (tool.home / "out").iterdir()) == ["build_mmcv.log", "mmcv-2.1.0-fake.whl"]
