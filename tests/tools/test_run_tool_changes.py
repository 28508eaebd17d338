"""`tools/run` where only the checkout has changed, and where the index or the disk is not as it should be."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tool_world import ROOT, Tool, wait_for


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


@pytest.fixture
def checkout(tool: Tool) -> Path:
    """A copy of the tool, of what it reads of the package, and of pyproject.toml that a test may change."""
    folder = tool.home / "checkout"
    for name in ("tools", "mmdet_losses/kernels"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "mmdet_losses/kernels/permissions.py", folder / "mmdet_losses/kernels")
    shutil.copytree(ROOT / "tools" / "environment", folder / "tools" / "environment")
    shutil.copy(ROOT / "tools" / "run", folder / "tools")
    tool.script = folder / "tools" / "run"
    return folder


def editable(tool: Tool) -> list[str]:
    """The checkouts that were installed, in order."""
    return [call["args"][-1] for call in tool.calls("-m", "pip", "install") if "--editable" in call["args"]]


OFFLINE = {"FAKE_TORCH_PROBLEM": "Network is unreachable"}


def test_a_changed_pyproject_installs_the_package_again_and_nothing_else(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    before = len(tool.calls())
    (checkout / "mmdet_losses.egg-info").mkdir()  # old metadata, which Python would find first in the checkout
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("\n[project.scripts]\nshiny = 'mmdet_losses:main'\n")
    result = tool.run("true", **OFFLINE)
    assert result.returncode == 0, result.stderr
    assert "pyproject.toml has changed" in result.stderr and "[1/1] mmdet_losses" in result.stderr
    assert editable(tool) == [str(checkout)] * 2 and len(tool.calls()) == before + 1
    assert "--no-index" in tool.calls()[-1]["args"] and not (checkout / "mmdet_losses.egg-info").exists()
    assert tool.run("true").stderr == ""


def test_an_environment_from_before_pyproject_was_recorded_is_brought_up_to_date(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    text = json.loads(tool.marker.read_text())
    del text["stamp"]["project"]
    tool.marker.write_text(json.dumps(text))
    assert tool.run("true", **OFFLINE).returncode == 0
    assert len(tool.calls("-m", "venv")) == 1 and len(editable(tool)) == 2


def test_a_failed_reinstall_says_so_and_is_tried_again(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    (checkout / "pyproject.toml").write_text("not TOML")
    result = tool.run("true", FAKE_EDITABLE_PROBLEM="configuration error: pyproject.toml")
    assert result.returncode == 125 and "configuration error: pyproject.toml" in result.stderr
    assert tool.run("true").returncode == 0
    assert len(editable(tool)) == 3 and len(tool.calls("-m", "venv")) == 1


def test_a_changed_pyproject_does_not_wait_for_a_command_that_runs(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    go_on = tool.home / "go-on"
    user = tool.start("sh", "-c", f"while ! test -e {go_on}; do sleep 0.05; done")
    wait_for(lambda: Path(f"/proc/{user.pid}/cmdline").read_bytes().startswith(b"sh\0"))
    (checkout / "pyproject.toml").write_text("[project]\nversion = '9'\n")
    result = tool.run("echo", "ran")
    assert result.stdout == "ran\n" and "another process uses" in result.stderr
    assert len(editable(tool)) == 1
    go_on.touch()
    user.communicate(timeout=120)
    assert tool.run("true").returncode == 0 and len(editable(tool)) == 2


def test_a_moved_checkout_mends_its_link_without_network(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    moved = tool.home / "moved"
    checkout.rename(moved)
    tool.script = moved / "tools" / "run"
    result = tool.run("true", **OFFLINE)
    assert result.returncode == 0, result.stderr
    assert "has moved" in result.stderr
    assert editable(tool) == [str(checkout), str(moved)] and len(tool.calls("-m", "venv")) == 1
    assert tool.run("true").stderr == ""


@pytest.mark.parametrize("name", ["moved", "with spaces"])
def test_an_environment_that_moved_with_its_checkout(tool: Tool, checkout: Path, name: str):
    del tool.environ["MMDET_LOSSES_VENV"]
    assert tool.run("true").returncode == 0
    old = checkout / ".venv" / "bin"
    (old / "pytest").write_text(f"#!{old}/python\n# {old}2 {checkout}/.venv-mine /mnt{old}\n")
    (old / "pytest").chmod(0o755)
    moved = tool.home / name
    checkout.rename(moved)
    tool.script = moved / "tools" / "run"
    if name == "moved":
        assert tool.run("true", **OFFLINE).returncode == 0
        script = moved / ".venv" / "bin" / "pytest"
        assert (
            script.read_text() == f"#!{moved}/.venv/bin/python\n# {moved}/.venv/bin2 {checkout}/.venv-mine /mnt{old}\n"
        )
        assert os.access(script, os.X_OK)
        assert len(tool.calls("-m", "venv")) == 1
    else:  # no first line of a script can hold this path, so the environment is made again
        assert tool.run("true").returncode == 0
        assert len(tool.calls("-m", "venv")) == 2
    assert tool.run("true").stderr == ""


def test_another_python_or_recipe_is_not_mended(tool: Tool, checkout: Path):
    assert tool.run("true").returncode == 0
    pins = checkout / "tools" / "environment" / "constraints.txt"
    pins.write_text(pins.read_text() + "\nshiny==1.0\n")
    (checkout / "pyproject.toml").write_text("[project]\nversion = '9'\n")
    assert tool.run("true").returncode == 0
    assert len(tool.calls("-m", "venv")) == 2


# pip's own words for a pinned version that the index lacks, since every requirement is a constraint as well.
MISSING = """\
ERROR: Cannot install torch==2.13.0 because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested torch==2.13.0
    The user requested (constraint) torch==2.13.0

Additionally, some packages in these conflicts have no matching distributions available for your environment:
    torch

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/
"""
RETRIED = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('...: Failed to \
establish a new connection: [Errno 111] Connection refused')': /simple/torch/\n"
CONFLICT = MISSING.replace(
    "    The user requested (constraint) torch==2.13.0\n",
    "    torchvision 0.28.0 depends on torch==2.12.0\n    The user requested (constraint) torch==2.13.0\n",
)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (MISSING, "the package index has no torch==2.13.0 for this Python and machine, or it cannot be reached; check"),
        (RETRIED + MISSING, "the package index cannot be reached; check the network"),
        (CONFLICT, "a command ended with exit code 1"),
    ],
)
def test_an_index_without_a_version(tool: Tool, output: str, sentence: str):
    result = tool.run("true", FAKE_TORCH_PROBLEM=output)
    assert result.returncode == 125 and sentence in result.stderr


@pytest.mark.parametrize(("retries", "answers"), [("0", True), ("1", True), ("0", False), ("1", False)])
def test_what_pip_really_says_is_understood(monkeypatch: pytest.MonkeyPatch, retries: str, answers: bool):
    """An index without the version, and one that nobody answers for."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from environment.failures import diagnose

    with socketserver.TCPServer(("127.0.0.1", 0), NothingFound) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        if answers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        else:
            server.server_close()
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
        environ = {"PATH": os.defpath, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": url, "PIP_RETRIES": retries}
        pins = ["--constraint", ROOT / "tools" / "environment" / "constraints.txt", "torch==2.13.0"]
        result = subprocess.run([*pip, *pins], env=environ, capture_output=True, text=True)
        if answers:
            server.shutdown()
    if "No module named pip" in result.stderr:
        pytest.skip("this environment has no pip")
    sentence, _ = diagnose(result.stdout + result.stderr, result.returncode)
    lacks = "the package index has no torch==2.13.0 for this Python and machine, or it cannot be reached"
    assert sentence.startswith(lacks if answers or retries == "0" else "the package index cannot be reached")


class NothingFound(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_an_unwritable_checkout_names_the_variable_that_helps(tool: Tool, checkout: Path):
    del tool.environ["MMDET_LOSSES_VENV"]
    (checkout / ".venv.log").mkdir()  # what permissions forbid, root may do all the same
    result = tool.run("true")
    assert result.returncode == 125 and result.stderr.count("\n") == 1
    assert re.search(r"\.venv\.log cannot be written \(.*\): make its folder writable", result.stderr)
    assert "MMDET_LOSSES_VENV=FOLDER" in result.stderr
    assert tool.run("true", MMDET_LOSSES_VENV=str(tool.venv)).returncode == 0


CUDA = {"FAKE_TORCH_NEEDS": '["sympy", "nvidia-cublas; platform_system == \\"Linux\\""]'}


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("cuda", [True, False])
def test_the_cpu_index_is_named_where_the_cuda_build_would_come_and_no_gpu_is_seen(
    tool: Tool, checkout: Path, seen: bool, cuda: bool
):
    module = checkout / "tools" / "environment" / "torch_install.py"
    devices = '("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")'
    text = module.read_text()
    assert devices in text
    module.write_text(text.replace(devices, '("/dev/null",)' if seen else '("/dev/there-is-none",)'))
    result = tool.run("true", **(CUDA if cuda else {}))
    assert result.returncode == 0
    hint = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu" in result.stderr
    assert hint == (cuda and not seen)


def test_a_login_node_without_gpu_is_not_told_to_take_the_cpu_build(tool: Tool):
    result = tool.run("true", FORCE_CUDA="1", **CUDA)
    assert result.returncode == 0 and "whl/cpu" not in result.stderr


@pytest.mark.parametrize(
    ("free", "cuda", "needed"),
    [(1, False, 2), (3, False, None), (5, True, 6), (8, True, None), (1, True, 2)],
)
def test_the_disk_is_checked_for_the_build_of_torch_that_comes(
    tool: Tool, checkout: Path, free: int, cuda: bool, needed: int | None
):
    module = checkout / "tools" / "environment" / "torch_install.py"
    text = module.read_text().replace("shutil.disk_usage(folder).free", f"({free} * 2**30)")
    module.write_text(text.replace("os.stat(tempfile.gettempdir())", 'os.stat("/proc")'))  # another disk
    result = tool.run("true", **(CUDA if cuda else {}))
    assert result.returncode == (125 if needed else 0), result.stderr
    assert tool.venv.exists() == (needed is None)
    if needed:
        build = "CUDA" if needed > 2 else "CPU"
        assert f"has {free}.0 GB free, and an environment with torch's {build} build needs {needed} GB" in result.stderr
        installed = [call["args"] for call in tool.calls("-m", "pip", "install") if "torch==2.13.0" in call["args"]]
        assert all("--dry-run" in args for args in installed)  # nothing large was downloaded


def test_downloads_count_where_they_share_the_disk(tool: Tool, checkout: Path):
    module = checkout / "tools" / "environment" / "torch_install.py"
    text = module.read_text().replace("shutil.disk_usage(folder).free", "(8 * 2**30)")
    module.write_text(text)
    result = tool.run("true", TMPDIR=str(tool.home), **CUDA)
    assert result.returncode == 125 and "needs 9 GB" in result.stderr


def test_standard_library_only():
    """The tool runs before anything is installed: no module of it may need a package."""
    modules = [f"environment.{path.stem}" for path in (ROOT / "tools" / "environment").glob("[a-z]*.py")]
    assert len(modules) > 10
    code = f"import {', '.join(modules)}"
    subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); {code}"], check=True
    )
