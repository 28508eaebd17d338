"""A bundle is made and set up on tiny wheels, with a stand-in for the package index and a torch that is one file."""

from __future__ import annotations

import ensurepip
import json
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest
from bundling import cli, download, have, parts, set_up
from bundling.target import Target
from environment.failures import Failure

PYTHON = "{}.{}".format(*sys.version_info)
TARGET = Target(PYTHON, "9.9.9", None, platform.machine())
PIP = next(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
PINS = {"alpha": "1.0", "beta": "2.0", "packaging": "1", "pip": PIP.name.split("-")[1], "setuptools": "1", "wheel": "1"}


def wheel(folder: Path, name: str, version: str, requires: Sequence[str] = ()) -> Path:
    """Make a wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class Index:
    """Takes the place of `Steps`: what pip is asked for it makes."""

    log = Path("a.log")

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.notes: list[str] = []
        self.missing = ""

    def step(self, title: str) -> AbstractContextManager[None]:
        return nullcontext()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run(self, command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        words = [str(word) for word in command]
        self.commands.append(words)
        if "download" in words:
            folder = Path(words[words.index("--dest") + 1])
            for name, version in (word.split("==") for word in words if "==" in word):
                if name == self.missing:
                    raise Failure(f"step 1 failed\nERROR: No matching distribution found for {name}=={version}")
                if name == "pip":
                    (folder / PIP.name).write_bytes(PIP.read_bytes())
                elif name == "mmcv":
                    folder.mkdir()
                    (folder / f"mmcv-{version}.tar.gz").write_bytes(b"sources")
                else:
                    wheel(folder, name, version, ["alpha>=1.0", "beta<2.0"] if name == "alpha" else [])
        elif "wheel" in words:
            wheel(
                Path(words[words.index("--wheel-dir") + 1]), "mmdet_losses", "0.1", ["mmcv==2.1.0; extra=='openmmlab'"]
            )


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Index:
    monkeypatch.setattr(Target, "pinned", lambda self: {**PINS, "mmcv": "2.1.0"})
    monkeypatch.setenv("MMDET_LOSSES_CACHE", str(tmp_path / "cache"))
    return Index()


def make(index: Index, tmp_path: Path, there: dict[str, str], target: Target = TARGET) -> tuple[Path, dict]:
    work = tmp_path / "work"
    work.mkdir()
    cli.make(index, target, there, None, work)
    return work / "bundle", json.loads((work / "bundle" / "bundle.json").read_text())


COLUMNS = """Package         Version     Editable project location
--------------- ----------- -------------------------
Jinja2          3.1.6
my_plugin       0.1.0       /home/me/my plugin
torch           2.11.0+cu130
[notice] A new release of pip is available: 23.2.1 -> 26.3
"""
FREEZE = """# of the node
Jinja2==3.1.6
numpy @ file:///wheels/numpy-2.2.6-cp312-cp312-linux_x86_64.whl#sha256=0
scipy @ file:///croot/scipy_17
torch @ https://host/whl/torch-2.11.0%2Bcu130-cp312-cp312-linux_x86_64.whl
-e git+https://host/me/my_plugin.git@0a1b2c#egg=my_plugin
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (COLUMNS, {"jinja2": "3.1.6", "my-plugin": "0.1.0", "torch": "2.11.0+cu130"}),
        (FREEZE, {"jinja2": "3.1.6", "numpy": "2.2.6", "scipy": "", "torch": "2.11.0+cu130", "my-plugin": ""}),
    ],
    ids=["columns", "freeze"],
)
def test_both_forms_of_the_list_are_read(text: str, found: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    assert have.read_list(path) == found


@pytest.mark.parametrize(("text", "said"), [("no list at all\n", "'no list at all'"), ("\n", "names no distribution")])
def test_another_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(Failure, match=f"--have must be .*{said}"):
        have.read_list(path)


@pytest.mark.parametrize(
    ("there", "said"),
    [({"numpy": "2"}, "lists no torch"), ({"torch": "2.6.0+cpu"}, r"lists torch 2.6.0\+cpu, and --torch is 9.9.9")],
)
def test_a_list_of_another_torch_is_refused(there: dict[str, str], said: str) -> None:
    with pytest.raises(Failure, match=said):
        have.check_torch(there, TARGET, Path("list.txt"))
    have.check_torch({"torch": "9.9.9+cu130"}, TARGET, Path("list.txt"))


def test_what_is_there_is_left_out_where_nothing_that_is_brought_asks_for_another(tmp_path: Path) -> None:
    wheels = {
        "gamma": wheel(tmp_path, "gamma", "1", ["delta>=2", "zeta<3 ; python_version < '3'", "opencv-python>=4"]),
        "delta": wheel(tmp_path, "delta", "2", ["eta<5"]),
        "eta": wheel(tmp_path, "eta", "4"),
        "zeta": wheel(tmp_path, "zeta", "2"),
        "setuptools": wheel(tmp_path, "setuptools", "80"),
        "opencv-python-headless": wheel(tmp_path, "opencv_python_headless", "5"),
        "mmcv": None,
    }

    def names(there: dict[str, str]) -> set[str]:
        return set(have.left_out(wheels, there, TARGET))

    assert names({}) == set()
    assert names({"delta": "1.9", "eta": "6", "zeta": "7"}) == {"zeta"}
    # The delta that is there takes the place of the one that asks for an older eta.
    assert names({"delta": "2.1", "eta": "6"}) == {"delta", "eta"}
    assert names({"delta": ""}) == set()  # the list does not say which
    assert names({"setuptools": "80"}) == set()  # setup.sh works with it
    assert names({"opencv-python": "3", "onedl-mmcv": "2.3.6"}) == {"opencv-python-headless", "mmcv"}


@pytest.mark.parametrize(
    ("python", "torch", "cuda", "said"),
    [
        ("3.13", "2.11.0", None, "--python must be 3.10, 3.11 or 3.12, got '3.13'"),
        ("3.12", "2.11", None, "--torch must be a version .* got '2.11'"),
        ("3.12", "1.13.1", None, "--torch must be a version from 2.1.0 on"),
        ("3.12", "2.11.0", "cu130", "--cuda must be a version .* got 'cu130'"),
    ],
)
def test_versions_are_checked(python: str, torch: str, cuda: str | None, said: str) -> None:
    with pytest.raises(Failure, match=said):
        Target(python, torch, cuda, "x86_64").check()


def test_pins_are_those_of_the_other_python_and_fit_its_torch() -> None:
    new, old = Target("3.12", "2.11.0", None, "x86_64").pinned(), Target("3.10", "2.1.2", None, "x86_64").pinned()
    assert "torch" not in new and new["mmcv"] == "2.1.0"
    assert "tomli" in old and "tomli" not in new
    assert new["numpy"].startswith("2.") and old["numpy"].startswith("1.")


@pytest.mark.parametrize("sizes", [{"a": 100_000, "b": 10, "c": 30_000, "d": 0}, {"a": 46_000, "b": 46_000}])
def test_parts_keep_to_their_size_and_give_the_files_back(sizes: dict[str, int], tmp_path: Path) -> None:
    limit = 2**16
    files = []
    for seed, (name, size) in enumerate(sizes.items(), 3):
        files.append(tmp_path / f"{name}.whl")
        files[-1].write_bytes(bytes((seed * number * number) % 251 for number in range(size)))
    out = tmp_path / "out"
    out.mkdir()
    sums = parts.pack(files, out, limit)
    assert {path.name for path in out.iterdir()} == set(sums)
    assert all(path.stat().st_size <= limit for path in out.iterdir())
    parts.unpack(out, sums, tmp_path / "again")
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()} == {p.name: p.read_bytes() for p in files}

    last = out / sorted(sums)[-1]
    content = bytearray(last.read_bytes())
    content[600] ^= 1
    last.write_bytes(content)
    with pytest.raises(Failure, match=f"{last.name} is not as it was"):
        parts.unpack(out, sums, tmp_path / "damaged")
    last.unlink()
    with pytest.raises(Failure, match=f"{last.name} is missing"):
        parts.unpack(out, sums, tmp_path / "incomplete")


def test_pip_is_asked_for_wheels_of_the_other_machine(index: Index, tmp_path: Path) -> None:
    _, manifest = make(index, tmp_path, {}, Target("3.10", "2.1.2", None, "aarch64"))
    words = index.commands[0]
    assert words[words.index("--python-version") + 1] == "3.10" and {"--no-deps", "--only-binary=:all:"} < set(words)
    platforms = {after for word, after in pairwise(words) if word == "--platform"}
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= platforms
    assert not any("x86" in name for name in platforms)
    assert manifest["mmcv"] == {"wheel": None, "sdist": "mmcv-2.1.0.tar.gz"}
    assert "setup.sh will build it" in " ".join(index.notes)


def test_a_missing_wheel_is_named_in_a_sentence(index: Index, tmp_path: Path) -> None:
    index.missing = "beta"
    with pytest.raises(Failure, match=rf"the package index has no wheel of beta==2.0 for Python {PYTHON} on "):
        make(index, tmp_path, {})


@pytest.mark.parametrize(
    ("folder", "cuda", "mode", "taken"),
    [
        ("torch9.9.9+cpu-cpu", None, 0o644, True),
        ("torch9.9.9+cpu-cpu", "13.0", 0o644, False),
        ("torch9.9.9+cu130-cu13.0-9.0", "13.0", 0o644, True),
        ("torch9.9.9+cu130-cu13.0-9.0", None, 0o644, False),
        ("torch9.9.90-cpu", None, 0o644, False),
        ("torch9.9.9-cpu", None, 0o666, False),
    ],
)
def test_a_cached_mmcv_is_taken_where_it_fits_and_others_cannot_write(
    folder: str, cuda: str | None, mode: int, taken: bool, index: Index, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    cached = tmp_path / "cache" / "wheels" / f"mmcv2.1.0-py{PYTHON}-{folder}-{platform.machine()}"
    path = wheel(cached, "mmcv", "2.1.0")
    path.chmod(mode)
    target = Target(PYTHON, "9.9.9", cuda, platform.machine())
    assert download.cached_wheel(index, "2.1.0", target) == (path if taken else None)
    assert any("is not taken, since" in note for note in index.notes) == (mode == 0o666)


@pytest.mark.parametrize(
    "name",
    ["mmcv-2.1.0-cp310-cp310-linux_aarch64.whl", "mmcv-2.2.0-cp311-cp311-linux_aarch64.whl", "mmcv-2.1.0.tar.gz"],
)
def test_a_given_mmcv_is_refused_where_it_does_not_fit(name: str, tmp_path: Path) -> None:
    target = Target("3.11", "2.11.0", None, "aarch64")
    path = tmp_path / name
    path.touch()
    with pytest.raises(Failure, match=r"--mmcv-wheel must be a file mmcv-2\.1\.0-cp311-"):
        download.check_wheel(path, target)
    fitting = tmp_path / "mmcv-2.1.0-cp311-cp311-linux_aarch64.whl"
    fitting.touch()
    download.check_wheel(fitting, target)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A virtual environment with a torch, an OpenCV and an MMDetection that are empty but for what is asked of them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "base"], check=True)
    (site,) = (tmp_path / "base").glob("lib/python*/site-packages")
    for name in ("torch", "mmcv", "mmdet"):
        (site / name).mkdir()
    version = "__version__ = '9.9.9+cpu'\n"
    cuda = "class cuda:\n    is_available = device_count = staticmethod(lambda: 0)\n"
    (site / "torch" / "__init__.py").write_text(f"from . import version\n{version}{cuda}")
    (site / "torch" / "version.py").write_text("cuda = None\n")
    for name in ("cv2.py", "mmcv/__init__.py", "mmcv/_ext.py", "mmdet/__init__.py", "mmdet/models.py"):
        (site / name).touch()
    for name in ("mmcv-2.1.0", "beta-1.5"):
        (site / f"{name}.dist-info").mkdir()
        (site / f"{name}.dist-info" / "METADATA").write_text("Name: {}\nVersion: {}\n".format(*name.split("-")))
    return tmp_path / "base" / "bin" / "python"


def run_setup(bundle: Path, python: Path | str, *words: str | Path) -> tuple[int, str]:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environ |= {"MMDET_LOSSES_PYTHON": str(python), "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_TARGET": "/none"}
    command = ["sh", str(bundle / "setup.sh"), *map(str, words)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, cwd=bundle.parent)
    return done.returncode, done.stdout + done.stderr


def test_setup_makes_an_environment_on_the_torch_that_is_there(index: Index, base: Path, tmp_path: Path) -> None:
    bundle, manifest = make(index, tmp_path, {"torch": "9.9.9", "mmcv": "2.1.0", "beta": "1.5"})
    assert manifest["there"] == {"beta": "<2.0", "mmcv": "==2.1.0"} and manifest["mmcv"] is None
    with tarfile.open(bundle / "part-01.tar") as tar:
        assert set(tar.getnames()) == set(manifest["wheels"])
    before = sorted(base.parents[1].rglob("*"))
    code, said = run_setup(bundle, base, tmp_path / "venv")
    assert code == 0, said
    program = "import alpha, mmdet_losses, torch; print(alpha.__file__, mmdet_losses.version, torch.__file__)"
    python = tmp_path / "venv" / "bin" / "python"
    answer = subprocess.run([python, "-Ic", program], capture_output=True, text=True, check=True)
    alpha, version, torch = answer.stdout.split()
    assert Path(alpha).is_relative_to(tmp_path / "venv") and version == "0.1"
    assert Path(torch).is_relative_to(tmp_path / "base")
    written = [path for path in base.parents[1].rglob("*") if "__pycache__" not in path.parts]
    assert [path for path in written if path not in before] == []
    assert not (tmp_path / "venv.setup").exists()


def test_setup_says_what_differs(index: Index, base: Path, tmp_path: Path) -> None:
    bundle, manifest = make(index, tmp_path, {"torch": "9.9.9", "mmcv": "2.1.0"})

    def refused(said: str, python: Path | str = base, **changed: object) -> None:
        (bundle / "bundle.json").write_text(json.dumps({**manifest, **changed}))
        code, output = run_setup(bundle, python, tmp_path / "venv")
        assert code == 1 and said in output and "Traceback" not in output, output

    refused(f"this bundle is for Python {PYTHON}, and none was found (/bin/false)", "/bin/false")
    refused("this bundle is for torch 9.9.8, and", torch="9.9.8")
    refused("this bundle is for torch with CUDA 13.0, and", cuda="13.0")
    refused("wheels need glibc 2.99 or newer", glibc=[2, 99])
    refused("this bundle is for sparc, and this machine is", machine="sparc")
    refused("has gamma, and", there={"gamma": ""})
    (tmp_path / "venv" / set_up.MARKER).unlink()
    refused("venv was not made by this script")


def test_mmcv_is_built_where_its_wheel_does_not_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({"cuda": None, "pip": "pip.whl", "mmcv": {}}))
    setup = set_up.SetUp(tmp_path, tmp_path / "venv", False)
    steps = Index()
    built = []

    def run(command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        steps.commands.append([str(word) for word in command])
        if set_up.OPERATORS in command:
            raise Failure("step 4 failed", detail="undefined symbol")

    def build(python: str, requirement: str, out: Path, install: bool) -> Path:
        built.append((python, requirement, os.environ["PIP_NO_INDEX"], os.environ["PIP_FIND_LINKS"]))
        return out / "built.whl"

    monkeypatch.setattr(steps, "run", run)
    monkeypatch.setattr(set_up.build_cli, "build", build)
    setup.install_mmcv(steps, set_up.Torch("9.9.9", None, (), tmp_path), "mmcv.whl", "mmcv.tar.gz")
    work = tmp_path / "venv.setup"
    assert built == [(str(setup.python), str(work / "mmcv.tar.gz"), "1", str(work))]
    assert steps.commands[-1][-1] == str(work / "mmcv" / "built.whl")
    assert "undefined symbol" in steps.notes[0]
    assert "PIP_FIND_LINKS" not in os.environ or os.environ["PIP_FIND_LINKS"] != str(work)
